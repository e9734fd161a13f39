"""Whether watching for hours leaves anything behind: python benchmarks/soak.py [--minutes 60] [-o DIRECTORY]

One training in one process, every probe at the periods of `diagnose.Cadence()`, a validation pass now and then. In each
tenth of the time: steps, what a step takes (median), the process's memory, open files and threads, and the log's size.
What grows without end shows in the last rows; the last line compares them with those after the first tenth, in
which caches fill. The exit status is 1 where open files or threads have become more, or memory by more than GROWN_MB.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import tempfile
import threading
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import tables
import torch
from torch import nn

import diagnose

PARTS: Final = 10
MB: Final = 1e6
# Beyond the live watch's own: some twenty signals of up to 4,000 values, and what Python frees late.
GROWN_MB: Final = 16.0
LATEST: Final = 4_096  # steps of which the median is taken: a place of fixed size, which grows with nothing
VALIDATED_EACH: Final = 500
HEADS: Final = ("after", "steps", "step", "memory", "open files", "threads", "log")


@dataclass(frozen=True)
class Look:
    """The process at the end of one part; `step_ms` is the median of that part."""

    minutes: float
    steps: int
    step_ms: float
    memory_mb: float
    open_files: int
    threads: int
    log_mb: float


def main() -> int:
    """Print the table; the exit status says whether something has grown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("-o", "--output", type=Path, metavar="DIRECTORY")
    options = parser.parse_args()
    torch.set_num_threads(1)
    looks = []
    print(tables.markdown(HEADS, []), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for look in soak(Path(folder), options.minutes * 60):
            looks.append(look)
            print("| " + " | ".join(_row(look)) + " |", flush=True)
    print(f"\n{tables.machine()} From the first tenth to the last: {_growth(looks[0], looks[-1])}.")
    if options.output:
        tables.write(options.output, "soak", tables.markdown(HEADS, map(_row, looks)), looks)
    return int(_has_grown(looks[0], looks[-1]))


def soak(folder: Path, seconds: float) -> Iterator[Look]:
    """Train that long and look at the process at the end of each part."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.BatchNorm1d(128), nn.Linear(128, 128), nn.GELU(),
                          nn.Linear(128, 10))  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    labels = torch.randint(0, 10, (4096,))
    inputs = torch.randn(4096, 64) + nn.functional.one_hot(labels, 64)
    config = {"batch_size": 64, "dataset_size": 4096, "num_classes": 10}
    with diagnose.attach(
        model, optimizer, criterion=criterion, run_dir=folder, config=config, cadence=diagnose.Cadence()
    ):
        began, step, took = time.monotonic(), 0, array("d", bytes(8 * LATEST))
        for part in range(1, PARTS + 1):
            before = step
            while time.monotonic() < began + seconds * part / PARTS:
                step += 1
                rows = torch.randint(0, 4096, (64,))
                at = time.perf_counter()
                optimizer.zero_grad()
                criterion(model(inputs[rows]), labels[rows]).backward()
                optimizer.step()
                took[step % LATEST] = time.perf_counter() - at
                if step % VALIDATED_EACH == 0:
                    _validate(model, criterion, inputs, labels)
            own = [took[(step - back) % LATEST] for back in range(min(step - before, LATEST))]
            yield _look(folder, time.monotonic() - began, step, own)


@torch.no_grad()
def _validate(model: nn.Module, criterion: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> None:
    model.eval()
    criterion(model(inputs[:512]), labels[:512])
    model.train()


def _look(folder: Path, seconds: float, step: int, took: list[float]) -> Look:
    return Look(
        seconds / 60,
        step,
        1000 * statistics.median(took or [math.nan]),
        _resident_bytes() / MB,
        sum(1 for _ in Path("/proc/self/fd").iterdir()),
        threading.active_count(),
        sum(file.stat().st_size for file in folder.iterdir()) / MB,
    )


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _row(look: Look) -> list[str]:
    return [
        f"{look.minutes:.1f} min",
        f"{look.steps:,}",
        f"{look.step_ms:.2f} ms",
        f"{look.memory_mb:.1f} MB",
        f"{look.open_files}",
        f"{look.threads}",
        f"{look.log_mb:.1f} MB",
    ]


def _has_grown(first: Look, last: Look) -> bool:
    more = last.open_files > first.open_files or last.threads > first.threads
    return more or last.memory_mb - first.memory_mb > GROWN_MB


def _growth(first: Look, last: Look) -> str:
    steps = last.steps - first.steps
    grown = last.memory_mb - first.memory_mb
    each = f" ({1e6 * grown / steps:.1f} bytes a step)" if steps else ""
    return (
        f"memory {grown:+.1f} MB{each}, open files {last.open_files - first.open_files:+d}, "
        f"threads {last.threads - first.threads:+d}, median step {last.step_ms / first.step_ms:.2f} times"
    )


if __name__ == "__main__":
    sys.exit(main())
