"""Rules about weight decay."""

from __future__ import annotations

from diagnose.facts import has_decoupled_decay, is_sgd, optimizer_type, weight_decay
from diagnose.findings import Finding
from diagnose.run import Run
from diagnose.setup_rules import breach

__all__ = ["adam_with_l2", "weight_decay_outside_usual_starts"]

COUPLED = ("Adam", "NAdam", "RAdam", "Adamax", "Adagrad", "RMSprop")
L2_STARTS = (1e-5, 1e-3)  # K50 (deep-dive §6)
DECOUPLED_STARTS = (1e-5, 0.1)  # up to GPT-3's (Brown et al. 2020, appendix B): the decay is multiplied by the rate
EXTREME = 100.0  # times the strongest usual start: two decades beyond what a search would try
FAR = 3.0  # times beyond either end, as with rates: these are starts for a search, not limits


def adam_with_l2(run: Run) -> Finding | None:
    """Adam with L2 weight decay: the decay enters the gradient, and so both moments.

    AdamW decays apart from the adaptive scaling, so that the setting means what it says.
    Source: K45 (interdependencies §2, stability-scaling §4).
    """
    decay, optimizer = weight_decay(run.setup), optimizer_type(run.setup)
    if optimizer not in COUPLED or not decay or has_decoupled_decay(run.setup):
        return None
    return breach(
        "adam_with_l2",
        run,
        f"{optimizer} with weight_decay {decay:g} scales the decay with the gradients; AdamW does not.",
        confidence=0.95,
        weight_decay=decay,
    )


def weight_decay_outside_usual_starts(run: Run) -> Finding | None:
    """Weight decay outside its usual starts: far from 1e-3, 1e-4 and 1e-5.

    AdamW multiplies the decay with the rate, so that up to 0.1 is usual there. What improves validation is
    right, whatever the training loss does. Source: K50 (deep-dive §6).
    """
    decay, optimizer = weight_decay(run.setup), optimizer_type(run.setup)
    if not decay or (not is_sgd(optimizer) and optimizer not in COUPLED and not has_decoupled_decay(run.setup)):
        return None
    low, high = DECOUPLED_STARTS if has_decoupled_decay(run.setup) else L2_STARTS
    if low / FAR <= decay <= high * FAR:
        return None
    side = "below" if decay < low else "above"
    return breach(
        "weight_decay_outside_usual_starts",
        run,
        f"Weight decay {decay:g} is {side} the usual starts of {optimizer}, {low:g} to {high:g}.",
        weight_decay=decay,
        side=side,
        extreme="yes" if decay >= EXTREME * high else "no",
    )
