"""Rules about normalisation, its kind and the batch that it sees."""

from __future__ import annotations

from diagnose.facts import batch_size, has_norm, task, weight_layers
from diagnose.findings import Finding
from diagnose.run import Run
from diagnose.setup_rules import breach

__all__ = ["batchnorm_for_language", "batchnorm_with_small_batch", "deep_without_normalization"]

DEEP = 6  # weight layers: from about here on plain networks need help (interdependencies §5)
RELIABLE = 16  # samples that BatchNorm's statistics want, K63 (interdependencies §5)
LANGUAGE = ("language", "nlp", "text", "translation")


def deep_without_normalization(run: Run) -> Finding | None:
    """Deep network without normalisation: six or more weight layers and no normalisation layer.

    Depth needs BatchNorm, LayerNorm or the like, or residual paths. Source: K63 (interdependencies §5).
    """
    depth = weight_layers(run.setup)
    if depth < DEEP or has_norm(run.setup):
        return None
    return breach(
        "deep_without_normalization",
        run,
        f"{depth} weight layers and no normalisation layer between them.",
        weight_layers=depth,
    )


def batchnorm_with_small_batch(run: Run) -> Finding | None:
    """BatchNorm with a small batch: fewer than 16 samples to take its statistics from.

    LayerNorm and GroupNorm do not depend on the batch. Accumulation does not help, as each micro-batch is
    normalised by itself; statistics over several ranks (SyncBatchNorm) and frozen ones are not named.
    Source: K63, K64 (interdependencies §5).
    """
    batch, count = batch_size(run.setup), _batchnorms(run)
    if batch is None or batch >= RELIABLE or not count:
        return None
    return breach(
        "batchnorm_with_small_batch",
        run,
        f"BatchNorm takes its statistics from {batch:,.0f} samples, 16 are wanted; GroupNorm and LayerNorm need none.",
        batch_size=batch,
        batchnorm_layers=count,
    )


def batchnorm_for_language(run: Run) -> Finding | None:
    """BatchNorm for language: statistics over a batch of texts are unreliable.

    Texts differ in length and batches of them are small; LayerNorm normalises each by itself.
    Source: K64 (interdependencies §5).
    """
    count = _batchnorms(run)
    if not count or not any(word in task(run.setup) for word in LANGUAGE):
        return None
    return breach(
        "batchnorm_for_language",
        run,
        f"{count} BatchNorm layers in a model for text, where LayerNorm does not depend on the batch.",
        confidence=0.8,
        batchnorm_layers=count,
    )


def _batchnorms(run: Run) -> int:
    """How many BatchNorm layers learn: frozen ones keep the statistics that they came with."""
    layers = [layer for layer in run.setup.layers if layer.type.startswith("BatchNorm")]
    return sum(layer.trainable for layer in layers)
