"""`keep_batch=True`: the batch that provoked the first NaN, kept beside the log.

The file is `nonfinite-batch-step<step>.safetensors`, read without this package and without unpickling:

    batch = safetensors.torch.load_file("runs/resnet/nonfinite-batch-step7.safetensors")
    model(batch["args.0"])              # batch["indices"]: its rows in loader.dataset

The metadata of `safetensors.safe_open(file, "pt").metadata()` say more: the step, the plain values among the
inputs, and a note on each tensor that was changed for the file or left out of it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch.distributed as dist

from diagnose.hooks.batch_file import Inputs, inputs_of, write_batch

logger = logging.getLogger("diagnose")

MOST_PENDING = 8  # steps whose inputs are held while their verdict is out


class BatchKeeper:
    """Holds the inputs of the latest steps until a verdict on them comes, and writes those of the first broken one.

    It holds references: up to MOST_PENDING steps' inputs stay in memory, and an input that is overwritten
    in place is kept with its later values, and a note that says so. Inputs and verdicts may come from
    different threads. Under distributed training every rank keeps its own batch; beside rank 0's, the
    files' names end in `-rank<rank>`.
    """

    def __init__(self, run_dir: Path, indices: Callable[[], list[int] | None]) -> None:
        self._run_dir = run_dir
        self._indices = indices  # of the batch at hand in its dataset
        self._pending: dict[int, list[Inputs]] = {}  # by step, oldest first
        self._finished = False
        self._lock = threading.Lock()

    def saw(self, step: int, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Hold the inputs of a training forward pass; a step with several keeps them all, in order."""
        if not self._finished:
            self._hold(step, inputs_of(args, kwargs, self._indices()))

    def verdict(self, step: int, broken: bool) -> None:  # noqa: FBT001  the verdict is what it takes
        """Forget a sound step and those before it; write the first broken one, after which all is over.

        Raises `OSError` where the file cannot be written; there is no second attempt.
        """
        with self._lock:
            if self._finished:
                return
            micro_batches = self._pending.get(step)
            if broken:
                self._finished = True
                self._pending.clear()
            else:
                self._pending = {held: inputs for held, inputs in self._pending.items() if held > step}
        if broken and micro_batches:
            self._write(step, micro_batches)
        elif broken:
            logger.warning("diagnose: the inputs of step %d, the first that broke, are no longer held", step)

    def close(self) -> None:
        """Forget everything, and hold nothing from now on; safe to call twice."""
        with self._lock:
            self._finished = True
            self._pending.clear()

    def _hold(self, step: int, inputs: Inputs) -> None:
        with self._lock:
            if self._finished:  # while the inputs were looked through
                return
            self._pending.setdefault(step, []).append(inputs)
            while len(self._pending) > MOST_PENDING:
                del self._pending[next(iter(self._pending))]

    def _write(self, step: int, micro_batches: list[Inputs]) -> None:
        rank = dist.get_rank() if dist.is_available() and dist.is_initialized() else 0
        suffix = f"-rank{rank}" if rank else ""
        facts = {"step": str(step), "micro_batches": str(len(micro_batches)), "rank": str(rank)}
        write_batch(self._run_dir / f"nonfinite-batch-step{step}{suffix}.safetensors", micro_batches, facts)
