"""A plot that cannot be drawn says so in its place: one signal's oddity must not hide the others."""

from __future__ import annotations

import logging
from collections.abc import Callable
from html import escape
from typing import Any

from diagnose.reports.figures import PALETTE

Figure = dict[str, Any]


def drawn_or_told(draw: Callable[[], Figure]) -> Figure:
    """What `draw` gives, or in its stead a figure with one sentence: why there is none."""
    try:
        return draw()
    except Exception as error:  # logs come from strangers
        logging.getLogger(__name__).exception("A plot could not be drawn.")
        return _sentence(f"This plot could not be drawn: {type(error).__name__}: {error}")


def _sentence(told: str) -> Figure:
    """The sentence where the curves would be, over no axes."""
    note = {"text": escape(told), "showarrow": False, "x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper"}
    clear, nothing = "rgba(0,0,0,0)", {"visible": False}
    layout = {"paper_bgcolor": clear, "plot_bgcolor": clear, "font": {"color": PALETTE["quiet"]}, "annotations": [note]}
    return {"data": [], "layout": {**layout, "xaxis": nothing, "yaxis": nothing, "autosize": True, "meta": {}}}
