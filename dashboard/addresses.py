"""The pages' addresses.

A run's name stands in the query, not in the path: browsers rewrite paths (`.` and `..` vanish), and a
run in the root itself is named `.`.

All pages lie side by side, and link to one another by relative addresses: so they work below any path that
a proxy puts before them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import parse_qs, quote, urlencode

RUNS: Final = "./"
RUN: Final = "run"
COMPARE: Final = "compare"
WHAT_IF: Final = "what-if"
NOTE: Final = "note"
REPORT: Final = "report"
COMPARISON: Final = "comparison"
CONSEQUENCES: Final = "consequences"
NEW: Final = "new."  # before the name of a setting that is to change


def page_of(pathname: str, prefix: str) -> str:
    """Which page an address shows: one of the names above, or "" where there is no such page."""
    page = pathname.removeprefix(prefix) if pathname.startswith(prefix) else "no page"
    return page or RUNS


def run_address(name: str) -> str:
    """The address of a run's page."""
    return f"{RUN}?name={quote(name, safe='/')}"


def report_address(name: str, kind: str) -> str:
    """The address of a run's report as a file; `kind` is html, md or json."""
    return f"{REPORT}?name={quote(name, safe='/')}&format={kind}"


def compare_address(names: Iterable[str]) -> str:
    """The address of several runs side by side."""
    return f"{COMPARE}?" + "&".join(f"run={quote(name, safe='/')}" for name in names)


def comparison_address(first: str, second: str, kind: str) -> str:
    """The address of the comparison of two runs as a file; `kind` is md or json."""
    runs = f"run={quote(first, safe='/')}&run={quote(second, safe='/')}"
    return f"{COMPARISON}?{runs}&format={kind}"


def consequences_address(config: Mapping[str, str], changes: Mapping[str, str], kind: str) -> str:
    """The address of what follows from changes as a file; `kind` is md or json."""
    told = {**config, **{NEW + name: value for name, value in changes.items()}, "format": kind}
    return f"{CONSEQUENCES}?{urlencode(told)}"


def run_names(search: str | None) -> list[str]:
    """The runs named in an address's query, each once."""
    return list(dict.fromkeys(parse_qs((search or "").removeprefix("?")).get("run", [])))


def settings(search: str | None) -> dict[str, str]:
    """The settings in an address's query, by name; of several values the last."""
    return {name: values[-1] for name, values in parse_qs((search or "").removeprefix("?")).items()}


def listed(search: str | None, names: Iterable[str]) -> dict[str, list[str]]:
    """The settings of these names in an address's query, each with all its values."""
    told = parse_qs((search or "").removeprefix("?"))
    return {name: told.get(name, []) for name in names}


def run_name(search: str | None) -> str:
    """The run named in an address's query, "" where none is."""
    return parse_qs((search or "").removeprefix("?")).get("name", [""])[0]
