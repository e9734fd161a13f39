"""Rules about averaged weights."""

from __future__ import annotations

from diagnose.averaging import LEAST_WINDOW, window
from diagnose.facts import EPOCHS, first_number, steps_per_epoch
from diagnose.findings import Finding
from diagnose.run import Run
from diagnose.setup_rules import breach

__all__ = ["averaging_window_beside_run"]

DECAYS = ("ema_decay", "ema_beta", "ema")
LONGEST = 1 / 3  # of the run: e⁻³, a twentieth, of such an average is still the untrained weights


def averaging_window_beside_run(run: Run) -> Finding | None:
    """Averaging window beside the run: the averaged weights look back too far, or hardly at all.

    An average with decay β looks back on 1 / (1 − β) steps. Where that is more than a third of the training, a part
    of it is the weights of the beginning; over less than ten steps it averages nothing. A twentieth of the training
    is a good start. Source: K34 (stability-scaling §5).
    """
    decay = first_number(run.setup, DECAYS)
    epochs, per_epoch = first_number(run.setup, EPOCHS), steps_per_epoch(run.setup)
    steps = run.setup.config_number("steps") or (epochs * per_epoch if epochs and per_epoch else None)
    if decay is None or not 0 < decay < 1 or not steps or steps < 1:
        return None
    looks_back = window(decay)
    if LEAST_WINDOW <= looks_back <= max(LONGEST * steps, LEAST_WINDOW):
        return None
    in_epochs = f", {looks_back / per_epoch:,.3g} epochs," if per_epoch else ""
    return breach(
        "averaging_window_beside_run",
        run,
        f"Weights averaged with {decay:g} look back on {looks_back:,.0f} steps{in_epochs} of {steps:,.0f}.",
        window=looks_back,
        steps=steps,
    )
