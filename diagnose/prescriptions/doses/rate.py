"""How far rate, warmup and schedule move."""

from __future__ import annotations

from typing import Final

import numpy as np

from diagnose import facts
from diagnose.causes import EARLY_SHARE
from diagnose.diagnosis import Setting
from diagnose.findings import Finding
from diagnose.optimizer_names import kind_of
from diagnose.prescriptions import scaling
from diagnose.prescriptions.dose import Dose, Found, rounded
from diagnose.prescriptions.follow.rate import STARTS
from diagnose.run import Run
from diagnose.schedule_names import named_schedule
from diagnose.schedules import LONGEST_WARMUP, ROSE, peak_lr
from diagnose.setup_rules.learning_rate import usual_range
from diagnose.signals import GRAD_NORM, LR

DIVIDE_BAD, DIVIDE_LATE = 10.0, 3.0  # K01: divide the rate by 3 to 10
MARGIN = 0.8  # of the largest stable rate: the curvature is measured on a part of a batch, and at a few steps
RAISE = 3.0  # K02 names no factor; K01's smaller one, turned round
SETTLED = 2.0  # times the level of the run's second tenth: where the gradient norm first stays under it, it has settled
UNSTEADY: Final = ("late_instability", "oscillation", "loss_spikes")  # the loss stays in reach: K01's smaller factor
COSINE = "cosine"
TESTED = "The range test before this run put the steepest fall of the loss there."


def current_lr(run: Run) -> float | None:
    """The highest learning rate that was used, else the one the optimizer was made with."""
    return peak_lr(run.scalar(LR)) or run.setup.optimizer_setting("lr")


def borne_before_a_jump(run: Run) -> float | None:
    """The highest rate before it jumped to its peak; None where it rose by degrees, or began there.

    A jump takes the rate to its peak, from less than half of that, within one logged value; the first half of a
    warmup of two steps is none, as it begins the run.
    """
    lr = run.scalar(LR)
    if lr is None or len(lr.finite) < 10:
        return None
    values = lr.finite.values
    peak = int(np.argmax(values >= values.max() / ROSE))
    if peak < LONGEST_WARMUP * 0.1 * len(values) or values[peak - 1] > values[peak] / 2:
        return None
    return float(values[:peak].max())


def lower_lr(run: Run, found: Found) -> Dose | None:
    """Below what the curvature allows, or to a range test's rate, where measured; else to a third or a tenth.

    What lies far above the usual range goes to the usual start.
    """
    lr = current_lr(run)
    if borne_before_a_jump(run) is not None:
        return None
    if lr and (measured := _stable_share(found)) is not None:
        return Dose(
            "lr", lr, rounded(lr * measured),
            f"By its measured curvature the run is stable below {lr * measured / MARGIN:.3g} (η·λ_max).",
        )  # fmt: skip
    tested = facts.tested_lr(run.setup)
    if lr and tested and tested * ROSE < lr:
        return Dose("lr", lr, rounded(tested), TESTED)
    ill = next((found[name] for name in ("nan_loss", "divergence", *UNSTEADY) if name in found), None)
    factor, how = _factor(ill, run)
    if lr is None:
        words = f"a {'third' if factor == DIVIDE_LATE else 'tenth'} of it"
        return Dose("lr", None, words, f"The loss {how}: divide the rate by {factor:.0f} (3 to 10 is the usual range).")
    optimizer = facts.optimizer_type(run.setup)
    usual = usual_range(optimizer)
    batch = facts.effective_batch_size(run.setup) or 0.0
    larger = max(1.0, batch / USUAL_BATCH)
    if usual and lr / factor > usual[1] * larger:
        start = rounded(STARTS[kind_of(optimizer)] * larger)
        because = f"The loss {how}, at a rate far above the usual range of {optimizer}: begin at its usual start."
        return Dose("lr", lr, start, because)
    because = f"The loss {how}: divide the rate by {factor:.0f} (3 to 10 is the usual range)."
    return Dose("lr", lr, rounded(lr / factor), because)


USUAL_BATCH: Final = 256.0  # samples: the largest of the common starts (K13), up to which K11's ranges hold as they are


def _stable_share(found: Found) -> float | None:
    """What share of the rate the curvature allows."""
    unstable = found.get("unstable_curvature")
    if unstable is None:
        return None
    level, limit = unstable.evidence.get("lr_sharpness"), unstable.evidence.get("stable_below")
    if not isinstance(level, int | float) or not isinstance(limit, int | float) or level <= limit:
        return None
    return MARGIN * limit / level


def _factor(ill: Finding | None, run: Run) -> tuple[float, str]:
    begins_late = ill is not None and ill.window[0] - run.start > EARLY_SHARE * run.length
    if ill is None:
        return DIVIDE_BAD, "shows less than the layers do"
    if ill.id == "nan_loss":
        return DIVIDE_BAD, "grew without bound"
    if ill.id in UNSTEADY:
        return DIVIDE_LATE, f"turned unsteady at step {ill.window[0]}"
    return (DIVIDE_LATE, "grew only later in the run") if begins_late else (DIVIDE_BAD, "grew from the beginning")


def raise_lr(run: Run, _: Found) -> Dose:
    """To where a range test put it, or to the usual start, where it lies below; else three times as high."""
    lr = current_lr(run)
    tested = facts.tested_lr(run.setup)
    if lr and tested and lr * ROSE < tested:
        return Dose("lr", lr, rounded(tested), TESTED)
    optimizer = facts.optimizer_type(run.setup)
    start = STARTS.get(kind_of(optimizer), 0.0)
    if lr and lr * ROSE < start:
        return Dose("lr", lr, start, f"The usual start for {optimizer} is {start:g}.")
    return Dose(
        "lr", lr, rounded(RAISE * lr) if lr else "three times as much",
        "Nothing shakes at this rate: there is room for larger steps, and three times stays reversible.",
    )  # fmt: skip


def add_warmup(run: Run, _: Found) -> Dose:
    """Until the gradient norm had settled where that was logged, else over a twentieth of the steps."""
    settled = _settled_after(run)
    usual = round(scaling.usual_warmup(run.length))
    if settled is not None and settled > usual:
        return Dose(
            "warmup_steps", 0, settled,
            f"The gradient norm came down to its later level after step {settled}: let the rate rise until there.",
        )  # fmt: skip
    because = "The trouble begins while curvature is still changing fast: let the rate rise over the first steps."
    return Dose("warmup_steps", 0, usual, because)


def _settled_after(run: Run) -> int | None:
    """Steps until the gradient norm first stays near its level in the run's second tenth; None if it does not tell."""
    norm = run.scalar(GRAD_NORM)
    if norm is None or len(norm.finite) < 100:
        return None
    values, steps = norm.finite.values, norm.finite.steps
    tenth = len(values) // 10
    level = float(np.median(values[tenth : 2 * tenth]))
    loud = np.flatnonzero(values[: 2 * tenth] > SETTLED * level)
    return int(steps[min(int(loud[-1]) + 1, len(steps) - 1)]) - run.start if len(loud) else None


def decay_lr(run: Run, _: Found) -> Dose:
    """A cosine over the whole run."""
    borne = borne_before_a_jump(run)
    because = (
        f"The run bore a rate of {borne:.3g}, and broke when it jumped: let it go down from there."
        if borne is not None
        else "The rate was right early; the end wants finer steps: a cosine to 0 over the whole run, after the warmup."
    )
    return Dose("scheduler", _scheduler(run), COSINE, because)


def delay_decay(run: Run, found: Found) -> Dose:
    """A decay that ends with the run."""
    told = run.setup.scheduler_number("T_max") or run.setup.scheduler_number("total_steps")
    if told and told < run.length / 2:
        because = "The rate was gone long before the run was over: let it reach its end with the run."
        return Dose("decay_steps", round(told), run.length, because)
    gone = found["plateau"].evidence.get("rate_gone") if "plateau" in found else None
    until = f"The loss fell until the rate went, at step {gone:.0f}" if isinstance(gone, int | float) else (
        "The loss fell until the rate went"
    )  # fmt: skip
    return Dose("scheduler", _scheduler(run), COSINE, f"{until}: let it go down over the whole run.")


def _scheduler(run: Run) -> Setting:
    named = run.setup.config.get("scheduler") or run.setup.config.get("schedule")
    if named or facts.scheduler_types(run.setup):
        return str(named) if named else " → ".join(facts.scheduler_types(run.setup))
    ran = named_schedule(run.scalar(LR))
    return ran.name if ran is not None else None
