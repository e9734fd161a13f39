"""How sharp the minimum is that a training has found, and whether another one's is flatter.

    plain, aware = sharpness_of(model_sgd, criterion, data), sharpness_of(model_sam, criterion, data)
    sharpness_check(plain, aware)
    # "Flatter: λ_max is 4.1 against 17.3, and one per cent of the weights' length in the sharpest direction adds …"

Sources: K52 (tune-like-a-champ “Fine-tuning Layer(s)”, interdependencies §1); Foret et al. 2021 (SAM) report λ_max as
here; the rise is what `sharp_minimum` measures, scale-free as in Petzka et al. 2021.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from math import isfinite
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from diagnose.hooks.experiments.losses import LossOf
from diagnose.hooks.experiments.objective import Weights, hessian_product, loss_over_weights
from diagnose.hooks.objective import Loss
from diagnose.hooks.probes.curvature import STEPS, lanczos, spectrum
from diagnose.reports.numbers import shown
from diagnose.symptoms.sharp_minimum import SHIFT

BATCHES: Final = 8  # that are looked at where a loader is given
CLEAR: Final = 1.5  # times: λ_max from ten Lanczos steps on some batches tells no smaller difference


@dataclass(frozen=True)
class Sharpness:
    """Curvature of the loss at the weights, on the batches that were looked at.

    `eigenvalue` is λ_max, which ten Lanczos steps approach from below; `trace` Hutchinson's estimate from one vector;
    `loss` the mean loss; `length` the weights' 2-norm.
    """

    eigenvalue: float
    trace: float
    loss: float
    length: float

    @property
    def rise(self) -> float:
        """½ (0.01 ‖θ‖)² λ_max: what one per cent of the weights' length in the sharpest direction adds to the loss."""
        return 0.5 * (SHIFT * self.length) ** 2 * self.eigenvalue


def sharpness_of(
    model: nn.Module,
    criterion: Callable[..., Tensor] | None,
    data: Any,
    *,
    step: LossOf | None = None,
    batches: int = BATCHES,
) -> Sharpness:
    """Measure it on one batch, or on the first `batches` of a loader; the model is left bit for bit as it was.

    Batches and losses are given as to `diagnose.lr_range_test`, which says what is raised.
    """
    with loss_over_weights(model, criterion, data, step, batches) as (loss, weights):
        return measured(loss, weights)


def measured(loss: Loss, weights: Weights) -> Sharpness:
    """The sharpness of a loss at these weights."""
    size = sum(weight.numel() for weight in weights.values())
    device = next(iter(weights.values())).device
    signs = torch.randint(2, (size,), generator=torch.Generator().manual_seed(0)).mul_(2).sub_(1).float().to(device)
    alphas, betas = lanczos(hessian_product(loss, weights), signs, STEPS)
    row = np.zeros(2 * STEPS + 2)
    row[: len(alphas)] = alphas.cpu().numpy()
    row[STEPS : STEPS + len(betas)] = betas.cpu().numpy()
    row[-2] = size
    trace, eigenvalue = spectrum(row)
    with torch.no_grad():
        length = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(weights.values()))))
        return Sharpness(eigenvalue, trace, float(loss(weights)), float(length))


def sharpness_check(before: Sharpness, after: Sharpness) -> str:
    """Whether the second minimum is flatter than the first, in a sentence; both measured on the same data.

    λ_max alone can be changed by rescaling weights that changes nothing else, so that the rise over one per cent of
    their length has to agree.
    """
    pairs = (before.eigenvalue, after.eigenvalue), (before.rise, after.rise)
    if not all(map(isfinite, chain(*pairs))):
        verdict = "Not to be told"
    elif all(_clearly_lower(new, old) for old, new in pairs):
        verdict = "Flatter"
    elif all(_clearly_lower(old, new) for old, new in pairs):
        verdict = "Sharper"
    else:
        verdict = "Neither clearly flatter nor sharper"
    return (
        f"{verdict}: λ_max is {shown(after.eigenvalue)} against {shown(before.eigenvalue)}, and one per cent of the "
        f"weights' length in the sharpest direction adds {shown(after.rise)} to the loss, against {shown(before.rise)}."
    )


def _clearly_lower(one: float, other: float) -> bool:
    """By CLEAR times; what curves upwards nowhere (0, or less) lies lower than whatever does."""
    return other > 0 and one * CLEAR <= other
