"""The picture of a symptom: a recorded run that shows it, beside its sound twin."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from html import escape
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from diagnose import load, symptoms
from diagnose.run import Run
from diagnose.signals import SIGNALS, VALIDATION_LOSS, is_per_layer
from generators.axes import Axis, axis_for
from generators.drawing import curves_panel, heat_panel

RUNS: Final = Path(__file__).parents[2] / "fixtures" / "runs"
LOSS, BOTH = ("loss/train",), ("loss/train", "loss/validation")


class Shown(NamedTuple):
    """A recorded run that shows a symptom, the signals by which a person sees it, and the sound run beside it."""

    run: str
    signals: tuple[str, ...] = LOSS
    sound: str = "plain"  # its kind: the same task and seed

    @property
    def twin(self) -> str:
        """The sound run's name."""
        return f"{self.sound}-{self.run.partition('-')[2]}"


# `late_instability` and `too_short_to_tell` are in no recorded run: their pages say so.
SHOWN: Final[Mapping[str, Shown]] = {
    "constant_clipping": Shown("clip_far_too_small-classification-0", ("grad_norm_unclipped",), "rare_clipping"),
    "dead_units": Shown("dead_relus-classification-0", ("layers/zero_fraction",)),
    "divergence": Shown("labels_corrupted_late-classification-0"),
    "exploding_activations": Shown("init_too_large-autoencoder-0", ("layers/activation_variance",)),
    "exploding_gradients": Shown("gradients_not_cleared-autoencoder-0", ("grad_norm",)),
    "frozen_parameters": Shown("frozen_layers-classification-0", ("layers/update_ratio",)),
    "huge_updates": Shown("lr_far_too_high-sequence-0", ("update_ratio",)),
    "loss_scale_collapse": Shown("loss_scale_collapse-classification-0", ("loss_scale",), "loss_scaling"),
    "loss_spikes": Shown("outlier_batches-classification-0"),
    "nan_loss": Shown("bad_sample-autoencoder-0"),
    "no_learning": Shown("init_too_small-classification-0"),
    "noisy_gradients": Shown("batch_too_small-classification-0"),
    "oscillation": Shown("lr_too_high-regression-0"),
    "overfitting": Shown("too_little_data-regression-0", BOTH),
    "oversized_batch": Shown("batch_too_large-classification-0"),
    "plateau": Shown("decayed_too_early-autoencoder-0"),
    "saturated_units": Shown("saturated_tanh-classification-0", ("layers/saturated_fraction",)),
    "sharp_minimum": Shown("too_little_data-classification-0", BOTH),
    "slow_descent": Shown("lr_too_low-classification-0"),
    "tiny_updates": Shown("lr_next_to_nothing-classification-0", ("update_ratio",)),
    "underfitting": Shown("model_too_small-classification-0", BOTH),
    "undertrained": Shown("too_few_epochs-classification-0", BOTH),
    "unstable_curvature": Shown("lr_far_too_high-sequence-0", ("lr_sharpness",)),
    "validation_stall": Shown("missing_decay-classification-0", BOTH),
    "vanishing_activations": Shown("sigmoid_stack-classification-0", ("layers/activation_variance",)),
    "vanishing_gradients": Shown("sigmoid_stack-classification-0", ("layers/grad_norm",)),
}


def picture(symptom: str) -> str:
    """The ill run and the healthy one as a figure, "" where no recorded run shows the symptom.

    Raises `ValueError` where the ill one does not show it, or the healthy one does: the picture would lie.
    """
    shown = SHOWN.get(symptom)
    if shown is None:
        return ""
    ill, sound = _run(shown.run), _run(shown.twin)
    found, alarms = symptoms.find(ill, [symptom]), symptoms.find(sound, [symptom])
    if not found or alarms:
        raise ValueError(f"{shown.run} should show {symptom}, and {shown.twin} should not.")
    windows = (found[0].window, None)
    names = tuple(f"{kind}: {name}" for kind, name in (("ill", shown.run), ("healthy", shown.twin)))
    draw = _heat_maps if is_per_layer(shown.signals[0]) else _curves
    panels = "".join(draw((ill, sound), shown.signals, names, windows))
    return f'<figure class="runs">{panels}<figcaption>{_caption(shown, found[0].summary)}</figcaption></figure>'


def _curves(
    runs: tuple[Run, Run], signals: tuple[str, ...], names: tuple[str, ...], windows: tuple[tuple[int, int] | None, ...]
) -> list[str]:
    """Both on the same axes, so that they can be compared; the ill one says whether by powers of ten."""
    lines = [{name: run.scalars[name] for name in signals if run.scalar(name) is not None} for run in runs]
    ill, sound = (np.concatenate([series.finite.values for series in each.values()]) for each in lines)
    values = axis_for(np.concatenate([ill, sound]), by=ill)
    steps = Axis(0.0, float(max(run.steps for run in runs)))
    return [
        curves_panel(name, each, steps, values, window)
        for name, each, window in zip(names, lines, windows, strict=True)
    ]


def _heat_maps(
    runs: tuple[Run, Run], signals: tuple[str, ...], names: tuple[str, ...], windows: tuple[tuple[int, int] | None, ...]
) -> list[str]:
    """Both in the same colours."""
    maps = [run.layer_signals[signals[0]] for run in runs]
    every = np.concatenate([each.values.ravel() for each in maps]).astype(float)
    colours = axis_for(every[every > 0])
    if not colours.logarithmic:
        colours = Axis(0.0, float(np.nanmax(every)) or 1.0)
    return [
        heat_panel(name, _layers(run, each.values.shape[1]), each, colours, window)
        for name, run, each, window in zip(names, runs, maps, windows, strict=True)
    ]


def _layers(run: Run, width: int) -> list[str]:
    layers = run.setup.layers
    if len(layers) != width:
        return [f"layer {number}" for number in range(width)]
    return [f"{layer.name} · {layer.type}" for layer in layers]


def _caption(shown: Shown, summary: str) -> str:
    meanings = "; ".join(f"<b>{name}</b>, {SIGNALS[name].meaning}" for name in shown.signals)
    dashed = " Dashed: validation." if VALIDATION_LOSS in shown.signals else ""
    return f"{meanings}.{dashed} What is told of the ill run, from where it is shaded: {escape(summary)}"


@cache
def _run(name: str) -> Run:
    return load(RUNS / name)
