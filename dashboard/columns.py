"""The columns of the table of runs, by the fields of a row. Settings of the config join them in the browser."""

from __future__ import annotations

from typing import Any, Final

_WORDS: Final = {"filter": "agTextColumnFilter"}
_NUMBERS: Final = {"filter": "agNumberColumnFilter", "sortingOrder": ["asc", "desc", None]}


def _number(field: str, title: str, width: int, **more: Any) -> dict[str, Any]:
    column = {"field": field, "headerName": title, "width": width, "cellRenderer": "Number", "type": "rightAligned"}
    return column | _NUMBERS | more


def _curve(field: str, title: str) -> dict[str, Any]:
    return {"field": field, "headerName": title, "width": 110, "cellRenderer": "Spark"} | _NUMBERS


COLUMNS: Final[list[dict[str, Any]]] = [
    {
        "field": "order",  # by rank, then confidence; made in the browser
        "headerName": "Health",
        "width": 132,
        "cellRenderer": "Health",
        "sort": "asc",
        **_WORDS,
    },
    {"field": "name", "headerName": "Run", "minWidth": 186, "flex": 3, "cellRenderer": "RunName", **_WORDS},
    {
        "field": "finding",
        "headerName": "Worst finding",
        "minWidth": 136,
        "flex": 3,
        "cellRenderer": "Finding",
        **_WORDS,
    },
    {"field": "change", "headerName": "Change first", "minWidth": 130, "flex": 3, "cellRenderer": "Change", **_WORDS},
    _curve("train", "Loss"),
    _curve("validation", "Validation"),
    {"field": "progress", "headerName": "Progress", "width": 114, "cellRenderer": "Progress", **_NUMBERS},
    _number("lr", "lr", 74),
    {"field": "optimizer", "headerName": "Optimizer", "width": 98, **_WORDS},
    _number("batch", "Batch", 70),
    {"field": "activity", "headerName": "State", "width": 150, "hide": True, "cellRenderer": "Activity", **_WORDS},
    {"field": "stage", "headerName": "Stage", "width": 126, "hide": True, **_WORDS},
    _number("steps", "Steps", 90, hide=True),
    _number("left_s", "Time left", 110, hide=True),
]
