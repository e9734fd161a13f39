"""One run in several folders: a folder for each split, as Keras, tf.estimator and torch's `add_scalars` write."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from diagnose.logs.names import SPLITS

FOLDERS: Final = {"train": "train", "validation": "validation", "val": "validation", "eval": "validation"}


def splits_by_name(folders: Iterable[str], *, beside_events: bool) -> dict[str, str]:
    """Which of the folders are splits of one run by their names, and which split each is.

    `train`, `validation`, `val` and `eval` always are, `test` and the like beside one of training. `Loss_train` and
    `Loss_val` are where event files of the run lie beside them: so `add_scalars("Loss", {"train": …, "val": …})`
    writes. Alone, either may be a run of its own.
    """
    names = list(folders)
    known = SPLITS if any(SPLITS.get(name) == "train" for name in names) else FOLDERS
    found = {name: known[name] for name in names if name in known}
    if beside_events:
        found |= _written_together(names)
    return dict(sorted(found.items(), key=lambda item: (item[1], item[0])))


def _written_together(names: Iterable[str]) -> dict[str, str]:
    of_one_tag: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for name in names:
        tag, _, split = name.rpartition("_")
        if tag and split.lower() in SPLITS:
            of_one_tag[tag][name] = SPLITS[split.lower()]
    whole = (folders for folders in of_one_tag.values() if set(folders.values()) == {"train", "validation"})
    return {name: split for folders in whole for name, split in folders.items()}
