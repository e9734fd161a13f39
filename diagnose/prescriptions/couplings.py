"""What has to follow when a setting changes: the coupling graph and its formulas.

A coupling leads from one setting to another and gives the follower's new value from the ratio by which
the first one changed. Settings that the log does not hold are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from diagnose.diagnosis import Change
from diagnose.prescriptions.remedies import known_remedies
from diagnose.run import Run
from diagnose.schedules import warmup_steps
from diagnose.signals import LR

MOST_EPOCHS = 2.0  # times as long at the most in one move: more is a decision about money, not a coupling
WARMUP_SHARE = 0.05  # of the new run's steps
LEAST_WARMUP = 10  # steps


@dataclass(frozen=True)
class Coupling:
    """One edge of the graph: a change of `source` pulls `target`.

    `follow(ratio, run)` takes new/old of the source and yields the target's change, or none where this
    ratio does not pull it.
    """

    source: str
    target: str
    because: str
    sources: tuple[str, ...]
    follow: Callable[[float, Run], Follower | None]


@dataclass(frozen=True)
class Follower:
    """The pulled setting's move."""

    remedy: str
    setting: str
    before: float | None
    after: float


def _longer_training(ratio: float, run: Run) -> Follower | None:
    """Epochs × √(old rate / new rate), at most doubled, where the rate was lowered.

    The time to a given loss grows as 1/η where the old rate was stable; here it was not, so part of
    the old rate never was progress. The documents give the direction alone (K49); the root is half of
    the way in the logarithm.
    """
    if ratio >= 1:
        return None
    factor = min(ratio**-0.5, MOST_EPOCHS)
    epochs = run.setup.config_number("epochs")
    if epochs:
        return Follower("train_longer", "epochs", epochs, float(round(epochs * factor)))
    return (
        Follower("train_longer", "steps", float(run.length), float(round(run.length * factor))) if run.length else None
    )


def _warmup(ratio: float, run: Run) -> Follower | None:
    """A warmup over 5 % of the steps, where the rate was lowered because the run was unstable.

    Early in training the curvature changes fast and λ_max may exceed what the new rate allows; warmup
    covers that breach of η < 2/λ_max (K21). A warmup that is longer already stays.
    """
    if ratio >= 1 or not run.length:
        return None
    present = warmup_steps(run.scalar(LR))
    wanted = max(LEAST_WARMUP, round(WARMUP_SHARE * run.length))
    if present >= wanted:
        return None
    return Follower("lengthen_warmup" if present else "add_warmup", "warmup_steps", float(present), float(wanted))


def _clip_with_rate(ratio: float, run: Run) -> Follower | None:
    """Clip threshold ∝ 1/η where the rate is raised: the product of both bounds a step (K25)."""
    limit = run.setup.config_number("max_norm")
    if ratio <= 1 or not limit:
        return None
    return Follower("clip_gradients", "max_norm", limit, float(f"{limit / ratio:.3g}"))


GRAPH: Final = (
    Coupling(
        "lr",
        "warmup_steps",
        "Warmup covers the first steps, in which curvature changes fastest and even the new rate may be too high.",
        ("K21 (stability-scaling §2, interdependencies §6)", "K07 (interdependencies §1)"),
        _warmup,
    ),
    Coupling(
        "lr",
        "epochs",
        "Smaller steps need more of them.",
        ("K49 (deep-dive §4, §7)",),
        _longer_training,
    ),
    Coupling(
        "lr",
        "max_norm",
        "A larger rate wants a smaller clip threshold: their product bounds the step.",
        ("K25 (interdependencies §7)",),
        _clip_with_rate,
    ),
)


def followers(change: Change, run: Run) -> Iterator[Change]:
    """Every change that `change` pulls along, each setting at most once, in the order of the graph."""
    settled = {change.setting}
    front = [change]
    while front:
        moved = front.pop(0)
        ratio = _ratio(moved)
        if ratio is None:
            continue
        for coupling in GRAPH:
            if coupling.source != moved.setting:
                continue
            pulled = coupling.follow(ratio, run)
            if pulled is not None and pulled.setting not in settled:
                settled.add(pulled.setting)
                front.append(_change(coupling, pulled, change.remedy))
                yield front[-1]


def _change(coupling: Coupling, pulled: Follower, leader: str) -> Change:
    remedy = known_remedies()[pulled.remedy]
    return Change(
        remedy=remedy.id,
        title=remedy.title,
        setting=pulled.setting,
        before=_plain(pulled.before),
        after=_plain(pulled.after),
        because=coupling.because,
        sources=coupling.sources,
        coupled_to=leader,
        watch=remedy.watch,
    )


def _ratio(change: Change) -> float | None:
    before, after = change.before, change.after
    if isinstance(before, int | float) and isinstance(after, int | float) and before > 0 and after > 0:
        return after / before
    return None


def _plain(value: float | None) -> float | int | None:
    return int(value) if value is not None and value == int(value) else value
