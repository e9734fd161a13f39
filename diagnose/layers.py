"""Per-layer signals over steps: bounded rows, the layers' names, and the stretch over which a state holds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from diagnose.run import Run, Steps
from diagnose.signals import LAYER_GRAD_NORM

MAX_ROWS = 2_000  # steps looked at, evenly spread: the cost is bounded and a window known to a two-thousandth
MIN_SAMPLES = 5  # sampled steps: fewer do not tell a state from a moment
MOST_STEPS = 0.5  # of the sampled steps: a state that held for fewer, and not to the end, is past


class Sampled(NamedTuple):
    """A per-layer signal: `steps` of shape (n,), `values` float64 of shape (n, layers)."""

    steps: Steps
    values: NDArray[np.float64]


def sampled(run: Run, name: str, least: int = MIN_SAMPLES) -> Sampled | None:
    """At most MAX_ROWS rows of the signal; None where it was not logged or has fewer than `least`."""
    signal = run.per_layer(name)
    if signal is None or len(signal) < least or signal.values.ndim != 2 or signal.values.shape[1] == 0:
        return None
    rows = np.unique(np.linspace(0, len(signal) - 1, min(len(signal), MAX_ROWS)).astype(int))
    return Sampled(signal.steps[rows], signal.values[rows].astype(np.float64))


class Gradients(NamedTuple):
    """Root mean square gradients: `rms` of shape (n, layers), the trainable layers with parameters alone."""

    steps: Steps
    rms: NDArray[np.float64]
    names: tuple[str, ...]


def rms_gradients(run: Run) -> Gradients | None:
    """Each layer's gradient norm over the square root of its size, at steps where all are finite and one is not 0.

    None where sizes are not known or fewer than MIN_SAMPLES steps are left.
    """
    signal, described = sampled(run, LAYER_GRAD_NORM), run.setup.layers
    if signal is None or len(described) != signal.values.shape[1]:
        return None
    kept = [place for place, layer in enumerate(described) if layer.trainable and layer.parameters > 0]
    if not kept:
        return None
    rms = signal.values[:, kept] / np.sqrt([described[place].parameters for place in kept])
    sound = np.isfinite(rms).all(axis=1) & (rms.max(axis=1) > 0)
    if sound.sum() < MIN_SAMPLES:
        return None
    return Gradients(signal.steps[sound], rms[sound], tuple(described[place].name for place in kept))


def names(run: Run, width: int) -> tuple[str, ...]:
    """The layers' names; their places where the set-up describes another number of layers than `width`."""
    return run.layer_names if len(run.layer_names) == width else tuple(map(str, range(width)))


def stretch(ill: NDArray[np.bool_]) -> slice:
    """The stretch in which `ill` outweighs its absence most: the maximum-sum segment of ±1 (Bentley 1984).

    Begins and ends at an ill sample; a lone sound one within does not end it. Empty where nothing is ill.
    """
    if not ill.any():
        return slice(0, 0)
    sums = np.concatenate(([0], np.cumsum(np.where(ill, 1, -1))))
    lowest = np.minimum.accumulate(sums)[:-1]
    stop = 1 + int(np.argmax(sums[1:] - lowest))
    first = stop - 1 - int(np.argmin(sums[:stop][::-1]))
    return slice(first, stop)


def lasting(ill: NDArray[np.bool_]) -> slice | None:
    """The stretch over which a state holds, where it holds for most of the samples or up to the last ones.

    None where it holds for fewer than MIN_SAMPLES, or has passed.
    """
    held = stretch(ill)
    long = held.stop - held.start
    if long < MIN_SAMPLES or (ill[held].sum() < MOST_STEPS * len(ill) and held.stop < len(ill)):
        return None
    return held


def yes_or_no(holds: bool) -> str:  # noqa: FBT001  the answer to a question, not a switch
    """A truth as findings carry it in their evidence."""
    return "yes" if holds else "no"
