"""Links in a stranger's folder: they may lead to any file of the reader's."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from diagnose.logs.storage import is_remote, shown


def leads_out(path: Path, folder: Path) -> bool:
    """Whether `path`, with every link followed, lies outside of `folder`; behind a URL there are no links."""
    if is_remote(path):
        return False
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def notes_on(left_out: Iterable[Path], folder: Path) -> list[str]:
    """What is said of files that were not read because they lead out of `folder`."""
    return [f"{path.name} was left out: it is a link to a place outside {shown(folder)}." for path in left_out]
