"""Late instability: training was healthy for long, then the loss climbs part of the way back or begins to shake.

What it looks like   A good curve whose last part is above its best, or suddenly several times as noisy.
How it is told       The best smoothed level comes after a fifth of the run at the least. From there on
                     either the level rises, by a tenth of the whole fall and four deviations of the
                     curve's noise, and stays up (or by less than a tenth, but back to where the run was
                     after a quarter of those steps); or the noise around the level grows to three times what
                     it was, by a twentieth of the fall at the least, and stays so. A rise of the learning
                     rate at the onset to what it was before (a restart, a cycle) explains it away.
Why it matters       The rate that was right early is too high for the finer valley reached later; the
                     weights of the best step are better than the last ones.
Mistaken for         `divergence` loses half of the fall or more; `loss_spikes` come back within a few
                     steps; `overfitting` raises the validation loss alone.
When to ignore it    When the data or the loss changed on purpose in mid-run.
Causes               lr_too_high, missing_decay, bad_data, missing_clipping
Sources              K03 (deep-dive §2), K20 (stability-scaling §2)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diagnose import curves
from diagnose.findings import Finding, Severity
from diagnose.run import Run, Series, Values
from diagnose.schedules import ROSE, rate_rises
from diagnose.signals import LR, TRAIN_LOSS
from diagnose.symptoms import divergence

MIN_VALUES = 40
HEALTHY_SHARE = 0.2  # of the run, before its best level: twice what counts as its beginning (K21)
LOST_PROGRESS = 0.1  # share of the fall; from 0.5 on it is a divergence
NOISE_FACTOR = 4.0  # deviations of the curve's own noise
UNDONE = 0.75  # of the steps to the best level: by the loss, the run is back where it was before them
LASTING = 0.1  # of the run, after the best level: what the last level is a median of
FALLEN = 0.8  # of the fall, before noise may count: near chance all losses are alike, and noise grows with learning
SHAKES = 3.0  # times the earlier noise
LEAST_OF_FALL, LEAST_OF_LEVEL = 0.01, 0.5  # a rise that undoes much is one, by the fall or by the level it had
SHAKE_OF_FALL = 0.05  # of the fall: a noise that disturbs
BLOCKS = 40
BLOCK_VALUES = 10  # at the least
LASTING_BLOCKS = 4  # a tenth of the run
MARGIN = 0.02  # of the run, before the onset: where a rise of the rate explains it


def find(run: Run) -> Iterator[Finding]:
    """Yield at most one finding, its window from the onset to the last step."""
    loss = run.scalar(TRAIN_LOSS)
    if loss is None or len(loss.finite) < MIN_VALUES or any(divergence.find(run)):
        return
    raw = curves.reduced(loss)
    curve = curves.smoothed(raw)
    best_at = int(np.argmin(curve.values))
    best, best_step = float(curve.values[best_at]), int(curve.steps[best_at])
    fall = curves.start_level(loss) - best
    if fall <= NOISE_FACTOR * curves.step_noise(loss.finite.values):
        return
    length = int(curve.steps[-1]) - loss.start
    lasting = len(curve) - best_at > LASTING * len(curve)  # a best level at the very end is a fall
    rise, needed = curve.last_level - best, max(LOST_PROGRESS * fall, NOISE_FACTOR * curves.noise(raw.values))
    healthy_until = best_step
    undone = int(np.argmax(curve.values <= curve.last_level)) < (1 - UNDONE) * best_at
    if undone:
        needed = max(NOISE_FACTOR * curves.noise(raw.values), min(LEAST_OF_FALL * fall, LEAST_OF_LEVEL * abs(best)))
    if lasting and rise > needed:
        onset, kind, size = curves.onset(loss, best_step, best + rise / 4), "climbs", rise / fall
        told = f"climbs from {best:.3g} to {curve.last_level:.3g}, losing {rise / fall:.0%} of its progress"
        margin = rise / needed
    else:
        shaking = _shaking(loss.finite, curve, fall)
        if shaking is None:
            return
        onset, margin = shaking
        kind, size, healthy_until = "shakes", margin * SHAKES, onset
        told = f"begins to shake: its noise is {size:.1f} times what it was"
    if healthy_until - loss.start < HEALTHY_SHARE * length:
        return
    if _restarted(run.scalar(LR), onset, int(MARGIN * length)):
        return
    yield Finding(
        id="late_instability",
        severity=Severity.WARNING,
        confidence=0.5 + 0.45 * curves.sigmoid(2 * (margin - 1.5)),
        window=(onset, int(curve.steps[-1])),
        summary=f"After {onset - loss.start} healthy steps the training loss {told}.",
        evidence={
            "onset": onset,
            "loss_best": best,
            "best_step": best_step,
            "loss_last": curve.last_level,
            "kind": kind,
            "share_of_progress_lost" if kind == "climbs" else "noise_grew_times": size,
        },
    )


def _restarted(lr: Series | None, onset: int, margin: int) -> bool:
    """Whether the rate rises at the onset to what it had been before; a rate never used before is no excuse."""
    if lr is None or not rate_rises(lr, onset - margin, onset + margin):
        return False
    before = lr.finite.values[lr.finite.steps < onset - margin]
    return len(before) > 0 and bool(lr.finite.values.max() <= ROSE * before.max())


def _shaking(sound: Series, curve: curves.Curve, fall: float) -> tuple[int, float] | None:
    """Where the noise grows for good, and how far past the threshold; None where it does not."""
    block = max(BLOCK_VALUES, -(-len(sound) // BLOCKS))
    beside: Values = sound.values - curves.level_at(curve, sound.steps)
    starts = np.arange(0, len(beside) - block // 2, block)
    each = np.array([curves.mad(beside[begin : begin + block]) for begin in starts])
    if len(each) < 3 * LASTING_BLOCKS:
        return None
    best = (0.0, 0)
    for at in range(LASTING_BLOCKS, len(each) - LASTING_BLOCKS + 1):
        before, after = float(np.median(each[max(0, at - 3 * LASTING_BLOCKS) : at])), float(np.median(each[at:]))
        # Nothing of what follows may be as calm as before: a noise that comes and goes is none of ours.
        if float(curve.values.min()) + (1 - FALLEN) * fall < float(
            curves.level_at(curve, int(sound.steps[starts[at]]))
        ):
            continue
        lasting = float(np.quantile(each[at:], 0.2)) > 0.5 * SHAKES * before
        if after > SHAKE_OF_FALL * fall and lasting and before > 0:
            best = max(best, (after / before / SHAKES, at))
    return (int(sound.steps[starts[best[1]]]), best[0]) if best[0] > 1 else None
