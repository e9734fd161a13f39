"""Whether the weights a run began with were freshly drawn, and at a fit scale, told by their standard deviation.

A training from scratch and a fine-tuning look alike in many signals; what tells them apart is that an
initialiser's standard deviation follows from the layer's size, and a trained weight's does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import isfinite, sqrt

from diagnose.run import Layer, Run

TOLERANCE = 3.0  # standard errors 1/√(2n) of a standard deviation known from n weights
LEAST_TOLERANCE = 0.01
MOST_LAYERS = 0.5
TOO_SMALL = 1 / 3  # of the smallest deviation in use: the same, downwards
TOO_LARGE = 3.0  # times the largest fit deviation: the variance grows by an order of magnitude a layer
PLAIN = (0.02, 0.01, 1.0)  # fixed deviations in use: BERT and GPT, older nets, embeddings


def freshly_drawn(run: Run) -> bool:
    """Whether most layers with a weight matrix have the deviation of an initialiser in use (K60)."""
    return all_fresh(run.setup.layers)


def all_fresh(layers: Iterable[Layer]) -> bool:
    """The same of these layers alone."""
    known = [layer for layer in layers if _known(layer)]
    return bool(known) and sum(map(_fresh, known)) > MOST_LAYERS * len(known)


def never_trained(run: Run) -> bool:
    """Whether every layer with a weight matrix has such a deviation: one that has not was trained before."""
    known = [layer for layer in run.setup.layers if _known(layer)]
    return bool(known) and all(map(_fresh, known))


def too_large(layers: Iterable[Layer]) -> bool:
    """Whether most of these layers began with weights far above what keeps the variance, forwards or backwards.

    Embeddings look up and do not sum: their scale is free.
    """
    known = [layer for layer in layers if _known(layer) and "Embedding" not in layer.type]
    return bool(known) and sum(map(_loud, known)) > MOST_LAYERS * len(known)


def too_small(layers: Iterable[Layer]) -> bool:
    """Whether most of these layers began with weights far below those of torch's default, the smallest that grow."""
    known = [layer for layer in layers if _known(layer) and "Embedding" not in layer.type]
    return bool(known) and sum(map(_faint, known)) > MOST_LAYERS * len(known)


def _faint(layer: Layer) -> bool:
    return layer.init["weight_std"] < TOO_SMALL * sqrt(1 / (3 * layer.init["fan_in"]))


def _loud(layer: Layer) -> bool:
    fewest = min(layer.init["fan_in"], layer.init["fan_out"])
    return layer.init["weight_std"] > TOO_LARGE * sqrt(2 / fewest)


def _known(layer: Layer) -> bool:
    numbers = [layer.init.get(name, 0.0) for name in ("weight_std", "fan_in", "fan_out")]
    return all(isinstance(n, int | float) and isfinite(n) and n > 0 for n in numbers)


def _fresh(layer: Layer) -> bool:
    weights = layer.init["fan_in"] * layer.init["fan_out"]  # of a convolution, more than there are
    weights = min(weights, layer.parameters) if layer.parameters > 0 else weights
    tolerance = max(LEAST_TOLERANCE, TOLERANCE / sqrt(2 * weights))
    return any(abs(layer.init["weight_std"] / usual - 1) <= tolerance for usual in _usual(layer))


def _usual(layer: Layer) -> Iterator[float]:
    """Torch's own default, LeCun, He by inputs and outputs, Glorot, and the fixed ones."""
    fan_in, fan_out = layer.init["fan_in"], layer.init["fan_out"]
    yield from (sqrt(1 / (3 * fan_in)), sqrt(1 / fan_in), sqrt(2 / fan_in), sqrt(2 / fan_out))
    yield sqrt(2 / (fan_in + fan_out))
    yield from PLAIN
