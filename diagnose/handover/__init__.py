"""A prescription as a search: the coupled, narrowed space, handed to the tools that search (K83).

    space = search_space(diagnosis.prescription, config, diagnosis.run)
    study.optimize(lambda trial: loss_of(optuna_study.suggest(trial, space)))

What leads a move is a dimension with a few values around the recommended one; what is coupled to it is no dimension,
but follows it. So a search moves settings together that belong together, and stays small.
"""

from diagnose.handover.space import Dimension, SearchSpace, search_space

__all__ = ["Dimension", "SearchSpace", "search_space"]
