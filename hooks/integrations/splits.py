"""Whose metric a name speaks of: `val_loss`, `train/acc`, `eval_accuracy`."""

from __future__ import annotations

import re

from diagnose.hooks.integrations.attaching import Split
from diagnose.logs.names import SPLITS

_WORD = "|".join(sorted(SPLITS, key=len, reverse=True))
_AROUND = re.compile(rf"^(?:{_WORD})[/_.\- ]+|[/_.\- ]+(?:{_WORD})$", re.IGNORECASE)


def without_split(name: str) -> str:
    """The name without the word for its split at its beginning or end."""
    return _AROUND.sub("", name)


def split_of(name: str) -> Split:
    """Which split a metric's name speaks of."""
    words = re.split(r"[^a-z]+", name.lower())
    return "validation" if any(SPLITS.get(word) == "validation" for word in words) else "train"
