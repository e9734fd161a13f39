"""How clipping, precision, initialisation and normalisation are set, so that signals and gradients arrive."""

from __future__ import annotations

from typing import Final

import numpy as np

from diagnose import facts
from diagnose.prescriptions.dose import Dose, Found, rounded
from diagnose.prescriptions.settings import settings_of
from diagnose.run import Run
from diagnose.setup_rules.normalization import RELIABLE
from diagnose.signals import GRAD_NORM, GRAD_NORM_UNCLIPPED

CLIP_QUANTILE = 0.9  # of the gradient norms before the trouble: clip the tail, leave the rest
FEW_NORMS = 10
USUAL_CLIP = 1.0
SATURATING: Final = ("Sigmoid", "Tanh", "Softsign")
STANDARDIZED = "standardized"


def clip_gradients(run: Run, found: Found) -> Dose:
    """At the ninth decile of the norms before the trouble."""
    norms = run.scalar(GRAD_NORM_UNCLIPPED) or run.scalar(GRAD_NORM)
    present = settings_of(run).number("max_norm")
    onset = min((finding.window[0] for finding in found.values() if finding.kind == "symptom"), default=run.steps)
    before = norms.finite.values[norms.finite.steps < onset] if norms is not None else np.empty(0)
    if "constant_clipping" in found and norms is not None and len(norms.finite):
        limit = float(np.quantile(norms.finite.values, CLIP_QUANTILE))
        return Dose(
            "max_norm", present, rounded(limit), "Nine of ten gradient norms lie below this: clip the tail only."
        )
    if len(before) < FEW_NORMS:
        because = "No gradient norms before the trouble to choose from: 1.0 is the common start."
        return Dose("max_norm", present, USUAL_CLIP, because)
    limit = float(np.quantile(before, CLIP_QUANTILE))
    return Dose("max_norm", present, rounded(limit), "Nine of ten gradient norms before the trouble were below this.")


def loss_scaling(run: Run, _: Found) -> Dose:
    """Dynamic; where a scaler runs already and finds no scale, a type with float32's range."""
    if run.setup.environment.get("grad_scaler"):
        because = "No scale holds these gradients in float16; bfloat16 has float32's range, and needs none."
        return Dose("precision", "float16", "bfloat16", because)
    because = "Small gradients vanish and large ones overflow in half precision; keep the weights in float32."
    return Dose("loss_scaling", None, "dynamic", because)


def change_activation(run: Run, _: Found) -> Dose | None:
    """ReLU for what saturates; nothing where nothing does."""
    used = next((name for name in SATURATING if run.setup.modules.get(name)), None)
    if used is None:
        return None
    because = f"{used} flattens at both ends, and its slope shrinks the gradient at every layer."
    return Dose("activation", used, "ReLU", because)


def match_initialization(run: Run, _: Found) -> Dose:
    """Glorot's for what saturates, else He's."""
    saturating = any(run.setup.modules.get(name) for name in SATURATING)
    because = "It keeps the variance of activations and gradients level through depth."
    return Dose("initialization", None, "Glorot" if saturating else "He", because)


def normalize_inputs(_: Run, __: Found) -> Dose:
    """Zero mean and unit deviation."""
    because = (
        "Mean 0 and deviation 1 per feature, with the training set's statistics: initialisations are made for that."
    )
    return Dose("inputs", None, STANDARDIZED, because)


def add_normalization(run: Run, _: Found) -> Dose | None:
    """BatchNorm for convolutions with a batch that bears it, else LayerNorm; nothing where there is some."""
    if facts.has_norm(run.setup):
        return None
    batch = facts.batch_size(run.setup)
    small = batch is not None and batch < RELIABLE
    kind = "LayerNorm" if small or not run.setup.modules.get("Conv2d") else "BatchNorm"
    return Dose("normalization", "none", kind, "It restores the signal's scale at every layer, forward and backward.")


def switch_normalization(run: Run, _: Found) -> Dose | None:
    """GroupNorm in place of BatchNorm, where the batch is too small for its statistics."""
    used = next((name for name in run.setup.modules if "BatchNorm" in name), None)
    batch = facts.batch_size(run.setup)
    if used is None or batch is None or batch >= RELIABLE:
        return None
    return Dose("normalization", used, "GroupNorm", f"{batch:.0f} samples are too few for a batch's statistics.")


def add_residuals(_: Run, __: Found) -> Dose:
    """Every two layers."""
    because = "They carry the gradient past the layers that shrink it."
    return Dose("residual_connections", "none", "every two layers", because)
