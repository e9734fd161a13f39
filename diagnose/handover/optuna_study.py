"""Optuna: the recommended trial first, and a `suggest` that moves coupled settings together.

study = optuna.create_study()
enqueue(study, space)
study.optimize(lambda trial: train(suggest(trial, space)), n_trials=9)
best = space.config_for(study.best_params)

With `optuna.samplers.BruteForceSampler()` every combination is tried once, and the study ends by itself.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from diagnose.handover.space import SearchSpace

if TYPE_CHECKING:
    import optuna

FIRST = 4  # trials: the recommended one and a neighbour in each of three dimensions


def enqueue(study: optuna.Study, space: SearchSpace, trials: int = FIRST) -> None:
    """Have the study begin with the recommended config, and then the combinations next to it."""
    for choice in islice(space.choices(), trials):
        study.enqueue_trial(choice, skip_if_exists=True)


def suggest(trial: optuna.Trial, space: SearchSpace) -> dict[str, Any]:
    """A whole config: the trial chooses the leading settings, the couplings give the rest."""
    return space.config_for({d.key: trial.suggest_categorical(d.key, list(d.values)) for d in space.dimensions})
