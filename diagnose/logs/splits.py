"""One run in several folders: a folder for each split, as Keras, tf.estimator and torch's `add_scalars` write."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from diagnose.logs.names import SPLITS

FOLDERS: Final = {"train": "train", "validation": "validation", "val": "validation", "eval": "validation"}
USUAL: Final = list(SPLITS)  # names of splits, the usual ones first
BOTH: Final = {"train", "validation"}


def splits_by_name(folders: Iterable[str], *, beside_events: bool) -> dict[str, str]:
    """Which of the folders are splits of one run by their names, and what is put before their tags.

    `train`, `validation`, `val` and `eval` always are, `test` and the like beside one of training. `Loss_train` and
    `Loss_val` are where event files of the run lie beside them: so `add_scalars("Loss", {"train": …, "val": …})`
    writes. Alone, either may be a run of its own. Where two folders hold the same split (`val` and `test`), the one
    with the less usual name keeps that name, so that no curve is made of two.
    """
    names = list(folders)
    known = SPLITS if any(SPLITS.get(name) == "train" for name in names) else FOLDERS
    together = {"": {name: name for name in names if name in known}}
    if beside_events:
        together |= _written_together(names)
    found = {}
    for words in together.values():  # folder -> the word that says which split it is
        taken: set[str] = set()
        for name, word in sorted(words.items(), key=lambda item: USUAL.index(item[1])):
            found[name] = SPLITS[word] if SPLITS[word] not in taken else word
            taken.add(SPLITS[word])
    return dict(sorted(found.items(), key=lambda item: (item[1], item[0])))


def _written_together(names: Iterable[str]) -> dict[str, dict[str, str]]:
    of_one_tag: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for name in names:
        tag, _, word = name.rpartition("_")
        if tag and word.lower() in SPLITS:
            of_one_tag[tag][name] = word.lower()
    return {tag: words for tag, words in of_one_tag.items() if {SPLITS[w] for w in words.values()} == BOTH}
