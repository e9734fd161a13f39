"""How training ended as the JSON text that stands before a log's closing mark, and back."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Final

from diagnose.endings import WAYS, Ending
from diagnose.logs.layout import ENDING_SCHEMA
from diagnose.logs.printable import printable

LONGEST: Final = 300  # characters of a message: some exceptions carry a whole tensor
LONGEST_NAME: Final = 80


def as_json(ending: Ending) -> str:
    """One JSON object."""
    return json.dumps({"schema": ENDING_SCHEMA, **asdict(ending)})


def from_json(text: str) -> Ending | None:
    """The ending, made printable and cut; None where the text is not in the form that `as_json` writes."""
    try:
        told = printable(json.loads(text))
        how, by, message = told["how"], str(told["by"]), str(told.get("message", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return Ending(how, by[:LONGEST_NAME], message[:LONGEST]) if how in WAYS and by else None
