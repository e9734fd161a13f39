"""Rules about the model for this kind and amount of data."""

from __future__ import annotations

from math import log2

from diagnose.facts import NO, WEIGHT_LAYERS, task, weight_layers
from diagnose.findings import Finding
from diagnose.run import Run
from diagnose.setup_rules import breach

__all__ = ["deep_net_for_small_table", "few_samples_without_pretraining", "narrow_layers"]

SMALL = 10_000  # samples: the medium size of tabular benchmarks (Grinsztajn et al. 2022)
MOST_HIDDEN = 3  # layers to start from, K66 (deep-dive §5)
NARROW = 20.0  # times narrower than inputs and outputs alike: even autoencoders squeeze in one layer, not in all
RICH = ("image", "vision", "audio", "speech", "text", "language", "nlp")


def deep_net_for_small_table(run: Run) -> Finding | None:
    """Deep network for a small table: more than three hidden layers for up to 10,000 rows.

    Small tabular data are met with one to three hidden layers first. Source: K66 (deep-dive §5).
    """
    rows, hidden = run.setup.config_number("dataset_size"), weight_layers(run.setup) - 1
    if "tabular" not in task(run.setup) or rows is None or not 0 < rows <= SMALL or hidden <= MOST_HIDDEN:
        return None
    return breach(
        "deep_net_for_small_table",
        run,
        f"{hidden} hidden layers for a table of {rows:,.0f} rows: 1 to 3 are the place to start.",
        hidden_layers=hidden,
        dataset_size=rows,
    )


def few_samples_without_pretraining(run: Run) -> Finding | None:
    """Few samples without pretraining: up to 10,000 images, recordings or texts for a model trained from nothing.

    For such data proven or pretrained architectures usually give more than any setting. Told where the
    config says `pretrained` is off. Source: K66 (deep-dive §5), K84 (tune-like-a-champ "Key Takeaways").
    """
    samples, told = run.setup.config_number("dataset_size"), run.setup.config.get("pretrained", "not told")
    off = told is None or told is False or (isinstance(told, str) and told.strip().lower() in NO)
    if not off or samples is None or not 0 < samples <= SMALL or not any(word in task(run.setup) for word in RICH):
        return None
    return breach(
        "few_samples_without_pretraining",
        run,
        f"{samples:,.0f} samples for a model trained from nothing: a pretrained one usually gives more.",
        confidence=0.8,
        dataset_size=samples,
    )


def narrow_layers(run: Run) -> Finding | None:
    """Narrow layers: what the model computes with is narrower than what it has to tell.

    A head that reads fewer numbers than log₂ of the classes can hardly set them apart; where outputs are many,
    hidden layers that are all over twenty times narrower than inputs and outputs lose most of them.
    Source: K42 (deep-dive §5), K44 (interdependencies §2).
    """
    fans = [
        (layer.init["fan_in"], layer.init["fan_out"])
        for layer in run.setup.layers
        if layer.type.startswith(WEIGHT_LAYERS) and min(layer.init.get(fan, 0) for fan in ("fan_in", "fan_out")) >= 1
    ]
    classes = run.setup.config_number("num_classes") or 0.0
    if not fans:
        return None
    width, needed = fans[-1][0], log2(classes) if classes > 1 else 0.0
    if width >= needed:
        if len(fans) < 2:
            return None
        width, needed = max(out for _, out in fans[:-1]), min(fans[0][0], fans[-1][1]) / NARROW
    if width >= needed:
        return None
    return breach(
        "narrow_layers",
        run,
        f"All that the model tells goes through {width:.0f} numbers: fewer than it needs to.",
        confidence=0.9,
        width=width,
    )
