"""Other loggers' names for our signals: `train_loss`, `val/loss`, `Loss/train`, `learning_rate`, …

A tag is split into words; words that name a split (train, validation) and words that say nothing
(step, epoch, mean) are set aside, and what is left must be a quantity that we know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from diagnose.signals import SIGNALS, TRAIN_LOSS, rank_of_loss

SPLITS: Final = {
    "train": "train", "training": "train",
    "validation": "validation", "val": "validation", "valid": "validation", "eval": "validation",
    "evaluation": "validation", "dev": "validation", "test": "validation",
}  # fmt: skip
_FILLERS: Final = frozenset(
    {"epoch", "step", "batch", "iteration", "iter", "mean", "avg", "average", "metrics", "global"}
)
_QUANTITIES: Final = {
    ("loss",): "loss", ("losses",): "loss", ("logloss",): "loss",
    ("accuracy",): "accuracy", ("acc",): "accuracy",
}  # fmt: skip
# Words that say which loss it is; the plain `loss` wins where both are there.
_LOSS_KINDS: Final = frozenset({"ctc", "ce", "nll", "cross", "entropy", "mse", "bce", "l1", "total", "log"})
_GRAD_NORMS: Final = frozenset({("grad", "norm"), ("gradient", "norm"), ("grads", "norm"), ("total", "norm")})
_LR_WORDS: Final = frozenset({("lr",), ("learning", "rate")})
_GROUP = re.compile(r"^(?:group|pg)?(\d{1,6})$")


def signal_of(tag: str) -> str | None:
    """Our name for another logger's tag, None where we know none."""
    if tag in SIGNALS or rank_of_loss(tag) is not None or re.fullmatch(r"lr/group\d+", tag):
        return tag
    words = _words(re.sub(r"([a-z])([A-Z])", r"\1_\2", tag))
    splits = [SPLITS[w] for w in words if w in SPLITS]
    rest = tuple(w for w in words if w not in SPLITS and w not in _FILLERS)
    if len(rest) > 1 and rest[-1] == "loss":
        rest = (*(w for w in rest[:-1] if w not in _LOSS_KINDS), "loss")
    if rest in _QUANTITIES:
        return f"{_QUANTITIES[rest]}/{splits[0] if splits else 'train'}"
    if rest in _GRAD_NORMS:
        return "grad_norm"
    return _lr_group([w for w in _words(tag) if w not in SPLITS and w not in _FILLERS])


@lru_cache(maxsize=10_000)
def is_training_loss(tag: str) -> bool:
    """Whether `tag` is the training loss, or one of several that were logged by a name with “loss” in it.

    Another logger's copy of the whole loss is none of them, and neither is what counts in epochs.
    """
    if tag in SIGNALS or rank_of_loss(tag) is not None:
        return tag == TRAIN_LOSS
    own = tag.endswith("/train")
    words = _words(tag)
    about_training = not any(SPLITS.get(word) == "validation" for word in words)
    other = "epoch" in words or "scale" in words or signal_of(tag) is not None
    return about_training and "loss" in tag.lower() and (own or not other)


def _words(tag: str) -> list[str]:
    return [w for w in re.split(r"[^a-z0-9]+", tag.lower()) if w]


def _lr_group(words: Sequence[str]) -> str | None:
    """`lr/groupN` for `lr`, `learning_rate`, and Lightning's `lr-AdamW/pg2`."""
    for lr in _LR_WORDS:
        if tuple(words[: len(lr)]) == lr:
            numbers = [m[1] for w in words[len(lr) :] if (m := _GROUP.match(w))]
            # One word more is an optimizer's name; anything longer is some other quantity.
            if len(words) - len(lr) - len(numbers) <= 1:
                number = int(numbers[0]) if numbers else 0
                one_based = any(w.startswith("pg") for w in words) and number > 0
                return f"lr/group{number - one_based}"
    return None


def mapped(lengths: Mapping[str, int], own: Mapping[str, str] | None = None) -> dict[str, str]:
    """Signal -> the tag to take for it, given each tag's number of values, and a user's own tag -> signal.

    What the user says comes first. Where several tags mean the same signal (`train_loss_step` and
    `train_loss_epoch`), our own name wins, then one that is no test's, then the one with most values, then the first
    by name.
    """
    own = {tag: signal for tag, signal in (own or {}).items() if tag in lengths}
    best: dict[str, tuple[bool, bool, int, str]] = {}
    for tag in sorted(lengths.keys() - own.keys(), reverse=True):
        signal = signal_of(tag)
        if signal is not None and signal not in own.values():
            best[signal] = max(
                best.get(signal, (False, False, -1, "")),
                (tag == signal, "test" not in _words(tag), lengths[tag], tag),
                key=lambda b: b[:3],
            )
    taken = {signal: tag for signal, (*_, tag) in best.items()} | {signal: tag for tag, signal in own.items()}
    return dict(sorted(taken.items()))
