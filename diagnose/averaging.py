"""Exponential averages of weights, θ̄ = βθ̄ + (1 − β)θ: how far back they look, and how far they should (K34).

    window(0.999)                  # 1000.0 steps
    window(0.999) / 390            # 2.6 epochs of 390 steps
    decay_for(1000)                # 0.999
    recommended_decay(20_000)      # 0.999

Sources: K34 (stability-scaling §5) for the window; Karras et al. 2024 (Analyzing and Improving the Training Dynamics
of Diffusion Models) for a window in proportion to the training: averages over some 5 to 15 % of it sample best.
"""

from __future__ import annotations

from typing import Final

SHARE: Final = 0.05  # of the training's steps: the narrow end, which also suits classifiers under a decaying rate
LEAST_WINDOW: Final = 10.0  # steps: fewer average nothing
MOST_DECAY: Final = 0.9999  # what the longest trainings use


def window(decay: float) -> float:
    """Steps that the average looks back on: 1 / (1 − β), for β in [0, 1).

    The weights of all steps before it add up to 1/e. Raises `ValueError` for any other β.
    """
    if not 0 <= decay < 1:
        raise ValueError(f"A decay lies in [0, 1), not at {decay!r}.")
    return 1 / (1 - decay)


def decay_for(steps: float) -> float:
    """The β whose window is `steps`: 1 − 1/steps. Raises `ValueError` for less than one step."""
    if not steps >= 1:
        raise ValueError(f"A window has one step or more, not {steps!r}.")
    return 1 - 1 / steps


def recommended_decay(steps: float) -> float:
    """The β for a training of `steps`: a window of a twentieth of it, ten steps at least, β at most 0.9999."""
    return min(decay_for(max(SHARE * steps, LEAST_WINDOW)), MOST_DECAY)
