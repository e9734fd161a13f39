"""NaN loss: the training loss becomes NaN or infinite.

What it looks like   The curve ends, or has a hole: from one step on the loss is no number any more.
How it is told       Non-finite values in the training loss. One that comes back to finite values is a
                     `warning`; one that stays is `critical`. Where only the gradient norm is non-finite,
                     a `warning`, and no more than `info` under loss scaling, which skips such steps.
                     The gradients of each step tell where it began: in the backward pass of a step whose
                     loss was still finite, and behind which layer; or in the forward pass.
Why it matters       Every weight that a non-finite gradient touched is lost; nothing after it is training.
Mistaken for         `divergence` grows without bound but stays finite, often just before.
When to ignore it    Single steps under loss scaling that were skipped.
Causes               lr_too_high, missing_clipping, precision, bad_data
Sources              K01 (deep-dive §2)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from diagnose.findings import Finding, Severity
from diagnose.run import Run, Series, Values
from diagnose.signals import GRAD_NORM, LAYER_GRAD_NORM, LR, TRAIN_LOSS

RECOVERED_SHARE = 0.05  # of the run's last values: all finite again means that the run went on


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window from the first to the last non-finite value."""
    loss, norm = run.scalar(TRAIN_LOSS), run.scalar(GRAD_NORM)
    if loss is not None and not np.isfinite(loss.values).all():
        yield _of_loss(run, loss)
    elif norm is not None and not np.isfinite(norm.values).all():
        yield _of_gradients(run, norm)


def _of_loss(run: Run, loss: Series) -> Finding:
    bad = ~np.isfinite(loss.values)
    first, last = np.flatnonzero(bad)[[0, -1]]
    tail = max(1, int(len(loss) * RECOVERED_SHARE))
    recovered = not bad[-tail:].any()
    before = loss.values[:first][~bad[:first]]
    evidence: dict[str, float | str] = {
        "first_step": int(loss.steps[first]),
        "value": "NaN" if np.isnan(loss.values[first]) else "infinity",
        "nonfinite_values": int(bad.sum()),
    }
    if len(before):
        evidence["loss_before"] = float(before[-1])
    for name, label in ((LR, "lr_at_first"), (GRAD_NORM, "grad_norm_before")):
        value = _last_finite_until(run, name, int(loss.steps[first]))
        if value is not None:
            evidence[label] = value
    summary = _summary(int(loss.steps[first]), recovered=recovered, before=before)
    origin = _origin(run, int(loss.steps[first]))
    if origin is not None:
        evidence |= {"origin": origin.direction, "origin_step": origin.step}
        summary += f" {origin.sentence}"
    return Finding(
        id="nan_loss",
        severity=Severity.WARNING if recovered else Severity.CRITICAL,
        confidence=0.99,
        window=(int(loss.steps[first]), int(loss.steps[last])),
        summary=summary,
        evidence=evidence,
        layers=origin.layers if origin is not None else (),
    )


def _of_gradients(run: Run, norm: Series) -> Finding:
    """The gradient norm alone is non-finite: on purpose under loss scaling, a near miss elsewhere."""
    bad = np.flatnonzero(~np.isfinite(norm.values))
    scaled = run.scalar("loss_scale") is not None
    return Finding(
        id="nan_loss",
        severity=Severity.INFO if scaled else Severity.WARNING,
        confidence=0.8,
        window=(int(norm.steps[bad[0]]), int(norm.steps[bad[-1]])),
        summary=f"The gradient norm is no finite number at {len(bad)} of {len(norm)} steps, while the loss stays one.",
        evidence={"first_step": int(norm.steps[bad[0]]), "nonfinite_gradient_norms": len(bad)},
    )


class _Origin(NamedTuple):
    """Where numbers first stopped being finite, as far as the gradients of each step tell."""

    direction: Literal["forward", "backward"]
    step: int
    layers: tuple[str, ...]
    sentence: str


def _origin(run: Run, loss_step: int) -> _Origin | None:
    """Backward where gradients broke in a step whose loss was still finite, forward where the loss broke first.

    A backward pass runs from the last layer to the first and carries what is broken along: it broke at the
    output of the last layer, in the order of the forward pass, whose gradient is not finite.
    """
    gradients = run.per_layer(LAYER_GRAD_NORM)
    names = run.layer_names
    if gradients is None or len(names) != gradients.values.shape[1]:
        return None
    broken = ~np.isfinite(gradients.values)
    rows = np.flatnonzero(broken.any(axis=1))
    if not len(rows) or gradients.steps[rows[0]] >= loss_step:
        return _Origin("forward", loss_step, (), "Every gradient before was finite: it broke in that forward pass.")
    step = int(gradients.steps[rows[0]])
    layer = names[int(np.flatnonzero(broken[rows[0]])[-1])]
    return _Origin("backward", step, (layer,), f"It broke in the backward pass of step {step}, behind layer {layer}.")


def _summary(step: int, *, recovered: bool, before: Values) -> str:
    came_from = f", from {before[-1]:.3g} the step before" if len(before) else ", from the very start"
    ending = "and came back" if recovered else "and stays so"
    return f"The training loss stops being a number at step {step}{came_from}, {ending}."


def _last_finite_until(run: Run, name: str, step: int) -> float | None:
    series = run.scalar(name)
    if series is None:
        return None
    sound = series.finite
    until = sound.values[sound.steps <= step]
    return float(until[-1]) if len(until) else None
