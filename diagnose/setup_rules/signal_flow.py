"""Rules about what carries signals through depth: activations and normalisation."""

from __future__ import annotations

from diagnose.findings import Finding, Severity
from diagnose.run import Run

__all__ = ["deep_without_normalization", "saturating_activation_in_deep_net"]

DEEP = 6  # weight layers: from about here on plain networks need help (interdependencies §5)
SATURATING = ("Sigmoid", "Tanh", "Softsign")
WEIGHT_LAYERS = ("Linear", "Conv", "Bilinear")


def deep_without_normalization(run: Run) -> Finding | None:
    """Deep network without normalisation: six or more weight layers and no normalisation layer.

    Depth needs BatchNorm, LayerNorm or the like, or residual paths. Source: K63 (interdependencies §5).
    """
    depth = _depth(run)
    if depth < DEEP or any("Norm" in module for module in run.setup.modules):
        return None
    return Finding(
        id="deep_without_normalization",
        kind="setup_rule",
        severity=Severity.INFO,
        confidence=0.9,
        window=(0, run.steps),
        summary=f"{depth} weight layers and no normalisation layer between them.",
        evidence={"weight_layers": depth},
    )


def saturating_activation_in_deep_net(run: Run) -> Finding | None:
    """Saturating activation in a deep network: sigmoid or tanh in six or more layers.

    A sigmoid's slope is at most 1/4, so a gradient shrinks with every layer; Glorot initialisation
    softens it for a few layers only. Source: K60 (interdependencies §3).
    """
    used = [name for name in SATURATING if run.setup.modules.get(name)]
    depth = _depth(run)
    if depth < DEEP or not used:
        return None
    return Finding(
        id="saturating_activation_in_deep_net",
        kind="setup_rule",
        severity=Severity.INFO,
        confidence=0.9,
        window=(0, run.steps),
        summary=f"{used[0]} is the activation of a network with {depth} weight layers.",
        evidence={"activation": used[0], "weight_layers": depth},
    )


def _depth(run: Run) -> int:
    return sum(layer.type.startswith(WEIGHT_LAYERS) for layer in run.setup.layers)
