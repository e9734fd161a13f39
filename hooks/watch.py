"""The cheap part of the classifier, on the writer's thread, while training runs."""

from __future__ import annotations

import logging
import queue
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from diagnose import setup_rules, symptoms
from diagnose.findings import Finding, Severity
from diagnose.hooks.writer import StepValues
from diagnose.logs.names import is_training_loss
from diagnose.run import LayerSeries, Run, Series, Setup
from diagnose.signals import GRAD_NORM, GRAD_NORM_UNCLIPPED, LR, NONFINITE_INPUTS, VALIDATION_LOSS

logger = logging.getLogger("diagnose")

WATCHED = frozenset({VALIDATION_LOSS, LR, GRAD_NORM, GRAD_NORM_UNCLIPPED, NONFINITE_INPUTS})  # and training losses
ALWAYS = ("nan_loss",)
NOW_AND_THEN = ("divergence",)
FIRST_LOOK = 50  # steps: a few wild first values are no trend yet
GROWTH = 1.2  # of the history since the last look: the total work stays linear in the run's length
MOST_ROWS = 200  # of a per-layer signal
MOST_VALUES = 4_000  # of a signal kept in memory; then every second of the older ones goes


class Watch:
    """Keeps a thinned history of the run and tells each symptom above `info`, once more where it worsens.

    Findings wait in `news` for the training thread: a callback must not run on ours.
    """

    def __init__(self, path: str, extra: Iterable[str]) -> None:
        self.news: queue.SimpleQueue[Finding] = queue.SimpleQueue()
        self._path = path
        self.setup = Setup()
        self._broken: set[str] = set()  # the set-up rules that were told of
        self._now_and_then = tuple(dict.fromkeys((*NOW_AND_THEN, *(s for s in extra if s not in ALWAYS))))
        self._history: dict[str, list[tuple[int, float, float]]] = {}
        self._layer_history: dict[str, list[tuple[int, NDArray[np.float32]]]] = {}
        self._told: dict[str, int] = {}  # symptom -> the rank of the worst severity that was told
        self._looked_at = 0

    def learn(self, setup: Setup) -> None:
        """Take the set-up, and tell each rule that it breaks once, at level INFO: only curves make a run ill."""
        self.setup = setup
        for finding in setup_rules.find(Run(self._path, setup=setup)):
            if finding.id not in self._broken:
                self._broken.add(finding.id)
                logger.info("diagnose: %s", finding.summary)

    def observe(self, steps: list[StepValues]) -> None:
        """Take the values of a flush and look at them."""
        broken = False
        for values in steps:
            for name, value in values.scalars:
                loss = is_training_loss(name)
                if loss or name in WATCHED:
                    self._history.setdefault(name, []).append((values.step, value, values.wall_time))
                    broken |= loss and not np.isfinite(value)
            for name, vector in values.vectors.items():
                self._layer_history.setdefault(name, []).append((values.step, vector))
        if broken:
            self._look(ALWAYS)
        length = steps[-1].step if steps else 0
        if length >= max(self._looked_at * GROWTH, FIRST_LOOK):
            self._looked_at = length
            self._thin()
            self._look(self._now_and_then)

    def _look(self, ids: Iterable[str]) -> None:
        open_ids = [name for name in ids if self._told.get(name, 0) < Severity.CRITICAL.rank]
        if not open_ids:
            return
        run = Run(
            self._path,
            setup=self.setup,
            scalars={name: _series(values) for name, values in self._history.items()},
            layer_signals={name: _layer_series(rows) for name, rows in self._layer_history.items()},
        )
        for finding in symptoms.find(run, only=open_ids):
            if finding.severity.rank > self._told.get(finding.id, 0):
                self._told[finding.id] = finding.severity.rank
                logger.warning("diagnose: %s: %s", symptoms.title(finding.id), finding.summary)
                self.news.put(finding)

    def _thin(self) -> None:
        for name, values in self._history.items():
            if len(values) > MOST_VALUES:
                half = MOST_VALUES // 2
                self._history[name] = values[:-half:2] + values[-half:]
        for name, rows in self._layer_history.items():
            if len(rows) > MOST_ROWS:
                half = MOST_ROWS // 2
                self._layer_history[name] = rows[:-half:2] + rows[-half:]


def _series(values: list[tuple[int, float, float]]) -> Series:
    steps, numbers, times = zip(*values, strict=True)
    return Series(np.array(steps, np.int64), np.array(numbers), np.array(times))


def _layer_series(rows: list[tuple[int, NDArray[np.float32]]]) -> LayerSeries:
    return LayerSeries(np.array([step for step, _ in rows], np.int64), np.stack([vector for _, vector in rows]))
