"""Validation that was counted in epochs, put beside a training that was counted in steps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from diagnose.run import Series
from diagnose.signals import TRAIN_LOSS

FEWEST = 3  # values that tell counting from chance
FAR = 3.0  # times the step that it was logged with: where the clock says that it belongs elsewhere


def placed(scalars: Mapping[str, Series]) -> tuple[dict[str, Series], list[str]]:
    """The signals, those counted in epochs at the steps that the clock tells; and notes on which those are."""
    train = scalars.get(TRAIN_LOSS)
    signals, moved = dict(scalars), []
    if train is None or len(train) < FEWEST:
        return signals, []
    for name, series in scalars.items():
        if name.endswith("/validation") and _counts_epochs(series, train):
            steps = np.rint(np.interp(series.wall_times, train.wall_times, train.steps)).astype(np.int64)
            if steps[-1] > FAR * series.steps[-1] and (np.diff(steps) > 0).all():
                signals[name] = Series(steps, series.values, series.wall_times)
                moved.append(name)
    told = f"{', '.join(moved)}: counted in epochs, and put at the training's steps by the clock."
    return signals, [told] if moved else []


def _counts_epochs(series: Series, train: Series) -> bool:
    """Whether it goes up by one at a time while the training goes on in larger numbers, on the same clock."""
    return (
        len(series) >= FEWEST
        and bool((np.diff(series.steps) == 1).all())
        and train.steps[-1] > FAR * series.steps[-1]
        and bool((np.diff(train.wall_times) >= 0).all())
        and bool((np.diff(series.wall_times) > 0).all())
        and train.wall_times[0] <= series.wall_times[0]
    )
