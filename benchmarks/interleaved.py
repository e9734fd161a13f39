"""Trainings side by side: blocks of the plain one and of each variant in turn, so that drift hits both alike."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from stopwatch import Stopwatch
from variants import Step, Variant, plain
from workloads import Workload

BLOCK_S = 0.25
GROUP_S = 1.0  # a ratio is taken over at least so much of a training,
GROUP_STEPS = 20  # and over at least so many of its steps: looks come in bursts
FEWEST_GROUPS = 3
WARM_UP_S = 1.0
WARM_UP_STEPS = 12  # past those that trace, describe, and look at curvature for the first time
PAUSE_S = 0.02  # after each block: what background threads still have to do counts as its CPU time
PLAIN = "plain, against itself (A/A)"


@dataclass(frozen=True)
class Block:
    """What one block of steps, or several added up, took, in seconds."""

    wall: float
    cpu: float
    inside: float  # self time

    def __add__(self, other: Block) -> Block:
        return Block(self.wall + other.wall, self.cpu + other.cpu, self.inside + other.inside)


@dataclass(frozen=True)
class Figures:
    """One variant of one training."""

    variant: str
    step_ms: float  # of the plain training
    self_percent: float  # of the plain step
    self_us: float  # per step
    once_ms: float  # self time of the first steps, before measuring begins
    wall_ratio: float
    wall_quartiles: tuple[float, float]
    cpu_ratio: float
    steps: int


def compare(make: Callable[[], Workload], variants: Mapping[str, Variant], seconds: float) -> list[Figures]:
    """The figures of the plain training against itself and of each variant, from `seconds` of steps for each."""
    with ExitStack() as open_variants:
        stopwatch = Stopwatch()
        reference = _seeded(make).step
        steps = {
            name: open_variants.enter_context(variant(_seeded(make), stopwatch))
            for name, variant in {PLAIN: plain, **variants}.items()
        }
        once = dict.fromkeys(steps, 0.0)
        durations = [_warm_up(reference)]
        for name, step in steps.items():
            inside = stopwatch.seconds
            durations.append(_warm_up(step))
            once[name] = stopwatch.seconds - inside
        step_s = min(durations)
        length = max(1, round(BLOCK_S / step_s))
        group = max(math.ceil(GROUP_STEPS / length), math.ceil(GROUP_S / (length * step_s)))
        groups = max(FEWEST_GROUPS, round(seconds / (2 * group * length * step_s)))
        pairs: dict[str, list[tuple[Block, Block]]] = {name: [] for name in steps}
        before = block(reference, length, stopwatch)
        for _ in range(groups * group):
            for name, step in steps.items():
                own = block(step, length, stopwatch)
                after = block(reference, length, stopwatch)
                pairs[name].append((own, before + after))
                before = after
    return [_figures(name, pairs[name], length, group, once[name]) for name in steps]


def block(step: Step, length: int, stopwatch: Stopwatch) -> Block:
    """Take `length` steps; on a GPU until they are done there."""
    inside, cpu, start = stopwatch.seconds, time.process_time(), time.perf_counter()
    for _ in range(length):
        step()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    wall = time.perf_counter() - start
    time.sleep(PAUSE_S)
    return Block(wall, time.process_time() - cpu, stopwatch.seconds - inside)


def _seeded(make: Callable[[], Workload]) -> Workload:
    torch.manual_seed(0)
    return make()


def _warm_up(step: Step) -> float:
    """Seconds that a step takes once it is warm."""
    durations: list[float] = []
    while len(durations) < WARM_UP_STEPS or sum(durations) < WARM_UP_S:
        durations.append(block(step, 1, Stopwatch()).wall)
    return statistics.median(durations)


def _figures(variant: str, pairs: list[tuple[Block, Block]], length: int, group: int, once: float) -> Figures:
    own, plain_pair = _total([own for own, _ in pairs]), _total([plain for _, plain in pairs])
    groups = [
        (_total([own for own, _ in part]), _total([plain for _, plain in part]))
        for part in (pairs[start : start + group] for start in range(0, len(pairs), group))
    ]
    walls = [2 * one.wall / two.wall for one, two in groups]
    low, middle, high = statistics.quantiles(walls, n=4, method="inclusive")
    steps = length * len(pairs)
    return Figures(
        variant=variant,
        step_ms=1e3 * plain_pair.wall / (2 * steps),
        self_percent=100 * 2 * own.inside / plain_pair.wall,
        self_us=1e6 * own.inside / steps,
        once_ms=1e3 * once,
        wall_ratio=middle,
        wall_quartiles=(low, high),
        cpu_ratio=statistics.median(2 * one.cpu / two.cpu for one, two in groups),
        steps=steps,
    )


def _total(blocks: list[Block]) -> Block:
    return sum(blocks, Block(0.0, 0.0, 0.0))
