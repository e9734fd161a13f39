"""Ray Tune: a grid over the leading settings.

tuner = tune.Tuner(lambda point: {"loss": train(space.config_for(point))}, param_space=param_space(space))
config = space.config_for(tuner.fit().get_best_result("loss", "min").config)
"""

from __future__ import annotations

from typing import Any

from diagnose.handover.needing import opened
from diagnose.handover.space import SearchSpace


def param_space(space: SearchSpace) -> dict[str, Any]:
    """A dictionary of `tune.grid_search` by the config's keys; each point of it goes to `space.config_for`.

    Raises `DiagnoseError` where Ray Tune is not installed.
    """
    tune = opened("ray.tune", "ray[tune]")
    return {dimension.key: tune.grid_search(list(dimension.values)) for dimension in space.dimensions}
