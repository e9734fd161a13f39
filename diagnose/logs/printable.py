"""Text from strangers without control characters: a terminal would obey them."""

from __future__ import annotations

import unicodedata
from typing import Any

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def printable(value: Any) -> Any:
    """The value with every character in its strings replaced that does not print, and unusual spaces by plain ones.

    Looks into lists and dictionaries, keys included; other values stay as they are.
    """
    if isinstance(value, str):
        return value if value.isprintable() else "".join(map(_character, value))
    if isinstance(value, dict):
        return {printable(key): printable(part) for key, part in value.items()}
    if isinstance(value, list):
        return [printable(part) for part in value]
    return value


def _character(character: str) -> str:
    # Controls, formats (bidirectional marks among them), surrogates, line ends, and what Unicode has not assigned yet.
    if character.isprintable():
        return character
    return " " if unicodedata.category(character) == "Zs" else REPLACEMENT
