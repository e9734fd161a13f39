"""Rules about the learning rate and its schedule."""

from __future__ import annotations

from diagnose.findings import Finding, Severity
from diagnose.run import Run
from diagnose.schedules import peak_lr, warmup_steps
from diagnose.signals import LR

__all__ = ["large_batch_without_warmup", "lr_outside_usual_range"]

ADAPTIVE_RANGE = (1e-4, 1e-3)  # K11 (interdependencies §4)
SGD_RANGE = (0.01, 0.3)  # K11 (interdependencies §4)
FAR = 3.0  # times beyond the range's end: ranges are starts for a search, not limits
LARGE_BATCH = 1024  # samples, K22 (interdependencies §6)


def usual_range(optimizer: str) -> tuple[float, float] | None:
    """Usual learning rates of an optimizer by its class name, None for kinds without such a range (K11)."""
    name = optimizer.lower()
    if "adam" in name:
        return ADAPTIVE_RANGE
    return SGD_RANGE if name == "sgd" else None


def lr_outside_usual_range(run: Run) -> Finding | None:
    """Learning rate outside its usual range: far above or below what this kind of optimizer takes.

    Usual are 0.01 to 0.3 for SGD and 1e-4 to 1e-3 for Adam and its kin; a rate more than three times
    beyond either end is named. Source: K11 (interdependencies §4, deep-dive §2).
    """
    optimizer = str(run.setup.optimizer.get("type", ""))
    usual = usual_range(optimizer)
    lr = peak_lr(run.scalar(LR)) or run.setup.optimizer_setting("lr")
    if usual is None or lr is None or usual[0] / FAR <= lr <= usual[1] * FAR:
        return None
    side = "above" if lr > usual[1] else "below"
    return Finding(
        id="lr_outside_usual_range",
        kind="setup_rule",
        severity=Severity.INFO,
        confidence=0.9,
        window=(0, run.steps),
        summary=f"The learning rate {lr:.3g} is {side} the usual range of {optimizer}, {usual[0]:g} to {usual[1]:g}.",
        evidence={"lr": lr, "usual_low": usual[0], "usual_high": usual[1], "side": side},
    )


def large_batch_without_warmup(run: Run) -> Finding | None:
    """Large batch without warmup: more than 1024 samples a step and a rate that starts at its peak.

    Large batches want a linear warmup over 5 to 10 epochs. Source: K22 (interdependencies §6).
    """
    batch = run.setup.config_number("batch_size")
    if batch is None or batch <= LARGE_BATCH or run.scalar(LR) is None or warmup_steps(run.scalar(LR)):
        return None
    return Finding(
        id="large_batch_without_warmup",
        kind="setup_rule",
        severity=Severity.INFO,
        confidence=0.9,
        window=(0, run.steps),
        summary=f"A batch of {batch:,.0f} starts at the full rate: above 1,024, 5–10 epochs of warmup are usual.",
        evidence={"batch_size": batch},
    )
