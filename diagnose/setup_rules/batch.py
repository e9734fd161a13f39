"""Rules about the batch size."""

from __future__ import annotations

from diagnose.facts import SMALL_SET, accumulation, batch_size, effective_batch_size, is_fine_tuning, passes, task
from diagnose.findings import Finding
from diagnose.run import Run
from diagnose.setup_rules import breach

__all__ = ["batch_outside_common_starts", "few_passes", "few_samples_per_class", "full_batch"]

PER_CLASS = 3  # samples, K12 (tune-like-a-champ "Choosing a Proper Batch Size")
COMMON = (32, 256)  # samples, K13 (deep-dive §3)
PASSES = 2.0  # over a small data set: tens are usual
FAR = 4.0  # times beyond either end, two doublings: these are starts for a search, not limits


def few_samples_per_class(run: Run) -> Finding | None:
    """Few samples per class: a batch holds fewer than three of each class on average.

    Five classes are well served by 16 samples, 35 classes are not. With over 85 classes the rule would ask
    for batches beyond the common ones (K13), and is silent.
    Source: K12 (tune-like-a-champ "Choosing a Proper Batch Size"), K13 (deep-dive §3), K10 (interdependencies §9).
    """
    batch, classes = effective_batch_size(run.setup), run.setup.config_number("num_classes")
    kind = task(run.setup)
    if batch is None or classes is None or classes < 2 or (kind and "classif" not in kind):
        return None
    if batch >= PER_CLASS * classes or PER_CLASS * classes > COMMON[1]:
        return None
    return breach(
        "few_samples_per_class",
        run,
        f"A batch of {batch:,.0f} holds {batch / classes:.2g} samples of each of {classes:,.0f} classes: 3 are wanted.",
        batch_size=batch,
        num_classes=classes,
    )


def batch_outside_common_starts(run: Run) -> Finding | None:
    """Batch outside the common starts: under 8 or over 1024 samples a step.

    Common starts are 32, 64, 128 and 256. Very small batches make noisy steps and use the hardware badly;
    the largest that fits memory is not automatically the best model.
    Source: K13 (deep-dive §3), K06 (interdependencies §1), K10 (interdependencies §9).
    """
    batch = effective_batch_size(run.setup)
    if batch is None or COMMON[0] / FAR <= batch <= COMMON[1] * FAR:
        return None
    side = "below" if batch < COMMON[0] else "above"
    parts = f", in {accumulation(run.setup):.0f} micro-batches" if accumulation(run.setup) > 1 else ""
    return breach(
        "batch_outside_common_starts",
        run,
        f"A step takes {batch:,.0f} samples{parts}: {side} the common starts, 32 to 256.",
        batch_size=batch,
        side=side,
        single="yes" if batch == 1 else "no",
    )


def full_batch(run: Run) -> Finding | None:
    """Full batch: one batch holds all training samples, so that an epoch is one step.

    The gradient noise that SGD lives on, S ∝ η (N − B) / B, is then zero.
    Source: K09 (stability-scaling §1), K13 (deep-dive §3).
    """
    batch, samples = batch_size(run.setup), run.setup.config_number("dataset_size")
    if batch is None or samples is None or samples < 2 or batch < samples:
        return None
    return breach(
        "full_batch",
        run,
        f"One batch holds all {samples:,.0f} training samples: an epoch is one step, and its gradient has no noise.",
        batch_size=batch,
        dataset_size=samples,
    )


def few_passes(run: Run) -> Finding | None:
    """Few passes: training from scratch has seen each of up to 100,000 samples less than twice.

    Small data sets are usually passed tens of times; only very large ones have enough to tell in one pass.
    Source: K41, K49 (deep-dive §4).
    """
    seen, samples = passes(run), run.setup.config_number("dataset_size")
    if seen is None or samples is None or samples > SMALL_SET or is_fine_tuning(run.setup):
        return None
    if seen >= PASSES or not seen > 0:
        return None
    return breach(
        "few_passes",
        run,
        f"The run has seen each of its {samples:,.0f} samples {seen:.2g} times.",
        confidence=0.8,
        passes=seen,
        dataset_size=samples,
    )
