"""A slice through the loss around the weights: a line or a plane along which flat can be told from sharp.

    slice_ = diagnose.loss_landscape(model, criterion, batch)
    slice_.plot().write_html("landscape.html", include_plotlyjs=True)
    slice_.sharpness.eigenvalue          # what no random slice shows: the worst direction's curvature

Random directions are filter-normalised: d_i ← d_i ‖θ_i‖ / ‖d_i‖ for each filter i, a slice of a weight's first
dimension as in the authors' code (a row of a matrix, a convolution's output channel). Biases, normalisation parameters
and whatever else has one dimension stay where they are. So slices of two models can be compared although rescaling a
layer changes neither. With `previous=` the line runs along the last update, of all weights that are trained.

Sources: K53 (tune-like-a-champ “Fine-tuning Layer(s)”); Li et al. 2018, Visualizing the Loss Landscape of Neural Nets.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from html import escape
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from diagnose.errors import InvalidArgumentError
from diagnose.hooks.experiments.losses import LossOf
from diagnose.hooks.experiments.objective import Weights, hessian_product, loss_over_weights
from diagnose.hooks.experiments.sharpness import BATCHES, Sharpness, measured
from diagnose.hooks.layers import unwrapped
from diagnose.hooks.objective import Loss
from diagnose.reports.numbers import shown
from diagnose.run import Values

if TYPE_CHECKING:
    import plotly.graph_objects as go

POINTS: Final = {1: 41, 2: 21}  # a side; odd, so that the weights themselves are among them
NORMALIZATIONS: Final = (nn.LayerNorm, nn.RMSNorm)  # those whose parameters may have several dimensions


@dataclass(frozen=True, eq=False)
class LossLandscape:
    """Losses over a line, shape (points,), or a plane, shape (points across, points along); `loss` is at the weights.

    `along` and `across` are multiples of the directions, float64 of shape (points,); `across` is None for a line.
    `direction` names the first one. `curvature` is dᵀHd, the second derivative of the loss along it at the weights,
    `length` the 2-norm of d; `sharpness` is measured on the same batches. Losses may be infinite, or no number.
    """

    along: Values
    across: Values | None
    losses: Values
    loss: float
    direction: Literal["random", "last update"]
    curvature: float
    length: float
    sharpness: Sharpness

    @property
    def hidden(self) -> float:
        """How many times as much the loss curves in the sharpest direction as along this one, for the same length.

        Infinite where it does not curve upwards along this one.
        """
        own = self.curvature / self.length**2
        return self.sharpness.eigenvalue / own if own > 0 else float("inf")

    @property
    def summary(self) -> str:
        """What the slice shows, and what it does not."""
        named = "the last update" if self.direction == "last update" else "a random direction"
        return (
            f"Along {named} the loss of {shown(self.loss)} curves with {shown(self.curvature)}. The sharpest direction "
            f"(λ_max {shown(self.sharpness.eigenvalue)}) curves {shown(self.hidden)} times as much for the same "
            f"length: one per cent of the weights' length in it adds {shown(self.sharpness.rise)} to the loss."
        )

    def plot(self) -> go.Figure:
        """The line with the parabola of its curvature, or the plane's contours."""
        from diagnose.hooks.experiments.drawing import landscape_figure

        return landscape_figure(self)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data; None for losses that are no finite numbers."""
        return {
            "direction": self.direction,
            "loss": self.loss,
            "curvature": self.curvature,
            "length": self.length,
            "sharpness": self.sharpness.eigenvalue,
            "hessian_trace": self.sharpness.trace,
            "rise": self.sharpness.rise,
            "along": self.along.tolist(),
            "across": None if self.across is None else self.across.tolist(),
            "losses": np.where(np.isfinite(self.losses), self.losses.astype(object), None).tolist(),  # type: ignore[call-overload]
        }

    def _repr_html_(self) -> str:
        return f"<p><strong>Loss landscape</strong><br>{escape(self.summary)}</p>"


class PreviousWeights:
    """Keeps the weights of before each of the optimizer's steps, until it is closed: `loss_landscape(previous=…)`.

    They are copied at each step, so it is for the last steps of a training, not for all of them.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer) -> None:
        self.weights: Weights = {}  # by name, empty before the first step
        self._model = unwrapped(model)
        self._handle = optimizer.register_step_pre_hook(self._keep)

    def close(self) -> None:
        """Keep no more; what was kept last stays."""
        self._handle.remove()

    def _keep(self, *_: Any) -> None:
        self.weights = {name: p.detach().clone() for name, p in self._model.named_parameters()}


def loss_landscape(
    model: nn.Module,
    criterion: Callable[..., Tensor] | None,
    data: Any,
    *,
    dimensions: Literal[1, 2] = 1,
    points: int | None = None,
    distance: float = 1.0,
    previous: Mapping[str, Tensor] | None = None,
    step: LossOf | None = None,
    batches: int = BATCHES,
    seed: int = 0,
) -> LossLandscape:
    """The loss on a line or plane through the weights, from −distance to +distance times each direction.

    `data` is one batch, or a loader of which the first `batches` are taken; batches and losses are given as to
    `diagnose.lr_range_test`. `previous` holds the weights of before the last update by name (a state dict will do,
    or `PreviousWeights(...).weights`): the first direction is then that update, −1 the weights before it. `points` a
    side, an odd number: 41 for a line, 21 for a plane. The same `seed` draws the same directions.

    The model runs in evaluation mode, BatchNorm with its running statistics, and is bit for bit as before afterwards.
    Raises `InvalidArgumentError` where it cannot be put back, where `previous` does not fit its weights, where none of
    them has filters to draw a direction by, and for what has no curvature that could be told: a loss that is no finite
    number, complex weights, weights on several devices, half precision where the loss cannot be differentiated twice.
    """
    side = points if points is not None else POINTS.get(dimensions, 0)
    if dimensions not in POINTS or side < 3 or side % 2 == 0 or not (isfinite(distance) and distance > 0):
        raise InvalidArgumentError(
            f"dimensions={dimensions!r}, points={points!r}, distance={distance!r}: expected 1 or 2, an odd number of "
            "three or more, and a distance above 0."
        )
    with loss_over_weights(model, criterion, data, step, batches) as (loss, weights):
        generator = torch.Generator().manual_seed(seed)
        still = _normalization_parameters(unwrapped(model))
        first = _update(weights, previous) if previous is not None else _random(weights, still, generator)
        second = _random(weights, still, generator) if dimensions == 2 else None
        flat = torch.cat([part.reshape(-1) for part in first.values()]).float()
        curvature = float(torch.dot(hessian_product(loss, weights)(flat), flat))
        sharpness = measured(loss, weights)
        if not isfinite(sharpness.loss):
            raise InvalidArgumentError(f"The loss at the weights is {sharpness.loss}: there is no slope around it.")
        at = np.linspace(-distance, distance, side)
        lines = [_line(loss, _moved(weights, second, float(b)), first, at) for b in (at if second else (0.0,))]
    return LossLandscape(
        along=at,
        across=at if second is not None else None,
        losses=np.array(lines) if second is not None else lines[0],
        loss=sharpness.loss,
        direction="last update" if previous is not None else "random",
        curvature=curvature,
        length=float(torch.linalg.vector_norm(flat)),
        sharpness=sharpness,
    )


def _line(loss: Loss, weights: Weights, direction: Weights, at: Values) -> Values:
    """The losses at θ + a·d for each a."""
    with torch.no_grad():
        return np.array([float(loss(_moved(weights, direction, float(along)))) for along in at])


def _moved(weights: Weights, direction: Weights | None, by: float) -> Weights:
    """The weights moved by so many times the direction; as they are where there is none."""
    if direction is None:
        return weights
    return {name: weight + by * direction[name] for name, weight in weights.items()}


def _random(weights: Weights, still: Collection[str], generator: torch.Generator) -> Weights:
    """A filter-normalised random direction: 0 for what is to stay still, and for what has fewer than two dimensions."""
    direction = {}
    for name, weight in weights.items():
        drawn = torch.randn(weight.shape, generator=generator)
        if weight.dim() < 2 or name in still:
            direction[name] = torch.zeros_like(weight)
            continue
        inner = tuple(range(1, weight.dim()))
        own, length = (torch.linalg.vector_norm(one.float(), dim=inner, keepdim=True) for one in (weight, drawn))
        drawn = drawn.to(weight.device) * own / length.to(weight.device).clamp_min(torch.finfo(torch.float32).tiny)
        direction[name] = drawn.to(weight.dtype)
    if not any(bool(part.any()) for part in direction.values()):
        raise InvalidArgumentError(
            "No weight that is trained has filters (two dimensions, and not all 0), by which to draw a direction."
        )
    return direction


def _normalization_parameters(model: nn.Module) -> set[str]:
    """Their names: a LayerNorm's may have several dimensions, and are no filters."""
    return {
        f"{name}.{own}" if name else own
        for name, part in model.named_modules()
        if isinstance(part, NORMALIZATIONS)
        for own, _ in part.named_parameters(recurse=False)
    }


def _update(weights: Weights, previous: Mapping[str, Tensor]) -> Weights:
    """From the previous weights to these."""
    wrong = [name for name, weight in weights.items() if name not in previous or previous[name].shape != weight.shape]
    if wrong:
        raise InvalidArgumentError(f"previous=…: holds nothing that fits {', '.join(wrong[:3])}.")
    update = {name: weight - previous[name].detach().to(weight) for name, weight in weights.items()}
    if not any(bool(part.any()) for part in update.values()):
        raise InvalidArgumentError("previous=…: these are the model's own weights, and show no direction.")
    return update
