"""What the ranks beside rank 0 write: nothing, until their own loss breaks; then what led there."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diagnose.logs.writing import EventFile
from diagnose.signals import RANK_LOSS, TRAIN_LOSS

KEPT_STEPS = 50  # steps of a rank's own loss up to the broken one


class RankFile:
    """Stands where rank 0 has its event file, and keeps the last steps' losses of this rank in memory.

    At the first loss that is no finite number it writes them into a file of its own beside rank 0's, as
    `loss/rank<r>`, and is done: the run's log then names the rank on which it broke. The set-up, and that the
    log was closed, are rank 0's to write.
    """

    def __init__(self, directory: Path, rank: int) -> None:
        self._directory = directory
        self._rank = rank
        self._latest: deque[tuple[int, float, float]] = deque(maxlen=KEPT_STEPS)  # step, wall time, loss
        self._done = False

    def write_text(self, tag: str, text: str, wall_time: float) -> None:
        """Leave it to rank 0."""

    def write_step(
        self,
        step: int,
        wall_time: float,
        scalars: Iterable[tuple[str, float]],
        _vectors: Mapping[str, NDArray[np.float32]],
    ) -> None:
        """Keep the step's loss; write what was kept if that is no finite number. Raises `OSError` as a file does."""
        if self._done:
            return
        for name, value in scalars:
            if name == TRAIN_LOSS:
                self._latest.append((step, wall_time, value))
                if not math.isfinite(value):
                    self._done = True
                    self._write()
                    return

    def flush(self) -> None:
        """All that is written is on the disk already."""

    def forget(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """All that is written is on the disk already."""

    def _write(self) -> None:
        with EventFile(self._directory, f".rank{self._rank}") as file:
            for step, wall_time, value in self._latest:
                file.write_step(step, wall_time, [(f"{RANK_LOSS}{self._rank}", value)], {})
        self._latest.clear()
