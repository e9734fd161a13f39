"""What event files hold, tag by tag."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diagnose.logs.buffers import Buffer, Twins
from diagnose.run import LayerSeries, Series

_NO_STEPS: Final = Buffer(np.int64)  # of all columns that begin; never written to
_NO_TIMES: Final = Buffer(np.float64)


class Column:
    """One tag's scalars in the order in which they were written; steps and wall times may be other columns' too."""

    def __init__(self) -> None:
        self._steps, self._wall_times, self._values = _NO_STEPS, _NO_TIMES, Buffer(np.float64)
        self._pending: list[tuple[int, float, float]] = []
        self._increasing = True

    @classmethod
    def of(cls, steps: Buffer, wall_times: Buffer, values: Buffer) -> Column:
        """A column that begins with these, as many as there are values."""
        column = cls()
        column._steps, column._wall_times, column._values = steps, wall_times, values
        known = steps.first(len(values))
        column._increasing = bool((known[1:] > known[:-1]).all())
        return column

    def __len__(self) -> int:
        return len(self._values) + len(self._pending)

    def append(self, step: int, wall_time: float, value: float) -> None:
        """Add one value."""
        self._pending.append((step, wall_time, value))

    def extend(self, steps: ArrayLike, wall_times: ArrayLike, values: ArrayLike, twins: Twins | None = None) -> None:
        """Add values that belong together place by place; `twins` knows what other columns grew by."""
        self.settle()
        self._add(
            np.asarray(steps, np.int64), np.asarray(wall_times, np.float64), np.asarray(values, np.float64), twins
        )

    def raw(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Steps, wall times and values as they were written: steps may repeat and go back."""
        self.settle()
        length = len(self._values)
        return self._steps.first(length), self._wall_times.first(length), self._values.values

    def series(self) -> Series:
        """The values by increasing step; of those that were written for one step the last one counts."""
        steps, wall_times, values = self.raw()
        if self._increasing:
            return Series(steps, values, wall_times)
        order = last_by_step(steps)
        return Series(steps[order], values[order], wall_times[order])

    def without(self, left_out: NDArray[np.bool_], twins: Twins | None = None) -> Column:
        """A column of the other values."""
        rest = Column()
        steps, wall_times, values = (part[~left_out] for part in self.raw())
        rest.extend(steps, wall_times, values, twins)
        return rest

    def settle(self, twins: Twins | None = None) -> None:
        """Put the values that were added one by one with the others."""
        if self._pending:
            steps, wall_times, values = zip(*self._pending, strict=True)
            self._pending = []
            self._add(np.array(steps, np.int64), np.array(wall_times), np.array(values), twins)

    def _add(
        self,
        steps: NDArray[np.int64],
        wall_times: NDArray[np.float64],
        values: NDArray[np.float64],
        twins: Twins | None,
    ) -> None:
        length = len(self._values)
        if not len(values):
            return
        twins = twins or Twins()
        follows = not length or bool(steps[0] > self._steps.first(length)[-1])
        self._increasing &= follows and bool((steps[1:] > steps[:-1]).all())
        self._steps = twins.grown(self._steps, length, steps)
        self._wall_times = twins.grown(self._wall_times, length, wall_times)
        self._values.extend(values)


class VectorColumn:
    """One tag's vectors in the order in which they were written, apart by length."""

    def __init__(self) -> None:
        self._by_width: dict[int, tuple[Buffer, Buffer]] = {}  # steps, rows

    def __len__(self) -> int:
        return sum(len(steps) for steps, _ in self._by_width.values())

    def extend(self, steps: ArrayLike, rows: NDArray[np.float32]) -> None:
        """Add rows of one length, of shape (n, length)."""
        width = rows.shape[1]
        if width not in self._by_width:
            self._by_width[width] = Buffer(np.int64), Buffer(np.float32, width)
        kept_steps, kept_rows = self._by_width[width]
        kept_steps.extend(np.asarray(steps, np.int64))
        kept_rows.extend(rows)

    def adopt(self, steps: NDArray[np.int64], rows: NDArray[np.float32]) -> None:
        """Begin with these rows of one length, which are not copied."""
        self._by_width[rows.shape[1]] = Buffer.of(steps), Buffer.of(rows)

    def parts(self) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Steps and rows by length."""
        return [(steps.values, rows.values) for steps, rows in self._by_width.values()]

    def series(self) -> LayerSeries:
        """The rows of the commonest length: another model's, before a restart, belong among no other's."""
        steps, rows = max(self.parts(), key=lambda part: len(part[0]))
        if (steps[1:] > steps[:-1]).all():
            return LayerSeries(steps, rows)
        order = last_by_step(steps)
        return LayerSeries(steps[order], rows[order])

    def until(self, step: int) -> VectorColumn:
        """A column of the rows before `step`."""
        rest = VectorColumn()
        for steps, rows in self.parts():
            before = steps < step
            if before.any():
                rest.extend(steps[before], rows[before])
        return rest


@dataclass
class EventData:
    """What files hold: scalars and vectors by tag, the last text of each tag, notes on what was lost."""

    scalars: dict[str, Column] = field(default_factory=dict)
    vectors: dict[str, VectorColumn] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    events: int = 0
    restarts: list[int] = field(default_factory=list)

    def restart(self, step: int) -> None:
        """The training begins again at `step`: what was written for it and later steps is void."""
        self.settle()
        left_out = 0
        kept_scalars, twins = dict(self.scalars), Twins()
        for tag, column in self.scalars.items():
            void = column.raw()[0] >= step
            if void.any():
                kept_scalars[tag] = column.without(void, twins)
                left_out += int(void.sum())
        self.scalars = {tag: column for tag, column in kept_scalars.items() if len(column)}
        self.vectors = {tag: kept for tag, column in self.vectors.items() if len(kept := column.until(step))}
        self.restarts.append(step)
        if left_out:
            self.notes.append(restarted(step, left_out))

    def settle(self) -> None:
        """Put the scalars that were added one by one with the others."""
        twins = Twins()
        for column in self.scalars.values():
            column.settle(twins)

    def scalar(self, tag: str) -> Column:
        """The tag's scalars, none at first."""
        if tag not in self.scalars:
            self.scalars[tag] = Column()
        return self.scalars[tag]

    def vector(self, tag: str) -> VectorColumn:
        """The tag's vectors, none at first."""
        if tag not in self.vectors:
            self.vectors[tag] = VectorColumn()
        return self.vectors[tag]


def restarted(step: int, left_out: int) -> str:
    """What is told of values that a restart has made void."""
    return f"{left_out:,} value(s) from step {step:,} on were left out: the training was started again from there."


def last_by_step(steps: NDArray[np.int64]) -> NDArray[np.intp]:
    """Indices that sort by step and keep of equal steps the last."""
    order = np.argsort(steps, kind="stable")
    ordered = steps[order]
    kept: NDArray[np.intp] = order[np.append(ordered[1:] != ordered[:-1], True)[: len(order)]]
    return kept
