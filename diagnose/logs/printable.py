"""Text from strangers without control characters: a terminal would obey them."""

from __future__ import annotations

import unicodedata
from typing import Any

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def printable(value: Any) -> Any:
    """The value with every control, bidirectional and surrogate character in its strings replaced.

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
    # Categories Cc (control), Cf (format: bidirectional marks among them), Cs (surrogates), Zl and Zp (line ends).
    return REPLACEMENT if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else character
