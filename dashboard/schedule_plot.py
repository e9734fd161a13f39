"""The logged learning rate with the recommended schedule beside it, and both in a sentence."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from diagnose.dashboard.lines import line, on
from diagnose.diagnosis import Diagnosis
from diagnose.facts import scheduler_types
from diagnose.reports.figures import PALETTE
from diagnose.schedule_advice import ran, rates, recommended
from diagnose.signals import LR

POINTS: Final = 400


def with_recommended(figure: dict[str, Any], diagnosis: Diagnosis, *, dark: bool) -> dict[str, Any]:
    """The figure with one more line where the prescription changes the schedule."""
    advised = recommended(diagnosis)
    if advised is None or not figure["data"]:
        return figure
    since = np.unique(np.concatenate([np.linspace(0, advised.end, POINTS), [advised.warmup]]).astype(np.int64))
    values, steps = rates(advised, since), since + diagnosis.run.start
    drawn = line("recommended", steps, values, on(PALETTE["third"], dark=dark), dash="dash")
    layout = {**figure["layout"], "showlegend": True}
    layout["margin"] = {**layout["margin"], "b": 64}
    _make_room(layout["yaxis"], values)
    return {"data": [*figure["data"], drawn], "layout": layout}


def sentence(diagnosis: Diagnosis) -> str:
    """What ran, by name, and what is recommended; empty where neither is known."""
    present, advised = ran(diagnosis.run.scalar(LR)), recommended(diagnosis)
    kinds = ", ".join(scheduler_types(diagnosis.run.setup))
    parts = []
    if present is not None:
        parts.append(f"Ran: {present.told()}{f' ({kinds})' if kinds else ''}.")
    if advised is not None:
        parts.append(
            f"Recommended: {advised.told()}{f' at step {advised.end:,}' if advised.final < advised.peak else ''}."
        )
    elif present is not None and not diagnosis.healthy:
        parts.append("The prescription leaves it as it is.")
    return " ".join(parts)


def _make_room(axis: dict[str, Any], values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    """A fixed height must not cut the recommended line off."""
    if not axis.get("autorange", True) and axis.get("type") != "log" and len(values):
        low, high = axis["range"]
        axis["range"] = [min(low, float(values.min())), max(high, 1.05 * float(values.max()))]
