"""Settings as plain values: whatever a file spells, every report can show it."""

from __future__ import annotations

from typing import Any, Final

DEEPEST: Final = 20  # settings within settings; what lies deeper is told by dots
MORE: Final = "…"


def plain(value: Any, depth: int = 0) -> Any:
    """The value with texts, numbers, booleans, None, lists and dictionaries in it, and nothing else.

    A whole number beyond the largest float becomes infinite: Python refuses to spell the longest ones.
    """
    if depth > DEEPEST:
        return MORE
    if isinstance(value, dict):
        return {str(plain(name, depth + 1)): plain(part, depth + 1) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part, depth + 1) for part in value]
    if isinstance(value, set | frozenset):
        return sorted(str(plain(part, depth + 1)) for part in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value if _is_float(value) else float("inf") if value > 0 else float("-inf")
    return value if value is None or isinstance(value, str | float | bool) else str(value)


def _is_float(value: int) -> bool:
    try:
        float(value)
    except OverflowError:
        return False
    return True
