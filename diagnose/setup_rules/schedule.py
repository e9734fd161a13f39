"""Rules about how the learning rate changes over the run."""

from __future__ import annotations

from diagnose.facts import (
    EPOCHS,
    first_number,
    is_adaptive,
    is_fine_tuning,
    is_sgd,
    optimizer_type,
    planned_peak,
    scheduler_types,
    steps_per_epoch,
    warms_up,
)
from diagnose.findings import Finding
from diagnose.run import Run
from diagnose.schedules import RISEN
from diagnose.setup_rules import breach
from diagnose.signals import LR

__all__ = [
    "aggressive_decay_with_adaptive_optimizer",
    "cosine_period_beside_run",
    "cosine_without_warmup",
    "rate_gone_early",
    "rate_never_decays",
    "step_decay",
]

COSINE = ("CosineAnnealingLR", "CosineLRScheduler")  # torch's and timm's; restarts are meant to start high
STEPWISE = ("StepLR", "MultiStepLR")
AGGRESSIVE = 0.1  # times the rate at one drop: torch's default γ, made for SGD
OFF = 2.0  # times: a period this far from the run's length ends elsewhere in the cosine
EARLY, GONE = 0.25, 0.02  # of the run, and of the peak: less is no training for what is left
FEW = 20  # logged rates: fewer are no run to speak of


def cosine_without_warmup(run: Run) -> Finding | None:
    """Cosine decay without warmup: the rate starts at its peak.

    Cosine annealing after a linear warmup is the strong default: a stable start, an effective end.
    Fine-tuning needs little warmup and is not named. Source: K31 (interdependencies §11), K23 (interdependencies §6).
    """
    used = [kind for kind in scheduler_types(run.setup) if kind in COSINE]
    if not used or is_fine_tuning(run.setup) or warms_up(run) is not False:
        return None
    return breach(
        "cosine_without_warmup",
        run,
        f"{used[0]} starts at its peak; the strong default is cosine after a linear warmup.",
        scheduler=used[0],
    )


def cosine_period_beside_run(run: Run) -> Finding | None:
    """Cosine period beside the run: T_max is neither the run's epochs nor its steps.

    A cosine that is stepped more often than T_max climbs again; one that is stepped less often stops high.
    Source: K30 (stability-scaling §3), K31 (interdependencies §11).
    """
    period = run.setup.scheduler_number("T_max")
    epochs, per_epoch = first_number(run.setup, EPOCHS), steps_per_epoch(run.setup)
    if run.setup.scheduler.get("type") != COSINE[0] or not period or period < 0 or not epochs or not per_epoch:
        return None
    lengths = (epochs, epochs * per_epoch)
    if any(length / OFF <= period <= length * OFF for length in lengths):
        return None
    return breach(
        "cosine_period_beside_run",
        run,
        f"T_max is {period:,.0f}, but the run has {epochs:,.0f} epochs of {per_epoch:,.0f} steps.",
        t_max=period,
        epochs=epochs,
        steps_per_epoch=per_epoch,
    )


def step_decay(run: Run) -> Finding | None:
    """Step decay: the rate falls in steps, whose distance and factor both want careful tuning.

    It is a simple baseline; cosine after a linear warmup is the strong default and has less to tune.
    Source: K31 (interdependencies §11).
    """
    used = next((kind for kind in scheduler_types(run.setup) if kind in STEPWISE), None)
    gamma = run.setup.scheduler_number("gamma")
    if used is None or gamma is None:
        return None
    return breach(
        "step_decay",
        run,
        f"{used} multiplies the rate by {gamma:g} at each drop: when and by how much both want tuning.",
        scheduler=used,
        gamma=gamma,
    )


def aggressive_decay_with_adaptive_optimizer(run: Run) -> Finding | None:
    """Aggressive decay with an adaptive optimizer: Adam's rate drops to a tenth or less at once.

    Adaptive optimizers scale each parameter's step themselves and gain less from such drops than SGD.
    Source: K33 (interdependencies §4).
    """
    optimizer, gamma = optimizer_type(run.setup), run.setup.scheduler_number("gamma")
    stepwise = any(kind in STEPWISE for kind in scheduler_types(run.setup))
    if not stepwise or not is_adaptive(optimizer) or gamma is None or not 0 <= gamma <= AGGRESSIVE:
        return None
    return breach(
        "aggressive_decay_with_adaptive_optimizer",
        run,
        f"The rate of {optimizer} drops to {gamma:g} of itself at once; adaptive optimizers gain less from that.",
        gamma=gamma,
    )


def rate_never_decays(run: Run) -> Finding | None:
    """Rate never decays: the learning rate rested at its peak to the end.

    A falling rate lets the run settle at the end; cosine after a linear warmup is the strong default.
    Adaptive optimizers gain less from it. Told of finished runs alone, and not of fine-tuning.
    Source: K31 (interdependencies §11), K33 (interdependencies §4).
    """
    rate, optimizer = run.scalar(LR), optimizer_type(run.setup)
    adaptive = is_adaptive(optimizer)
    if rate is None or len(rate.finite) < FEW or not run.finished or is_fine_tuning(run.setup):
        return None
    values, planned = rate.finite.values, planned_peak(run)
    last = float(values[-1])
    rests = bool((values[len(values) // 2 :] == last).all())  # a warmup that was cut short is no constant rate
    reached = planned is not None and last >= RISEN * planned
    if not (adaptive or is_sgd(optimizer)) or not last > 0 or not rests or not reached:
        return None
    return breach(
        "rate_never_decays",
        run,
        f"The learning rate is {last:.3g} at the last step, as high as ever: it never decays.",
        confidence=0.6 if adaptive else 0.9,
        lr=last,
    )


def rate_gone_early(run: Run) -> Finding | None:
    """Rate gone early: from the first quarter of the run on, the learning rate is under a fiftieth of its peak.

    Cosine annealing reaches that in the last tenth. A rate that is back where it began is none of this.
    Source: K31 (interdependencies §11).
    """
    rate, peak = run.scalar(LR), planned_peak(run)
    if rate is None or len(rate.finite) < FEW or not run.finished or run.start > 0 or not peak:
        return None
    values = rate.finite.values
    rest = values[int(EARLY * len(values)) :]
    if float(values.max()) < RISEN * peak or not 0 <= float(rest.max()) < min(GONE * peak, float(values[0])):
        return None
    return breach(
        "rate_gone_early",
        run,
        f"For three quarters of the run the learning rate is at most {float(rest.max()):.3g}, after {peak:.3g}.",
        peak=peak,
        rest=float(rest.max()),
    )
