"""What follows from the rate, its schedule and its optimizer, and from the training's length."""

from __future__ import annotations

from diagnose.diagnosis import Setting
from diagnose.prescriptions import scaling
from diagnose.prescriptions.coupling import ratio
from diagnose.prescriptions.settings import Settings

PEAK = 3.0  # times the rate that is held: the lower part of K32's 2 to 10
STARTS = {"adaptive": 1e-3, "sgd": 0.03}  # K11 (deep-dive §2): 1e-3, and the middle of 0.01 to 0.1
PLAIN = ("sgd", "untold")  # an optimizer that nobody told is taken for SGD, and said to be
CYCLE = "0.95 → 0.85 → 0.95, against the rate"


def warmup(before: Settings, after: Settings) -> Setting:
    """A rise over a twentieth of the steps, where the new rate is higher or the old one was not stable."""
    moved, steps = _moved(before, after), after.steps
    if moved is None or not steps or (moved <= 1 and not before.unsteady):
        return None
    wanted = round(scaling.usual_warmup(steps))
    return wanted if wanted > (before.number("warmup_steps") or 0.0) else None


def epochs(before: Settings, after: Settings) -> Setting:
    """More epochs, where the rate has fallen and the batch has not changed."""
    told = before.number("epochs")
    return _longer(told, before, after) if told else None


def steps(before: Settings, after: Settings) -> Setting:
    """More steps, where the rate has fallen, the batch has not changed and no epochs are set."""
    told = before.number("steps") or before.length
    return _longer(told, before, after) if told and not before.number("epochs") else None


def _longer(told: float, before: Settings, after: Settings) -> Setting:
    moved = _moved(before, after)
    if moved is None or before.batch != after.batch:  # a rate that follows the batch is as fast as before
        return None
    if before.unsteady:  # what the old rate did too fast was no progress: there is nothing to make up for
        return None
    factor = scaling.longer_training(moved)
    return told * factor if factor > 1 else None


def _moved(before: Settings, after: Settings) -> float | None:
    """New over old rate; None where the optimizer's kind changes too: rates of the two are not to be compared."""
    return ratio("lr", before, after) if before.kind == after.kind else None


def max_norm(before: Settings, after: Settings) -> Setting:
    """A smaller threshold under a higher rate; not for Adam and its kin, whose steps a threshold hardly bounds."""
    limit, moved = before.number("max_norm"), _moved(before, after)
    if not limit or moved is None or not 1 < moved <= scaling.FAR_OFF or before.kind == "adaptive":
        return None
    batches = after.batch / before.batch if before.batch and after.batch else 1.0
    return scaling.clip_for_batch(limit, batches) if batches > 1 else scaling.clip_for_lr(limit, moved)


def momentum(before: Settings, after: Settings) -> Setting:
    """Momentum against the rate, in a cycle."""
    told, old, new = before.number("momentum"), before.number("lr"), after.number("lr")
    return scaling.momentum_for(told, old, new) if told and old and new and after.cyclic else None


def lr_for_momentum(before: Settings, after: Settings) -> Setting:
    """The rate that keeps the length of a long step, for SGD."""
    rate, old, new = before.number("lr"), before.number("momentum"), after.number("momentum")
    if not rate or old is None or new is None or before.kind not in PLAIN or not (0 <= old < 1 and 0 <= new < 1):
        return None
    return scaling.lr_for_momentum(rate, old, new)


def peak(before: Settings, after: Settings) -> Setting:
    """A cycle's peak from the rate that was held, or the other way round."""
    rate = before.number("lr")
    if not rate or before.cyclic == after.cyclic or not after.word("scheduler"):
        return None
    return rate * PEAK if after.cyclic else rate / PEAK


def momentum_cycle(before: Settings, after: Settings) -> Setting:
    """Momentum that moves, where a cycle begins to."""
    return CYCLE if after.cyclic and not before.cyclic and before.number("momentum") else None


def for_optimizer(before: Settings, after: Settings) -> Setting:
    """The other kind's usual start."""
    old, new = before.word("optimizer"), after.word("optimizer")
    if not old or not new or not before.number("lr") or before.kind == after.kind:
        return None
    return STARTS.get(after.kind)


def decay_steps_for_epochs(before: Settings, after: Settings) -> Setting:
    """A decay as long as the training."""
    return _decay_steps(ratio("epochs", before, after), before)


def decay_steps_for_steps(before: Settings, after: Settings) -> Setting:
    """A decay as long as the training."""
    return _decay_steps(ratio("steps", before, after), before)


def _decay_steps(moved: float | None, before: Settings) -> Setting:
    told = before.number("decay_steps")
    return told * moved if told and moved else None
