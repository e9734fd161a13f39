"""Where results are kept that can be had again: never beside the logs, and safe to delete at any time."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path | None:
    """`DIAGNOSE_CACHE`, else `diagnose` in the user's cache; None where that says “off”, or nobody's home is known."""
    told = os.environ.get("DIAGNOSE_CACHE", "")
    if told.lower() == "off":
        return None
    if told:
        return Path(told)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "diagnose"
    except RuntimeError:
        return None
