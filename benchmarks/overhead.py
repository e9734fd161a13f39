"""What watching costs: python benchmarks/overhead.py [--threads 1] [--seconds 20] [--workloads mlp gpt conv]

Three figures, because wall time alone cannot show less than its own noise:
- self time: what is spent inside our hooks and calls on the training's thread, as a share of the plain step;
- wall ratio: three equal trainings, one of them watched, in blocks in turn; the median of the blocks'
  ratios, with the same for plain against plain (A/A) beside it;
- CPU ratio: the whole process's CPU time, our background thread included.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import torch
from workloads import WORKLOADS, Workload

import diagnose
from diagnose.hooks import monitor as monitor_module
from diagnose.hooks.guard import Hook


class SelfTime:
    """Seconds spent inside our hooks, summed over the training's thread."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def measured(self):
        def timed(function):
            def call(*arguments, **keywords):
                start = time.perf_counter()
                try:
                    return function(*arguments, **keywords)
                finally:
                    self.seconds += time.perf_counter() - start

            return call

        kept = Hook.__call__, monitor_module.Monitor._after_step
        Hook.__call__, monitor_module.Monitor._after_step = timed(kept[0]), timed(kept[1])
        try:
            yield self
        finally:
            Hook.__call__, monitor_module.Monitor._after_step = kept


def block(step: Callable[[], None], steps: int) -> tuple[float, float]:
    """Wall and CPU seconds of one block of steps."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(steps):
        step()
    return time.perf_counter() - wall, time.process_time() - cpu


def watched(workload: Workload, **settings) -> diagnose.Monitor:
    directory = Path(tempfile.mkdtemp(prefix="overhead-"))
    return diagnose.attach(
        workload.model, workload.optimizer, criterion=workload.criterion, run_dir=directory, **settings
    )


def compare(make: Callable[[], Workload], seconds: float) -> dict[str, float]:
    """Three equal trainings, the third one watched, in turn in blocks of about a quarter of a second."""
    plain, other, seen = make(), make(), make()
    step_s = statistics.median(block(plain.step, 1)[0] for _ in range(10))
    steps = max(1, round(0.25 / step_s))
    rounds = max(6, round(seconds / (3 * steps * step_s)))
    monitor = watched(seen)
    for workload in (plain, other, seen):
        block(workload.step, 60)  # past the first steps, which trace and describe
    ratios: dict[str, list[float]] = {"aa": [], "wall": [], "cpu": []}
    plain_s, self_s = [], []
    for _ in range(rounds):
        first = block(plain.step, steps)
        with SelfTime().measured() as ours:
            watched_block = block(seen.step, steps)
        again = block(other.step, steps)
        middle = (first[0] + again[0]) / 2
        ratios["aa"].append(again[0] / first[0])
        ratios["wall"].append(watched_block[0] / middle)
        ratios["cpu"].append(2 * watched_block[1] / (first[1] + again[1]))
        plain_s.append(middle / steps)
        self_s.append(ours.seconds / steps)
    monitor.close()
    shutil.rmtree(monitor.run_dir)
    return {
        "step_ms": 1e3 * statistics.median(plain_s),
        "self_percent": 100 * statistics.median(self_s) / statistics.median(plain_s),
        "wall_ratio": statistics.median(ratios["wall"]),
        "aa_ratio": statistics.median(ratios["aa"]),
        "cpu_ratio": statistics.median(ratios["cpu"]),
        "rounds": rounds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("-o", "--output", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {platform.machine()}, {options.threads} thread(s)")
    print(f"{'':6}{'step ms':>9}{'self %':>9}{'wall':>9}{'A/A':>9}{'CPU':>9}{'rounds':>8}")
    results = {}
    for name in options.workloads:
        row = results[name] = compare(WORKLOADS[name], options.seconds)
        print(
            f"{name:6}{row['step_ms']:9.2f}{row['self_percent']:9.2f}{row['wall_ratio']:9.3f}"
            f"{row['aa_ratio']:9.3f}{row['cpu_ratio']:9.3f}{row['rounds']:8d}"
        )
    if options.output:
        options.output.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
