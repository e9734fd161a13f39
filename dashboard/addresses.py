"""The pages' addresses.

A run's name stands in the query, not in the path: browsers rewrite paths (`.` and `..` vanish), and a
run in the root itself is named `.`.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs, quote

RUNS: Final = "/"
RUN: Final = "/run"


def run_address(name: str) -> str:
    """The address of a run's page."""
    return f"{RUN}?name={quote(name, safe='/')}"


def run_name(search: str | None) -> str:
    """The run named in an address's query, "" where none is."""
    return parse_qs((search or "").removeprefix("?")).get("name", [""])[0]
