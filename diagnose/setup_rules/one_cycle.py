"""Rules about OneCycle, the schedule of one rise and one fall."""

from __future__ import annotations

from diagnose.facts import is_adaptive, optimizer_type, scheduler_types
from diagnose.findings import Finding
from diagnose.run import Run
from diagnose.setup_rules import breach
from diagnose.setup_rules.learning_rate import ADAPTIVE_RANGE

__all__ = [
    "onecycle_peak_out_of_proportion",
    "onecycle_with_adaptive_optimizer",
    "onecycle_without_momentum_cycle",
]

PROPORTION = (2.0, 10.0)  # times the baseline rate, K32 (interdependencies §11)


def onecycle_peak_out_of_proportion(run: Run) -> Finding | None:
    """OneCycle's peak out of proportion: not 2 to 10 times the rate that works without it.

    `reference_lr` in the config tells that rate. A lower peak gives away what the cycle is for, a higher one
    is hardly stable. Source: K32 (interdependencies §11).
    """
    peak, baseline = _peak(run), run.setup.config_number("reference_lr")
    if peak is None or baseline is None or baseline <= 0:
        return None
    ratio = peak / baseline
    if PROPORTION[0] <= ratio <= PROPORTION[1]:
        return None
    return breach(
        "onecycle_peak_out_of_proportion",
        run,
        f"OneCycle peaks at {peak:g}, {ratio:.2g} times the baseline {baseline:g}; 2 to 10 times are usual.",
        max_lr=peak,
        reference_lr=baseline,
        side="below" if ratio < PROPORTION[0] else "above",
    )


def onecycle_with_adaptive_optimizer(run: Run) -> Finding | None:
    """OneCycle with an adaptive optimizer: its high peak is made for SGD, and lies above Adam's usual rates.

    Source: K32 (interdependencies §11), K11 (interdependencies §4).
    """
    peak, optimizer = _peak(run), optimizer_type(run.setup)
    if peak is None or not is_adaptive(optimizer) or peak <= ADAPTIVE_RANGE[1]:
        return None
    return breach(
        "onecycle_with_adaptive_optimizer",
        run,
        f"OneCycle takes {optimizer} up to {peak:g}: such peaks suit SGD, {ADAPTIVE_RANGE[1]:g} is usual for Adam.",
        max_lr=peak,
    )


def onecycle_without_momentum_cycle(run: Run) -> Finding | None:
    """OneCycle without its momentum cycle: the rate rises while momentum stays high.

    Momentum is to move against the rate, low while the rate is high, so that steps do not overshoot.
    Source: K32 (interdependencies §11), K27 (interdependencies §4).
    """
    if _peak(run) is None or run.setup.scheduler.get("cycle_momentum") is not False:
        return None
    momentum = run.setup.optimizer_setting("momentum")
    if not momentum and not is_adaptive(optimizer_type(run.setup)):
        return None
    return breach(
        "onecycle_without_momentum_cycle",
        run,
        "OneCycle runs with cycle_momentum=False: momentum stays high while the rate is.",
        momentum=momentum or "β₁",
    )


def _peak(run: Run) -> float | None:
    peak = run.setup.optimizer_setting("max_lr")
    return peak if "OneCycleLR" in scheduler_types(run.setup) and peak is not None and peak > 0 else None
