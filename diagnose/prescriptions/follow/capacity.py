"""What follows when the model changes: its size, its parts, or all of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import log2
from typing import Final

from diagnose.diagnosis import Setting
from diagnose.prescriptions import scaling
from diagnose.prescriptions.coupling import Follow, ratio
from diagnose.prescriptions.settings import Settings
from diagnose.setup_rules.normalization import DEEP, RELIABLE

DROPOUT_A_DOUBLING = 0.1  # the documents give the direction alone (K44)
SATURATING = ("sigmoid", "tanh", "softsign", "hardtanh")
NAMES: Final = {"Glorot": ("glorot", "xavier"), "He": ("he", "kaiming", "msra")}  # of one initialisation
MUCH_DEEPER = 1.25  # times: less takes no memory worth another batch
UNMOVED = 0.01  # of a dropout rate


def _dropout(size: str, before: Settings, after: Settings) -> Setting:
    rate, moved = before.number("dropout"), ratio(size, before, after)
    if not rate or moved is None:
        return None
    wanted = max(rate + DROPOUT_A_DOUBLING * log2(moved), 0.0)
    return wanted if abs(wanted - rate) >= UNMOVED else None


def _weight_decay(size: str, before: Settings, after: Settings) -> Setting:
    decay, moved = before.number("weight_decay"), ratio(size, before, after)
    if not decay or not moved or before.number("dropout"):
        return None
    return decay * min(max(moved, 1 / scaling.MOST_STRONGER), scaling.MOST_STRONGER)


dropout_for_width: Final[Follow] = partial(_dropout, "width")
dropout_for_depth: Final[Follow] = partial(_dropout, "depth")
weight_decay_for_width: Final[Follow] = partial(_weight_decay, "width")
weight_decay_for_depth: Final[Follow] = partial(_weight_decay, "depth")


def lr_for_width(before: Settings, after: Settings) -> Setting:
    """Adam's rate for hidden layers of another width (Yang et al. 2022, μTransfer)."""
    rate, moved = before.number("lr"), ratio("width", before, after)
    wide = min(before.number("width") or 0.0, after.number("width") or 0.0) >= scaling.WIDE
    return rate / moved if rate and moved and wide and before.kind == "adaptive" else None


def batch_for_depth(before: Settings, after: Settings) -> Setting:
    """A batch that fits beside the activations of a deeper net."""
    size, moved = before.number("batch_size"), ratio("depth", before, after)
    return scaling.shrunk_batch(size, moved) if size and moved and moved >= MUCH_DEEPER else None


def accumulation_for_depth(before: Settings, after: Settings) -> Setting:
    """Micro-batches that make up for what the batch has lost."""
    lost = ratio("batch_size", before, after)
    return (before.number("accumulation_steps") or 1.0) / lost if lost and lost < 1 else None


def normalization_for_depth(before: Settings, after: Settings) -> Setting:
    """Normalisation for what has become deep; nothing where the settings do not tell that there is none."""
    without = "normalization" in before.values and not before.word("normalization")
    if not without or (after.number("depth") or 0.0) < DEEP:
        return None
    return "BatchNorm" if (after.number("batch_size") or 0.0) >= RELIABLE else "LayerNorm"


def initialization_for_activation(_: Settings, after: Settings) -> Setting:
    """Glorot's for what saturates, He's for what rectifies."""
    return _fitting(after) if after.word("activation") else None


def initialization_without_normalization(before: Settings, after: Settings) -> Setting:
    """The activation's own initialisation, where normalisation no longer makes up for another."""
    removed = before.word("normalization") and not after.word("normalization")
    return _fitting(after) if removed and after.word("activation") else None


def _fitting(settings: Settings) -> Setting:
    activation = settings.word("activation").lower().rpartition(".")[2].removesuffix("()")
    fitting = "Glorot" if activation in SATURATING else "He"
    present = settings.word("initialization").lower()
    return None if any(name in present for name in NAMES[fitting]) else fitting


def _anew(name: str, before: Settings, _: Settings) -> Setting:
    return "search again" if before.number(name) else None


ANEW: Final[Mapping[str, Follow]] = {
    name: partial(_anew, name) for name in ("lr", "batch_size", "weight_decay", "dropout", "warmup_steps")
}
