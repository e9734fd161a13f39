"""Titration: once a training is healthy, or a dose was too much of a good thing, the dose is changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf, sqrt
from typing import Final

import numpy as np

from diagnose import facts
from diagnose.diagnosis import Change, Diagnosis
from diagnose.findings import Severity
from diagnose.prescriptions.dose import Dose, Found
from diagnose.prescriptions.doses.fit import train_longer
from diagnose.prescriptions.doses.rate import decay_lr
from diagnose.prescriptions.following import followers, move_of
from diagnose.prescriptions.planner import HELD
from diagnose.prescriptions.remedies import known_remedies
from diagnose.prescriptions.settings import settings_of
from diagnose.run import Run
from diagnose.setup_rules.learning_rate import usual_range
from diagnose.signals import LR, LR_SHARPNESS, VALIDATION_LOSS

# How much further, upwards or downwards, at a time: the run is in its good range, and one move is made (K05, K81).
STEPS: Final[Mapping[str, float]] = {
    "lr": 3.0, "batch_size": 2.0, "width": 2.0, "dropout": 4.0, "weight_decay": 10.0, "max_norm": 3.0,
}  # fmt: skip
FROM_A_START = 10.0  # times higher, from Adam's usual start: K01's larger step, upwards
FAR_OFF = 100.0  # times lower or higher: two of K01's largest steps
NEAR_PEAK = 0.5  # of the rates at which the curvature was measured
TOO_SLOW: Final = frozenset({"underfitting", "slow_descent", "undertrained", "plateau", "no_learning", "tiny_updates"})
FURTHER = "It is healthy; a little further, to see whether the {split} loss goes lower still."
OVERDONE = (
    "The rate was lowered by so much that the run is only too slow now: this dose is changed, no other cause treated."
)
STARTED = "The rate is a usual start, which holds: how much more this model bears was not measured yet."


def further(diagnosis: Diagnosis, made: Sequence[Change]) -> Iterator[tuple[Change, ...]]:
    """The doses that may come after `made` has made a run healthy, or too slow, the most promising first.

    - A rate that was lowered by decades, or lay decades above the usual ones, left nothing that was measured at it, and
      SGD's best rate lies anywhere; Adam's steps do not depend on the gradients' scale, so that its usual start suits
      at once (K11).
    - A rate that was lowered and never decays gets its decay: the end wants finer steps (K31).
    - A run that is still falling is trained longer (K41), unless it was given a higher rate, or may be.
    - The first numeric change that led a move is taken further, with what is coupled to it. A rate that was lowered
      goes half of the way back (in the logarithm), towards what was too high or the end of what the measured
      curvature bears, whichever is lower. One that is a usual start of Adam's goes up by ten. A rate that goes further
      up, and never decays, gets its decay with it: what is too high for the end is then not too high for the run (K31).
    - The run is trained longer.
    """
    run, found = diagnosis.run, {finding.id: finding for finding in diagnosis.findings}
    lowered, optimizer = _lowered_rate(made), facts.optimizer_type(run.setup)
    if facts.is_sgd(optimizer) and _was_no_measure(made, optimizer):
        yield _move("use_adamw", Dose("optimizer", optimizer, "AdamW", _because(diagnosis)), diagnosis)
    if lowered is not None and "rate_never_decays" in found:
        yield _decay(diagnosis, found)
    if "undertrained" in found and _started(made) is None and not any(_raises_the_rate(change) for change in made):
        yield _longer(diagnosis)
    yield from _again(diagnosis, made, found)
    yield _longer(diagnosis)


def is_overdone(diagnosis: Diagnosis, made: Sequence[Change]) -> bool:
    """Whether a rate that was lowered by decades has left nothing but a run that is too slow: the dose, not a cause."""
    ill = _ill(diagnosis)
    return (_lowered_rate(made) or 1.0) <= 1 / FAR_OFF and bool(ill) and ill <= TOO_SLOW


def has_just_begun(diagnosis: Diagnosis, made: Sequence[Change]) -> bool:
    """Whether the rate is a usual start, and borne: how well that does is not known before it was moved."""
    return _started(made) is not None and _ill(diagnosis) <= TOO_SLOW


def _ill(diagnosis: Diagnosis) -> set[str]:
    return {finding.id for finding in diagnosis.findings if finding.severity is not Severity.INFO}


def _because(diagnosis: Diagnosis) -> str:
    if not diagnosis.healthy:
        return OVERDONE
    return FURTHER.format(split="validation" if diagnosis.run.scalar(VALIDATION_LOSS) is not None else "training")


def _started(made: Sequence[Change]) -> Change | None:
    """The rate that came with another optimizer, or was raised by decades: a usual start, and nothing measured."""
    switches = {change.remedy for change in made if change.setting == "optimizer"}
    rates = (change for change in made if change.setting == "lr")
    return next((one for one in rates if one.coupled_to in switches or (times(one) or 0.0) >= FAR_OFF), None)


def _was_no_measure(made: Sequence[Change], optimizer: str) -> bool:
    """Whether a rate was lowered by decades, or from decades above the usual ones."""
    usual, lowered = usual_range(optimizer), _lowered_rate(made)
    if lowered is None:
        return False
    highest = max(float(change.before or 0) for change in made if change.setting == "lr")
    return lowered <= 1 / FAR_OFF or (usual is not None and highest >= FAR_OFF * usual[1])


def _lowered_rate(made: Sequence[Change]) -> float | None:
    """The lowered rate as a share of what it was."""
    shares = (share for change in made if change.setting == "lr" and (share := times(change)) is not None)
    return next((share for share in shares if share < 1), None)


def _again(diagnosis: Diagnosis, made: Sequence[Change], found: Found) -> Iterator[tuple[Change, ...]]:
    """Each leading change once more, and a rate that is a usual start."""
    settings, started = settings_of(diagnosis.run), _started(made)
    for change in made:
        if change.coupled_to is not None and change is not started:
            continue
        wanted = _from_a_start(change, diagnosis.run) if change is started else _beyond(change, diagnosis.run)
        if not wanted:
            continue
        value = settings.clamped(change.setting, float(f"{wanted:.3g}"))
        if value == change.after:
            continue
        lead = _led(change, value, STARTED if change is started else _because(diagnosis))
        follow = followers([lead], settings.with_(change.setting, change.after), hold=HELD.get(change.remedy, ()))
        rises = change.setting == "lr" and value > float(change.after or 0)
        yield (lead, *follow, *(_decay(diagnosis, found) if rises else ()))


def _led(change: Change, value: float, because: str) -> Change:
    """The change from where it ended to `value`, under the name of that move: a lowered rate may go up again."""
    lead = replace(change, before=change.after, after=value, because=because, coupled_to=None)
    remedy = known_remedies().get(move_of(change.setting, change.after, value))
    if remedy is None or remedy.id == change.remedy:
        return lead
    return replace(
        lead, remedy=remedy.id, title=remedy.title, sources=remedy.sources, watch=remedy.watch,
        refuted_by=remedy.refuted_by,
    )  # fmt: skip


def _from_a_start(change: Change, run: Run) -> float | None:
    """Of SGD's, whose best rate goes with the gradients' scale, no further than any other rate."""
    step = STEPS["lr"] if facts.is_sgd(facts.optimizer_type(run.setup)) else FROM_A_START
    return step * change.after if isinstance(change.after, int | float) else None


def _beyond(change: Change, run: Run) -> float | None:
    step, before, after = STEPS.get(change.setting), change.before, change.after
    if step is None or not isinstance(after, int | float) or not after:
        return None
    if not isinstance(before, int | float):
        return after / step if change.setting == "max_norm" else after * step  # without clipping the limit was infinite
    if after > before:
        return after * step
    if change.setting != "lr":
        return after / step
    return sqrt(after * max(min(before, _borne(run)), after))


def _borne(run: Run) -> float:
    """The highest rate that the curvature bears; infinite where nobody measured.

    Only SGD's: its steps are what `stable_below` speaks of. The sharpest curvature counts that was measured near the
    peak of the rate: under a rate that goes down it grows as far as that one bears (Cohen et al. 2021).
    """
    product, rates = run.scalar(LR_SHARPNESS), run.scalar(LR)
    if product is None or not len(product.finite) or not facts.is_sgd(facts.optimizer_type(run.setup)):
        return inf
    looks = product.finite
    if rates is not None and len(rates.finite):
        used = np.interp(looks.steps, rates.finite.steps, rates.finite.values)
    else:
        used = np.full(len(looks), run.setup.optimizer_setting("lr") or 0.0)
    near = (used > 0) & (used >= NEAR_PEAK * used.max())
    sharpness = looks.values[near] / used[near]
    return facts.stable_below(run.setup) / float(sharpness.max()) if (sharpness > 0).any() else inf


def times(change: Change) -> float | None:
    """The new value as a multiple of the old one; None where either is no number."""
    before, after = change.before, change.after
    if not isinstance(before, int | float) or not isinstance(after, int | float):
        return None
    return after / before if before else inf


def _raises_the_rate(change: Change) -> bool:
    return change.setting == "lr" and change.coupled_to is None and (times(change) or 0.0) > 1


def _decay(diagnosis: Diagnosis, found: Found) -> tuple[Change, ...]:
    return _move("decay_lr", decay_lr(diagnosis.run, found), diagnosis) if "rate_never_decays" in found else ()


def _longer(diagnosis: Diagnosis) -> tuple[Change, ...]:
    dose = train_longer(diagnosis.run, {})
    return _move("train_longer", dose, diagnosis) if dose is not None else ()


def _move(name: str, dose: Dose, diagnosis: Diagnosis) -> tuple[Change, ...]:
    remedy = known_remedies()[name]
    lead = Change(
        remedy.id, remedy.title, dose.setting, dose.before, dose.after, _because(diagnosis), remedy.sources,
        watch=remedy.watch, refuted_by=remedy.refuted_by,
    )  # fmt: skip
    return (lead, *followers([lead], settings_of(diagnosis.run)))
