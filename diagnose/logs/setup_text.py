"""The set-up as the JSON text that stands in the log, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from math import isfinite
from typing import Any

from diagnose.logs.layout import SETUP_SCHEMA
from diagnose.logs.printable import printable
from diagnose.logs.withholding import withheld
from diagnose.run import Layer, Setup

MOST_PARAMETERS = 2**53  # of a layer: whole numbers that a float still holds exactly
LONGEST_NAME = 300  # characters of a layer, its type or its activation
_PARTS = ("config", "environment", "optimizer", "scheduler", "model", "modules")


def as_json(setup: Setup) -> str:
    """One JSON object, without what is secret in the config; whatever is no plain value is told by its `str`."""
    told = {**asdict(setup), "config": withheld(setup.config)}
    return json.dumps({"schema": SETUP_SCHEMA, **told}, default=str)


def from_json(text: str) -> Setup:
    """The set-up of a log, its texts made printable.

    Raises `ValueError` where the text is not in the form that `as_json` writes.
    """
    try:
        told = printable(json.loads(text))
        layers = tuple(_layer(entry) for entry in told.get("layers", ()))
        parts = {part: _mapping(told.get(part)) for part in _PARTS}
        return Setup(**{**parts, "config": withheld(parts["config"])}, layers=layers)
    except (AttributeError, KeyError, OverflowError, TypeError, RecursionError) as error:
        raise ValueError("not a set-up") from error


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _layer(entry: Mapping[str, Any]) -> Layer:
    return Layer(
        name=_cut(str(entry["name"])),
        type=_cut(str(entry["type"])),
        parameters=min(max(int(entry["parameters"]), 0), MOST_PARAMETERS),
        trainable=bool(entry.get("trainable", True)),
        activation=_cut(str(entry.get("activation", ""))),
        init={str(k): float(v) for k, v in _mapping(entry.get("init")).items() if isfinite(float(v))},
    )


def _cut(name: str) -> str:
    """The name, one of a stranger's making without its middle: pages and reports show it many times."""
    half = LONGEST_NAME // 2
    return name if len(name) <= LONGEST_NAME else f"{name[: half - 1]}…{name[-half:]}"
