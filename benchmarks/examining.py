"""How long an examination takes as runs grow: python benchmarks/examining.py [-o out]

Runs in memory with 20 scalar signals at every step and 200 layers looked at every hundredth step. Each of them twice:
a noisy fall that is healthy, and one that turns upward at its end. Median of five, loading not counted.
-o writes examining.md and examining.json to a directory.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import tables

import diagnose
from diagnose.run import Layer, LayerSeries, Run, Series, Setup
from diagnose.signals import (
    GRAD_NORM,
    LAYER_ACTIVATION_VARIANCE,
    LAYER_GRAD_NORM,
    LR,
    NOISE_SCALE,
    TRAIN_LOSS,
    UPDATE_RATIO,
    VALIDATION_LOSS,
)

STEPS = (10_000, 100_000, 1_000_000)
SIGNALS, LAYERS, LOOK_EVERY = 20, 200, 100
TIMES = 5
NAMED = (TRAIN_LOSS, VALIDATION_LOSS, GRAD_NORM, LR, NOISE_SCALE, UPDATE_RATIO)


def run_of(steps: int, *, ill: bool) -> Run:
    """A run of so many steps."""
    random = np.random.default_rng(0)
    at = np.arange(1, steps + 1)
    names = [*NAMED, *(f"metric/{number}" for number in range(SIGNALS - len(NAMED)))]
    fall = 0.2 + 2 * np.exp(-6 * at / steps)
    if ill:
        fall[-steps // 5 :] += np.linspace(0, 3, steps // 5)
    scalars = {name: Series(at, fall * random.lognormal(0, 0.05, steps), at.astype(float)) for name in names}
    looks = at[LOOK_EVERY - 1 :: LOOK_EVERY]
    vectors = {
        name: LayerSeries(looks, random.lognormal(0, 0.1, (len(looks), LAYERS)).astype(np.float32))
        for name in (LAYER_GRAD_NORM, LAYER_ACTIVATION_VARIANCE)
    }
    layers = tuple(Layer(f"layer{number}", "Linear", 1000, activation="ReLU") for number in range(LAYERS))
    return Run("synthetic", Setup(layers=layers), scalars, vectors)


def seconds(run: Run) -> float:
    """The median time of an examination."""
    took = []
    for _ in range(TIMES):
        start = time.perf_counter()
        diagnose.examine(run)
        took.append(time.perf_counter() - start)
    return statistics.median(took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, metavar="DIRECTORY")
    options = parser.parse_args()
    seconds(run_of(1000, ill=True))  # what is loaded once is no run's time
    records = [
        {"steps": steps, **{kind: seconds(run_of(steps, ill=kind == "ill")) for kind in ("healthy", "ill")}}
        for steps in STEPS
    ]
    rows = [[f"{one['steps']:,}", f"{one['healthy']:.3f}", f"{one['ill']:.3f}"] for one in records]
    table = tables.markdown(("steps", "seconds, healthy", "seconds, ill"), rows)
    print(f"{tables.machine()}\n\n{table}")
    if options.output:
        tables.write(options.output, "examining", table, records)


if __name__ == "__main__":
    main()
