"""A user's own names for signals, in a file `diagnose.toml` beside the runs or in any folder above them.

[names]
my_loss = "loss/train"
"eval/top1" = "accuracy/validation"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diagnose.logs.links import leads_out, notes_on
from diagnose.logs.printable import printable
from diagnose.logs.storage import is_remote, shown

FILE = "diagnose.toml"
LONGEST = 1_000_000  # bytes: no file of names is longer
MOST_DOTS = 100  # in a line: the time to read `a.a.a…` grows with the square of its length


def own_names(place: Path, root: Path | None = None) -> tuple[Mapping[str, str], list[str]]:
    """Tag -> signal from the nearest file, not above `root`, and notes on one that cannot be used.

    A link is followed within `root`, else within its own folder: that folder may be a stranger's.
    """
    for path in files_of_names(place):
        if root is not None and not path.is_relative_to(root):
            break
        try:
            if not path.is_file():
                continue
            if leads_out(path, root or path.parent):
                return {}, notes_on([path], root or path.parent)
            names = _read(path).get("names", {})
        except RecursionError:
            return {}, [f"{shown(path)} was left out: nested too deep."]
        except (OSError, ValueError) as error:
            return {}, [f"{shown(path)} was left out: {error}"]
        if isinstance(names, dict) and all(isinstance(signal, str) for signal in names.values()):
            return printable(names), []  # as the log's tags are
        return {}, [f"{shown(path)} was left out: its [names] are no texts."]
    return {}, []


def files_of_names(place: Path) -> list[Path]:
    """Where the names for what lies at `place` may stand, the nearest first.

    Of a remote place only its own folder and that of its runs, and nowhere for a file.
    """
    if is_remote(place):
        return [folder / FILE for folder in (place, *list(place.parents)[:1])] if place.is_dir() else []
    place = place.absolute()
    return [folder / FILE for folder in (place, *place.parents)]


def _read(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        text = file.read(LONGEST).decode()
    if any(line.count(".") > MOST_DOTS for line in text.splitlines()):
        raise ValueError(f"a line with more than {MOST_DOTS} dots is no name.")
    return tomllib.loads(text)
