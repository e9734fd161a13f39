"""The remedies of remedies.toml as data."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Remedy:
    """One kind of action, what to watch after it, what would refute it, and where it is told.

    `setting`, `after` and `because` hold in words what doses.py gives in numbers for the others.
    """

    id: str
    title: str
    watch: str
    refuted_by: str
    sources: tuple[str, ...]
    setting: str = ""
    after: str = ""
    because: str = ""


@cache
def known_remedies() -> Mapping[str, Remedy]:
    """All remedies of remedies.toml by id."""
    text = files("diagnose.prescriptions").joinpath("remedies.toml").read_text(encoding="utf-8")
    return {
        name: Remedy(id=name, **{**entry, "sources": tuple(entry["sources"])})
        for name, entry in tomllib.loads(text).items()
    }
