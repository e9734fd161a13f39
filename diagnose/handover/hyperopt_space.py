"""Hyperopt: one choice for each leading setting.

searched = hyperopt_space(space)
best = fmin(lambda point: train(space.config_for(point)), searched, algo=tpe.suggest, max_evals=9,
            points_to_evaluate=[recommended_point(space)])  # which fmin heeds without `trials`
config = space.config_for(space_eval(searched, best))
"""

from __future__ import annotations

from typing import Any

from diagnose.handover.needing import opened
from diagnose.handover.space import SearchSpace


def hyperopt_space(space: SearchSpace) -> dict[str, Any]:
    """A dictionary of `hp.choice` by the config's keys; what is sampled from it goes to `space.config_for`.

    Raises `DiagnoseError` where Hyperopt is not installed.
    """
    hp = opened("hyperopt", "hyperopt").hp
    return {dimension.key: hp.choice(dimension.key, list(dimension.values)) for dimension in space.dimensions}


def recommended_point(space: SearchSpace) -> dict[str, int]:
    """The recommended config as Hyperopt counts, by the positions of the choices."""
    return {dimension.key: 0 for dimension in space.dimensions}
