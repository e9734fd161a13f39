"""Which tags of a log are wanted: all others are passed over, and take no memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from diagnose.logs.layout import OWN_TAGS
from diagnose.logs.names import signal_of
from diagnose.logs.splits import FOLDERS
from diagnose.signals import TRAIN_LOSS


class Selection:
    """Tags by their own names or by those of our signals, each of which may be a pattern such as `layers/*`.

    What it holds (`in`) is what has to be read: what is asked for, and the training loss, beside which validation
    that was counted in epochs is put.
    """

    def __init__(self, asked: Iterable[str], names: Mapping[str, str]) -> None:
        self.asked = (asked,) if isinstance(asked, str) else tuple(asked)
        self._patterns = [pattern.replace("[", "[[]") for pattern in self.asked]  # tags hold brackets of their own
        self._names = names  # tag -> signal, of the user's
        self._known: dict[str, bool] = {}

    def asks_for(self, tag: str) -> bool:
        """Whether the tag, with or without its folder's split, or its signal was asked for."""
        if tag not in self._known:
            said = {tag, self._signal(tag)}
            split, _, rest = tag.partition("/")
            if split in FOLDERS.values():
                said.add(rest)
            matches = any(fnmatchcase(name, pattern) for name in said for pattern in self._patterns)
            self._known[tag] = matches or tag.startswith(OWN_TAGS)
        return self._known[tag]

    def __contains__(self, tag: object) -> bool:
        return self.asks_for(str(tag)) or self._signal(str(tag)) == TRAIN_LOSS

    def _signal(self, tag: str) -> str:
        return self._names.get(tag) or signal_of(tag) or tag


class SelectionOfSplit:
    """The same for the files in a split's folder, which say nothing of the split."""

    def __init__(self, whole: Selection, split: str) -> None:
        self._whole, self._split = whole, split

    def __contains__(self, tag: object) -> bool:
        return f"{self._split}/{tag}" in self._whole
