"""NaN loss: the training loss becomes NaN or infinite.

What it looks like   The curve ends, or has a hole: from one step on the loss is no number any more.
How it is told       Non-finite values in the training loss. One that comes back to finite values is a
                     `warning`; one that stays is `critical`. So is that of another rank of a distributed
                     training (`loss/rank3`), unless rank 0 goes on with finite losses. Where only a loss
                     logged by name (any scalar of the training with “loss” in its name: `loss_gan`,
                     `pixel_loss`; not `kl`) is non-finite, while the training loss stays finite, a
                     `warning`; where only the gradient norm is, a `warning` too, and no more than `info`
                     under loss scaling, which skips such steps.
Where it began       In the loss logged by name that broke first: the total only holds the others, and is
                     left out where it breaks in the same step. On the rank whose own loss broke first:
                     the others' gradients of that step are only infected. Among the model's inputs, its
                     weights, a layer's forward pass, the loss after the last layer, the backward pass and
                     the optimizer's step: in what the log shows broken first (`diagnose/nan_origin.py`).
Why it matters       Every weight that a non-finite gradient touched is lost; nothing after it is training.
Mistaken for         `divergence` grows without bound but stays finite, often just before.
When to ignore it    Single steps under loss scaling that were skipped. A loss logged by name that is NaN
                     on purpose where it was not computed.
Causes               lr_too_high, missing_clipping, precision, bad_data
Sources              K01 (deep-dive §2)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from diagnose.findings import Finding, Severity
from diagnose.logs.names import is_training_loss
from diagnose.nan_origin import Origin, origin_of, origin_on_ranks
from diagnose.run import Run, Series, Values
from diagnose.signals import GRAD_NORM, LR, TRAIN_LOSS, rank_of_loss

RECOVERED_VALUES = 3  # at the end of the curve, all finite again: what a NaN has reached never is
GROWN = 10.0  # times its first value: what grows without bound passes there, noise does not


class _First(NamedTuple):
    """What broke first: the step, and the losses' names or the ranks' numbers."""

    step: int
    who: tuple[str, ...]


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window from the first to the last non-finite value."""
    curves = {name: curve for name in sorted(run.scalars) if (curve := run.scalar(name)) is not None}
    named = {_shown(name): c for name, c in curves.items() if is_training_loss(name) and name != TRAIN_LOSS}
    ranks = {str(rank): curve for name, curve in curves.items() if (rank := rank_of_loss(name)) is not None}
    total, norm = curves.get(TRAIN_LOSS), curves.get(GRAD_NORM)
    first_rank, first_named = _first_of(ranks), _first_of(named)
    if total is not None and _bad(total).any():
        yield _of_total(run, total, named, ranks)
    elif first_rank is not None:
        yield _of_rank(run, first_rank, ranks, total)
    elif first_named is not None:
        yield _of_named(run, first_named, named, beside_total=total is not None)
    elif norm is not None and _bad(norm).any():
        yield _of_gradients(run, norm)


def _of_total(run: Run, total: Series, named: Mapping[str, Series], ranks: Mapping[str, Series]) -> Finding:
    step = int(total.steps[_bad(total)][0])
    # Rank 0's own loss is the total: ranks that broke in the same step as it did share the reason with it.
    first_rank, first_named = _first_of({"0": total, **ranks}), _first_of(named)
    evidence: dict[str, float | str] = {}
    told = ""
    if first_named is not None and first_named.step <= step:
        evidence["first_losses"] = ", ".join(first_named.who)
        told = _named_sentence(first_named, len(named))
    origin = origin_of(run, min(step, first_named.step) if first_named is not None else step)
    if ranks and first_rank is not None and first_rank.who == ("0",):
        evidence["first_ranks"] = "0"
        told += " Rank 0 was the first."
    elif first_rank is not None and "0" not in first_rank.who:
        evidence["first_ranks"] = ", ".join(first_rank.who)
        origin = origin_on_ranks(run, first_rank.step, first_rank.who)
    return _finding(run, total, "The training loss", told, origin=origin, extra=evidence)


def _of_rank(run: Run, first: _First, ranks: Mapping[str, Series], total: Series | None) -> Finding:
    """Another rank's loss is broken and rank 0's is not: it ends there, or the broken step was left out."""
    went_on = total is not None and total.steps[-1] > first.step
    evidence, told = {"first_ranks": ", ".join(first.who)}, " Rank 0's is finite."
    origin = origin_on_ranks(run, first.step, first.who)
    subject = f"The training loss of rank {first.who[0]}"
    finding = _finding(run, ranks[first.who[0]], subject, told, origin=origin, extra=evidence)
    return replace(finding, severity=Severity.WARNING) if went_on else finding


def _of_named(run: Run, first: _First, named: Mapping[str, Series], *, beside_total: bool) -> Finding:
    """Only a loss logged by name is broken."""
    curve, evidence = named[first.who[0]], {"first_losses": ", ".join(first.who)}
    told = " The training loss itself is finite." if beside_total else _named_sentence(first, len(named))
    origin = None if beside_total else origin_of(run, first.step)
    finding = _finding(run, curve, f"The loss {first.who[0]}", told, origin=origin, extra=evidence)
    return replace(finding, severity=Severity.WARNING) if beside_total else finding


def _of_gradients(run: Run, norm: Series) -> Finding:
    """The gradient norm alone is non-finite: on purpose under loss scaling, a near miss elsewhere."""
    bad = np.flatnonzero(_bad(norm))
    scaled = run.scalar("loss_scale") is not None
    return Finding(
        id="nan_loss",
        severity=Severity.INFO if scaled else Severity.WARNING,
        confidence=0.8,
        window=(int(norm.steps[bad[0]]), int(norm.steps[bad[-1]])),
        summary=f"The gradient norm is no finite number at {len(bad)} of {len(norm)} steps, while the loss stays one.",
        evidence={"first_step": int(norm.steps[bad[0]]), "nonfinite_gradient_norms": len(bad)},
    )


def _finding(
    run: Run, curve: Series, subject: str, told: str, *, origin: Origin | None, extra: Mapping[str, float | str]
) -> Finding:
    """What the curve tells: `told` and the origin's sentence follow its own."""
    bad = _bad(curve)
    first, last = np.flatnonzero(bad)[[0, -1]]
    step, recovered = int(curve.steps[first]), not bad[-RECOVERED_VALUES:].any()
    before = curve.values[:first][~bad[:first]]
    evidence: dict[str, float | str] = {
        "first_step": step,
        "before_any_step": "yes" if bad[0] and run.setup.optimizer and run.start == 0 else "no",
        "value": "NaN" if np.isnan(curve.values[first]) else "infinity",
        "nonfinite_values": int(bad.sum()),
        **({"loss_before": float(before[-1]), "loss_had_grown": _grown(before)} if len(before) else {}),
        **dict(_last_finite(run, step)),
        **extra,
        **({"origin": origin.place, "origin_step": origin.step} if origin is not None else {}),
    }
    came_from = f", from {before[-1]:.3g} the step before" if len(before) else ", from the very start"
    ending = "and came back" if recovered else "and stays so"
    began = f" {origin.sentence}" if origin is not None else ""
    return Finding(
        id="nan_loss",
        severity=Severity.WARNING if recovered else Severity.CRITICAL,
        confidence=0.99,
        window=(step, int(curve.steps[last])),
        summary=f"{subject} stops being a number at step {step}{came_from}, {ending}.{told}{began}",
        evidence=evidence,
        layers=origin.layers if origin is not None else (),
    )


def _grown(before: Values) -> str:
    """Whether the loss was far above its first value when it broke: what grows without bound passes there."""
    return "yes" if abs(before[-1]) > GROWN * abs(before[0]) else "no"


def _named_sentence(first: _First, several: int) -> str:
    if len(first.who) > 1 and len(first.who) == several:
        return f" All losses logged by name broke together, at step {first.step}."
    return f" The first to break was {' and '.join(first.who)}, at step {first.step}."


def _first_of(curves: Mapping[str, Series]) -> _First | None:
    """Which of the curves broke first, all of them where several did in one step; None where all are finite."""
    steps = {name: int(curve.steps[bad][0]) for name, curve in curves.items() if (bad := _bad(curve)).any()}
    if not steps:
        return None
    first = min(steps.values())
    return _First(first, tuple(name for name, step in steps.items() if step == first))


def _bad(curve: Series) -> NDArray[np.bool_]:
    return ~np.isfinite(curve.values)


def _shown(name: str) -> str:
    """A logged loss's name as the user gave it."""
    return name.removesuffix("/train")


def _last_finite(run: Run, step: int) -> Iterator[tuple[str, float]]:
    """The learning rate and the gradient norm until `step`."""
    for name, label in ((LR, "lr_at_first"), (GRAD_NORM, "grad_norm_before")):
        series = run.scalar(name)
        if series is not None:
            sound = series.finite
            until = sound.values[sound.steps <= step]
            if len(until):
                yield label, float(until[-1])
