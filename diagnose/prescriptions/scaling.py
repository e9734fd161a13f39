"""The formulas by which one hyperparameter follows another, as plain functions of numbers."""

from __future__ import annotations

from math import ceil, sqrt
from typing import Final

LINEAR_UP_TO: Final = 8192  # samples, K08 (interdependencies §1)
LARGE_BATCH: Final = 1024  # samples: above it warmup is measured in epochs, K22 (interdependencies §6)
WARMUP_EPOCHS: Final = (5, 10)  # for large batches, K22; the upper end beyond LINEAR_UP_TO
WARMUP_SHARE: Final = 0.05  # of the steps: what is common where no document gives a number (K21)
LEAST_WARMUP: Final = 10  # steps
LESS_REGULARIZATION: Final = 0.6  # K46, K47: cut by 30 to 50 %; the middle
LITTLE_LESS: Final = 0.9  # K48 says “a little”: a tenth
LONGER_UNDER_AUGMENTATION: Final = 1.75  # K47: 1.5 to 2 times; the middle
MOST_EPOCHS: Final = 2.0  # times as long at the most in one move: more is a decision about money, not a coupling
LEAST_MOMENTUM, MOST_MOMENTUM = 0.5, 0.99
MOST_TIGHTER: Final = 3.0  # times smaller a clip threshold at once
FAR_OFF: Final = 30.0  # times: a rate that rises by decades was no measure of anything
MOST_STRONGER: Final = 2.0  # times weight decay for more capacity at once
WIDE: Final = 64  # units: scaling rules across widths are limits of wide layers, and say nothing of narrow ones


def noise_scale(lr: float, batch: float, dataset_size: float) -> float:
    """S ∝ η (N − B) / B, the scale of SGD's noise near a basin (K09, stability-scaling §1)."""
    return lr * (dataset_size - batch) / batch


def lr_for_batch(lr: float, batch: float, new_batch: float, *, dataset_size: float | None = None) -> float:
    """SGD's rate for another batch: η ∝ B up to 8192 samples and η ∝ √B beyond (K07, K08).

    A batch that shrinks from a large part of the `dataset_size` samples takes the rate further down, so that
    S = η (N − B) / B stays (K09), which for B ≪ N is the same. For one that grows, K09 would ask for more than the
    linear rule and without bound as B nears N; the linear rule stands there. What lies beyond N / 2 counts as N / 2.
    """
    linear = min(new_batch, LINEAR_UP_TO) / min(batch, LINEAR_UP_TO)
    root = sqrt(max(new_batch, LINEAR_UP_TO) / max(batch, LINEAR_UP_TO))
    kept = 1.0
    if dataset_size and new_batch < batch:
        old, new = (min(size, dataset_size / 2) for size in (batch, new_batch))
        kept = noise_scale(old, old, dataset_size) / noise_scale(new, new, dataset_size)  # beside η ∝ B
    return lr * linear * root * kept


def adaptive_lr_for_batch(lr: float, batch: float, new_batch: float) -> float:
    """The rate of Adam and its kin for another batch: η ∝ √B (K10 allows both; Malladi et al. 2022 derive the root)."""
    return lr * sqrt(new_batch / batch)


def warmup_for_batch(batch: float, steps_per_epoch: float) -> float:
    """Steps of warmup that a large batch asks for: 5 epochs above 1024 samples, 10 beyond 8192; else 0 (K22, K24)."""
    if batch <= LARGE_BATCH:
        return 0.0
    return WARMUP_EPOCHS[batch > LINEAR_UP_TO] * steps_per_epoch


def usual_warmup(steps: float) -> float:
    """Steps of warmup for a training of `steps`: a twentieth, and ten at least."""
    return max(float(LEAST_WARMUP), WARMUP_SHARE * steps)


def weight_decay_for(decay: float, *, rate_ratio: float, batch_ratio: float) -> float:
    """The decay that forgets a weight over as many samples as before: λ ∝ B / η.

    A step takes the share η·λ from each weight, an epoch N/B times that (Wang & Aitchison 2024; K10 asks for λ to
    follow the batch). With the linear rule for η, λ stays as it is.
    """
    return decay * batch_ratio / rate_ratio


def momentum_for(momentum: float, lr: float, new_lr: float) -> float:
    """β_t ≈ 1 − c·η_t with c from the present pair (K27, interdependencies §4), between 0.5 and 0.99.

    K32's cycles stay within 0.85 and 0.95; far below, momentum is none. One that was lower already stays.
    """
    return min(max(1 - (1 - momentum) * new_lr / lr, min(LEAST_MOMENTUM, momentum)), MOST_MOMENTUM)


def lr_for_momentum(lr: float, momentum: float, new_momentum: float) -> float:
    """The rate that keeps β ≈ 1 − c·η for another momentum, and so the length η / (1 − β) of a long step (K27)."""
    return lr * (1 - new_momentum) / (1 - momentum)


def longer_training(ratio: float) -> float:
    """How many times as long, for `ratio` < 1 of the old rate: the root of 1/ratio, at most twice.

    The time to a given loss grows as 1/η where the steps were too short, and less where they were too long. The
    documents give the direction alone (K49); the root is half of the way in the logarithm.
    """
    return min(ratio**-0.5, MOST_EPOCHS) if ratio < 1 else 1.0


def clip_for_lr(max_norm: float, ratio: float) -> float:
    """Clip threshold ∝ 1/η where the rate rises: their product bounds a step (K25, interdependencies §7).

    At most to a third: the document gives the direction alone.
    """
    return max_norm / min(max(ratio, 1.0), MOST_TIGHTER)


def clip_for_batch(max_norm: float, ratio: float) -> float:
    """Clip threshold ∝ 1/√B where the rate rises with the batch: the noise in the gradient's norm falls like that.

    So the threshold clips as many steps as before, and falls as the rate rises (K25).
    """
    return max_norm / sqrt(max(ratio, 1.0))


def shrunk_batch(size: float, ratio: float) -> float:
    """A batch of at most `size` / `ratio` samples that goes into `size` without remainder, where one is near (K65).

    Near is down to half of that; else the rest of the division is lost. 1 at least.
    """
    parts = ceil(ratio * (1 - 1e-9))
    even = next((n for n in range(parts, 2 * parts) if size % n == 0), parts)
    return max(size // even, 1.0)
