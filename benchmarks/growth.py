"""How our cost per step grows: python benchmarks/growth.py [-o benchmarks/out]

Self time in microseconds per step, at the periods of `diagnose.Cadence()` as they stand: `cadence="auto"` would
look less often where a look is dear. Against depth (linear layers of width 32) it may grow with the number of
layers; against the batch (the MLP) it must stay flat. Curvature, which runs the model on an eighth of the batch,
grows with it and is told apart. -o writes growth.md and growth.json to a directory.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path

import tables
import torch
from interleaved import block
from stopwatch import Stopwatch
from torch import nn
from variants import watched
from workloads import Workload, mlp

import diagnose
from diagnose.hooks.probes.curvature import CurvatureProbe
from diagnose.hooks.stream import FLUSH_ROWS

DEPTHS = (10, 30, 100, 300, 1000)
BATCHES = (32, 128, 512, 2048, 4096)
WIDTH = 32
CYCLE = math.lcm(FLUSH_ROWS, *astuple(diagnose.Cadence()))  # steps after which all that we do has come round


@dataclass(frozen=True)
class Cost:
    """Our self time at one size."""

    size: int
    step_ms: float  # as watched
    self_us: float  # per step, without curvature
    curvature_us: float  # per step


def deep(depth: int) -> Workload:
    """Linear layers in a row, orthogonal, so that neither signal nor gradient dies on the way."""
    model = nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(depth)))
    for layer in model:
        nn.init.orthogonal_(layer.weight)
        nn.init.zeros_(layer.bias)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    return Workload(
        "deep", model, optimizer, nn.CrossEntropyLoss(), (torch.randn(32, WIDTH), torch.randint(WIDTH, (32,)))
    )


def cost(size: int, make: Callable[[int], Workload]) -> Cost:
    """Over one cycle, after another one to warm up."""
    all_of_it, curvature = Stopwatch(), Stopwatch()
    with curvature.on((CurvatureProbe, "measure")), watched(make(size), all_of_it, cadence=diagnose.Cadence()) as step:
        block(step, CYCLE, all_of_it)
        curvature.seconds = 0.0
        cycle = block(step, CYCLE, all_of_it)
    apart = curvature.seconds
    return Cost(size, 1e3 * cycle.wall / CYCLE, 1e6 * (cycle.inside - apart) / CYCLE, 1e6 * apart / CYCLE)


def table_of(size: str, costs: list[Cost]) -> str:
    """`size` says what is counted."""
    rows = [(one.size, f"{one.step_ms:.3g} ms", f"{one.self_us:.0f} µs", f"{one.curvature_us:.0f} µs") for one in costs]
    return tables.markdown((size, "watched step", "self time without curvature", "curvature"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, metavar="DIRECTORY")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(tables.machine())
    results = {
        "depth": [cost(depth, deep) for depth in DEPTHS],
        "batch": [cost(batch, mlp) for batch in BATCHES],
    }
    table = "\n\n".join(table_of(size, costs) for size, costs in results.items())
    print(f"\n{table}")
    if options.output:
        tables.write(options.output, "growth", table, results)


if __name__ == "__main__":
    main()
