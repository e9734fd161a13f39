"""What the plots show, in a sentence: how many values, how they are smoothed, what an axis leaves out."""

from __future__ import annotations

import numpy as np

from diagnose.dashboard.lines import POINTS_A_PIXEL
from diagnose.dashboard.reduction import within
from diagnose.dashboard.smoothing import smoothed
from diagnose.dashboard.view import View
from diagnose.diagnosis import Diagnosis
from diagnose.signals import TRAIN_LOSS, VALIDATION_LOSS


def caption(diagnosis: Diagnosis, view: View) -> str:
    """About the loss, which the other plots follow; empty without one."""
    series = diagnosis.run.scalar(TRAIN_LOSS) or diagnosis.run.scalar(VALIDATION_LOSS)
    if series is None:
        return ""
    part = within(series, view.window)
    told = [f"{len(part):,} of {len(series):,} logged values are shown" if view.window else f"{len(part):,} values"]
    if len(part) > POINTS_A_PIXEL * view.width:
        told.append("the lowest and the highest of each pixel are drawn, and all of them once you zoom in")
    smooth = smoothed(series, view.smooth, view.window)
    if smooth is not None:
        told.append(f"the bold line is the running median of {smooth.width:,} values, the faint one what was logged")
    elif view.smooth not in {"auto", "off"}:
        told.append(f"too few for a running median of {view.smooth}: what was logged is shown")
    else:
        told.append("nothing is smoothed")
    hidden = int(np.count_nonzero(part.values <= 0)) if view.axis == "log" else 0
    if hidden:
        told.append(f"{hidden:,} at or below 0 have no place on a logarithmic axis")
    return f"Loss: {'; '.join(told)}."
