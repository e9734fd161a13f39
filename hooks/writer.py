"""The background thread that turns blocks of steps into events."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch.distributed as dist
from numpy.typing import NDArray

from diagnose.endings import FINISHED, Ending
from diagnose.hooks.ranks import RankFile
from diagnose.logs import ending_text, layout
from diagnose.logs.writing import EventFile

if TYPE_CHECKING:
    from diagnose.hooks.mirror import Mirror, PartedFile

logger = logging.getLogger("diagnose")

QUEUED_BLOCKS = 64  # a slower disk than this drops steps rather than hold up training
CLOSE_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class StepValues:
    """One step's values on the host, as they go to the log."""

    step: int
    wall_time: float
    scalars: list[tuple[str, float]]
    vectors: dict[str, NDArray[np.float32]]


def writer_for(directory: Path, observe: Callable[[list[StepValues]], None], mirror: Mirror | None = None) -> Writer:
    """A writer to a new event file; under distributed training on rank 0 alone, since all ranks share the directory.

    The other ranks write, and observe, nothing unless their own loss breaks. Raises `OSError` where the
    directory cannot be written. A `mirror` copies the directory to where the run belongs.
    """
    if dist.is_available() and dist.is_initialized() and dist.get_rank() > 0:
        return Writer(RankFile(directory, dist.get_rank()), lambda _: None, mirror)
    if mirror is None:
        return Writer(EventFile(directory), observe)
    from diagnose.hooks.mirror import PartedFile

    return Writer(PartedFile(directory), observe, mirror)


class Block(Protocol):
    """Steps on their way to the log: `values` may wait for a copy from the device."""

    def __len__(self) -> int:
        """Number of steps."""

    def values(self) -> list[StepValues]:
        """The steps' values."""


class Writer:
    """Takes blocks, and writes them in order on a thread of its own.

    While the disk fails it goes on taking blocks and drops them: `dropped` counts the steps, one warning says
    so, and the log goes on when the disk does. A full queue drops as well, rather than hold up training. A
    thread that ends before its time has a successor. `observe` is called on the thread with each block's values
    and must not raise. A forked child writes nothing: the file is its parent's.
    """

    def __init__(
        self,
        file: EventFile | PartedFile | RankFile,
        observe: Callable[[list[StepValues]], None],
        mirror: Mirror | None = None,
    ) -> None:
        self.dropped = 0
        self.open = True
        self._file = file
        self._observe = observe
        self._mirror = mirror
        self._told = False
        self._setup: tuple[str, float] | None = None  # until it is written
        self._last_step = 0
        # A signal's handler and a garbage collection may come between any two of our lines, and write as well:
        # of the two kinds of queue this one takes that.
        self._queue: queue.SimpleQueue[Block | tuple[str, float] | None] = queue.SimpleQueue()
        self._ending = FINISHED
        self._process = os.getpid()
        self._thread = self._started()
        if mirror is not None:
            mirror.start()

    def put_setup(self, setup_json: str, wall_time: float) -> None:
        """Queue the set-up."""
        self._queue.put((setup_json, wall_time))

    def put(self, block: Block) -> None:
        """Queue a block, or count its steps as dropped."""
        if not self.open or self._process != os.getpid():
            return
        if not self._thread.is_alive():
            self._revive()
        if self._queue.qsize() < QUEUED_BLOCKS:
            self._queue.put(block)
        else:
            self._drop(len(block), "the disk is slower than the training")

    def close(self, ending: Ending) -> None:
        """Write what is queued and how training ended, and close the file; returns after at most half a minute."""
        if self.open:
            self.open, self._ending = False, ending
            if not self._thread.is_alive():
                self._revive()
            self._queue.put(None)
        if threading.current_thread() is not self._thread:  # a garbage collection may end up here
            self._thread.join(CLOSE_TIMEOUT_S)

    def _started(self) -> threading.Thread:
        thread = threading.Thread(target=self._work, name="diagnose-writer", daemon=True)
        thread.start()
        return thread

    def _revive(self) -> None:
        with suppress(RuntimeError):  # no thread to be had: the next block tries again
            self._thread = self._started()

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            if isinstance(item, tuple):
                self._setup = item
                self._try(partial(self._write, []), steps=0)
                continue
            try:
                values = item.values()
            except Exception as error:  # noqa: BLE001  a block that cannot be decoded must not end the thread
                self._drop(len(item), f"they could not be decoded ({type(error).__name__}: {error})")
                continue
            self._try(partial(self._write, values), steps=len(values))
            self._observe(values)
        self._try(self._finish, steps=0)
        if self._mirror is not None:
            self._mirror.close()

    def _write(self, values: list[StepValues]) -> None:
        if self._setup is not None:
            self._file.write_text(layout.SETUP_TAG, *self._setup)
        for one in values:
            self._last_step = max(self._last_step, one.step)
            self._file.write_step(one.step, one.wall_time, one.scalars, one.vectors)
            time.sleep(0)  # lets go of the interpreter's lock: training's thread would wait milliseconds for it
        self._file.flush()
        self._setup = None

    def _finish(self) -> None:
        cut_short = self._ending is not FINISHED
        if cut_short:
            self._file.write_text(layout.ENDING_TAG, ending_text.as_json(self._ending), time.time())
        marks = [(layout.CLOSED_TAG, layout.CUT_SHORT if cut_short else layout.CLOSED)]
        if self.dropped:
            marks.append((layout.DROPPED_TAG, float(self.dropped)))
        self._file.write_step(self._last_step, time.time(), marks, {})
        self._file.close()

    def _try(self, write: Callable[[], None], steps: int) -> None:
        try:
            write()
        except BaseException as error:
            self._file.forget()  # what is counted as dropped must not be written with the next block
            self._drop(steps, _reason(error))
            if not isinstance(error, Exception):
                raise

    def _drop(self, steps: int, why: str) -> None:
        self.dropped += steps
        if not self._told:
            self._told = True
            logger.warning("diagnose: steps are missing from the log, because %s.", why)


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError):
        return f"the log cannot be written ({error.strerror})"
    if isinstance(error, Exception):
        return f"they could not be written ({type(error).__name__}: {error})"
    return "the thread that writes it was ended"
