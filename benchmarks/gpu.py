"""What watching costs on a GPU, and whether it waits for it: python benchmarks/gpu.py [--seconds 60] [-o out]

A GPT of 124M parameters (12 layers, 768 wide, 1024 tokens, batch 8) in bfloat16 autocast, eager and compiled, plain
against watched at `cadence="auto"`, with the figures of overhead.py. Then 200 steps of each, every probe at work, in
which CUDA raises wherever the host would wait for the device, flushes apart.
-o writes gpu.md and gpu.json to a directory.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import tables
import torch
from interleaved import Figures, compare
from stopwatch import Stopwatch
from torch import nn
from variants import everything, watched
from workloads import GPT, Workload

from diagnose.hooks.guard import Guard
from diagnose.hooks.stream import Stream

DEVICE = "cuda"
VOCABULARY, LENGTH, WIDTH, DEPTH, HEADS = 50_304, 1024, 768, 12, 12
BATCH = 8
WARM_UP_STEPS = 25  # past what is set up at each probe's first look
CHECKED_STEPS = 200


class MixedPrecision(Workload):
    """A training whose forward pass and loss run in bfloat16 autocast."""

    def step(self) -> None:
        inputs, targets = self.batch
        self.optimizer.zero_grad()
        with torch.autocast(DEVICE, torch.bfloat16):
            loss = self.criterion(self.model(inputs).flatten(0, -2), targets.flatten())
        loss.backward()
        self.optimizer.step()


def eager() -> Workload:
    """The GPT of 124M parameters: input and output embeddings are one."""
    model = GPT(VOCABULARY, LENGTH, WIDTH, DEPTH, HEADS)
    nn.init.normal_(model.tokens.weight, std=0.02)
    model.head.weight = model.tokens.weight
    model.to(DEVICE)
    tokens = torch.randint(VOCABULARY, (BATCH, LENGTH + 1), device=DEVICE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    return MixedPrecision("gpt-124M", model, optimizer, nn.CrossEntropyLoss(), (tokens[:, :-1], tokens[:, 1:]))


def compiled() -> Workload:
    """The same, compiled."""
    workload = eager()
    workload.model = torch.compile(workload.model)
    return workload


TRAININGS: dict[str, Callable[[], Workload]] = {"GPT 124M, eager": eager, "GPT 124M, compiled": compiled}


def waits(make: Callable[[], Workload]) -> list[str]:
    """What of ours made the host wait for the device between two flushes, one line each.

    Raises `RuntimeError` where the training itself waits.
    """
    found: list[str] = []

    def note(_guard: Guard, name: str, error: Exception) -> None:
        # Unlike the guard's own, this leaves the part on, so that all its waits are seen.
        found.append(f"{name}: {error} ({_place(error)})")

    with (
        mock.patch.object(Guard, "switch_off", note),
        mock.patch.object(Stream, "flush", _freely(Stream.flush)),
        watched(make(), Stopwatch(), cadence=everything()) as step,
    ):
        for _ in range(WARM_UP_STEPS):
            step()
        with _sync_debug_mode("error"):
            for _ in range(CHECKED_STEPS):
                step()
    return sorted(set(found))


def _place(error: Exception) -> str:
    """Where it was raised, from our own code on: "curvature.py:60, replay.py:98"."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "benchmarks" not in frame.filename]
    return ", ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[-5:])


def _freely(flush: Callable[..., None]) -> Callable[..., None]:
    """A flush may wait."""

    def call(*arguments: Any, **keywords: Any) -> None:
        with _sync_debug_mode("default"):
            flush(*arguments, **keywords)

    return call


@contextmanager
def _sync_debug_mode(mode: str) -> Iterator[None]:
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode(mode)
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="of each variant of each training")
    parser.add_argument("-o", "--output", type=Path, metavar="DIRECTORY")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("This benchmark needs a CUDA device, and torch sees none here.")
    results: dict[str, list[Figures]] = {}
    rows: list[list[str]] = []
    verdicts: dict[str, list[str]] = {}
    for training, make in TRAININGS.items():
        torch.compiler.reset()
        results[training] = compare(make, {'diagnose, `cadence="auto"`': watched}, options.seconds)
        rows += tables.comparison(training, results[training])
        verdicts[training] = waits(make)
        print(f"measured: {training}", flush=True)
    lines = [
        f"- {training}: {'; '.join(found) or f'nothing of ours waited for the device in {CHECKED_STEPS} steps'}"
        for training, found in verdicts.items()
    ]
    report = tables.markdown(("training", *tables.HEADINGS), rows) + "\n\n" + "\n".join(lines)
    print(f"\n{tables.machine()}\n\n{report}")
    if options.output:
        tables.write(options.output, "gpu", report, {"figures": results, "waits": verdicts})


if __name__ == "__main__":
    main()
