"""Which tags of a log are wanted: all others are passed over, and take no memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from diagnose.logs.layout import OWN_TAGS
from diagnose.logs.names import signal_of


class Selection:
    """Tags by their own names or by those of our signals, each of which may be a pattern such as `layers/*`."""

    def __init__(self, wanted: Iterable[str], names: Mapping[str, str]) -> None:
        self._wanted = tuple(wanted)
        self._names = names  # tag -> signal, of the user's
        self._known: dict[str, bool] = {}

    def __contains__(self, tag: object) -> bool:
        name = str(tag)
        if name not in self._known:
            said = {name, self._names.get(name) or signal_of(name) or name}
            found = any(fnmatchcase(one, pattern) for one in said for pattern in self._wanted)
            self._known[name] = found or name.startswith(OWN_TAGS)
        return self._known[name]


class SelectionOfSplit:
    """The same for the files in a split's folder, which say nothing of the split; those of training need not."""

    def __init__(self, whole: Selection, split: str) -> None:
        self._whole, self._split = whole, split

    def __contains__(self, tag: object) -> bool:
        return f"{self._split}/{tag}" in self._whole or (self._split == "train" and tag in self._whole)
