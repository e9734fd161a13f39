"""Links in a stranger's folder: they may lead to any file of the reader's."""

from __future__ import annotations

import os
from pathlib import Path

from diagnose.logs.storage import is_remote


def leads_out(path: Path, folder: Path) -> bool:
    """Whether `path`, with every link followed, lies outside of `folder`; behind a URL there are no links."""
    if is_remote(path):
        return False
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
