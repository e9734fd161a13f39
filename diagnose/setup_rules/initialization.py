"""Rules about the weights that training starts from, against the non-linearity behind them."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log, sqrt
from statistics import median
from typing import Final

from diagnose.facts import has_norm, is_fine_tuning, weight_layers
from diagnose.findings import Finding
from diagnose.run import Layer, Run
from diagnose.setup_rules import breach
from diagnose.setup_rules.normalization import DEEP

__all__ = ["init_beside_activation", "saturating_activation_in_deep_net", "weights_far_from_any_init"]

SATURATING = ("Sigmoid", "Tanh", "Softsign")
RECTIFIED = ("ReLU", "LeakyReLU", "PReLU", "ReLU6")  # those that He's derivation is for (K60)
INITIALIZED = ("Linear", "Conv1d", "Conv2d", "Conv3d")  # types whose fans mean what the formulas mean by them
TOLERABLE = 10.0  # times that the variance may change from the first layer to the last (K61's remedy asks the same)
SPREAD = 0.05  # of a scheme's own constant between layers, beside the sampling error of a standard deviation
MOST_PARAMETERS = 2**53  # of a layer, as whole numbers that a float still holds exactly
LARGEST = 1e30  # standard deviation of weights that anyone can mean
CHAIN = 0.75  # of the layers have an activation behind them in a plain chain; in residual branches, half of them
FAR_ABOVE, FAR_BELOW = 4.0, 0.1  # over √fan_in: He's is 1.4 and PyTorch's 0.58; GPT's 0.02 is 0.16 or more
NOTHING = 1e-3  # over √fan_in: zero, or moved from it by a single step
FEWEST = 4  # layers, before their common constant says anything

# std of a scheme is its constant divided by one of these: LeCun's and He's, their backward form, Glorot's,
# orthogonal matrices, one std for all.
SCHEMES: Final[tuple[Callable[[float, float], float], ...]] = (
    lambda fan_in, _: sqrt(fan_in),
    lambda _, fan_out: sqrt(fan_out),
    lambda fan_in, fan_out: sqrt((fan_in + fan_out) / 2),
    lambda fan_in, fan_out: sqrt(max(fan_in, fan_out)),
    lambda _fan_in, _fan_out: 1.0,
)


def saturating_activation_in_deep_net(run: Run) -> Finding | None:
    """Saturating activation in a deep network: sigmoid or tanh behind half of six or more layers.

    A sigmoid's slope is at most 1/4, so a gradient shrinks with every layer; Glorot initialisation
    softens it for a few layers only. Source: K60 (interdependencies §3).
    """
    depth = weight_layers(run.setup)
    uses = {kind: _uses(run, kind) for kind in SATURATING}
    used = max(uses, key=lambda kind: uses[kind])
    if depth < DEEP or uses[used] < depth / 2:
        return None
    return breach(
        "saturating_activation_in_deep_net",
        run,
        f"{used} is the activation of a network with {depth} weight layers.",
        activation=used,
        weight_layers=depth,
    )


def init_beside_activation(run: Run) -> Finding | None:
    """Initialisation beside the activation: through the depth of the network the signal fades or grows tenfold.

    ReLU and its kin want He's std √(2/fan_in), sigmoid and tanh Glorot's √(2/(fan_in + fan_out)). Each layer
    multiplies the variance by (std / wanted)². Told where six or more weight layers without normalisation
    multiply it by more than ten or less than a tenth, and where all follow one scheme: weights that were
    trained do not, nor do those that begin at zero on purpose. PyTorch's own default is 0.41 of He's.
    Skip connections carry the signal past all this, and are not seen: ignore it where the network has them.
    Source: K60, K61 (interdependencies §3).
    """
    layers = _fresh_layers(run)
    if not layers or weight_layers(run.setup) < DEEP or has_norm(run.setup) or is_fine_tuning(run.setup):
        return None
    ratios = min((_log_ratios(layers, back) for back in (False, True)), key=lambda logs: abs(sum(logs)))
    change = 2 * sum(ratios)
    if abs(change) <= log(TOLERABLE):
        return None
    side, ratio = ("small" if change < 0 else "large"), exp(sum(ratios) / len(ratios))
    rectified = layers[0].activation in RECTIFIED
    scheme = "He's" if rectified else "Glorot's"
    return breach(
        "init_beside_activation",
        run,
        f"Weights start at {ratio:.2g} of {scheme} std: without skip connections, {len(layers)} layers multiply the"
        f" variance by {exp(max(min(change, 700.0), -700.0)):.2g}.",
        confidence=0.7,  # the log does not tell of skip connections
        layers=tuple(layer.name for layer in layers),
        side=side,
        kind="rectified" if rectified else "saturating",
        std_ratio=ratio,
        activation=layers[0].activation,
        weight_layers=len(layers),
    )


def weights_far_from_any_init(run: Run) -> Finding | None:
    """Weights far from any initialisation: zero, or many times too large or small for their number of inputs.

    All usual schemes draw with a std near 1/√fan_in, from PyTorch's 0.58 of it to He's 1.4. Told where the median
    of two or more layers lies above four of it, below a tenth, or at zero: zeros keep all units of a layer
    alike (Goodfellow et al. 2016, §8.4). Fine-tuning is not named. Source: K60, K61 (interdependencies §3).
    """
    layers = [layer for layer in run.setup.layers if layer.type in INITIALIZED and fans_known(layer)]
    if len(layers) < 2 or is_fine_tuning(run.setup) or run.start > 0:
        return None
    level = median(layer.init["weight_std"] * sqrt(layer.init["fan_in"]) for layer in layers)
    if FAR_BELOW <= level <= FAR_ABOVE:
        return None
    side = "above" if level > FAR_ABOVE else "zero" if level < NOTHING else "below"
    return breach(
        "weights_far_from_any_init",
        run,
        f"Weights start at {level:.2g}/√fan_in in the median layer: usual schemes take 0.58 to 1.4.",
        confidence=0.8,
        scale=side,
        std_times_root_of_fan_in=level,
    )


def _uses(run: Run, activation: str) -> int:
    """How often it is used, whether every layer has its own module or all share one."""
    count = run.setup.modules.get(activation)
    modules = count if isinstance(count, int) else 0
    return max(modules, sum(layer.activation == activation for layer in run.setup.layers))


def _fresh_layers(run: Run) -> list[Layer]:
    """The layers with a known activation behind them, where one scheme explains all their weights; else none."""
    every = [layer for layer in run.setup.layers if layer.type in INITIALIZED and fans_known(layer)]
    if any(layer.init["weight_std"] == 0 for layer in every[:-1]):  # residual branches that begin at zero
        return []
    layers = [layer for layer in every if layer.activation in RECTIFIED + SATURATING and layer.init["weight_std"] > 0]
    if len(layers) < max(FEWEST, CHAIN * len(every)):
        return []
    return layers if any(_follow(layers, scale) for scale in SCHEMES) else []


def fans_known(layer: Layer) -> bool:
    """Whether its statistics are there, and numbers that weights can have: logs come from strangers."""
    fans = (layer.init.get("fan_in", 0.0), layer.init.get("fan_out", 0.0))
    return min(fans) >= 1 and max(fans) <= MOST_PARAMETERS and 0 <= layer.init.get("weight_std", -1.0) < LARGEST


def _follow(layers: list[Layer], scale: Callable[[float, float], float]) -> bool:
    """Whether std × scale is the same number for all layers, within the sampling error 1/√(2n)."""
    logs = [log(layer.init["weight_std"] * scale(layer.init["fan_in"], layer.init["fan_out"])) for layer in layers]
    middle = median(logs)
    allowed = [SPREAD + 3 / sqrt(2 * max(layer.parameters, 1)) for layer in layers]
    return all(abs(value - middle) <= most for value, most in zip(logs, allowed, strict=True))


def _log_ratios(layers: list[Layer], backward: bool) -> list[float]:  # noqa: FBT001  He's two forms
    """ln(std / wanted) of each layer, He's wanted std from fan_out where `backward`."""
    return [log(layer.init["weight_std"] / _wanted(layer, backward)) for layer in layers]


def _wanted(layer: Layer, backward: bool) -> float:  # noqa: FBT001
    fan_in, fan_out = layer.init["fan_in"], layer.init["fan_out"]
    if layer.activation in RECTIFIED:
        return sqrt(2 / (fan_out if backward else fan_in))
    return sqrt(2 / (fan_in + fan_out))
