"""Several files of one run as one: after a restart the later file counts from where it begins.

A restart concerns the files of its own folder: an evaluation that begins makes no step of the training void.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from diagnose.logs.buffers import Twins
from diagnose.logs.columns import Column, EventData, VectorColumn, restarted


def merged(files: Sequence[EventData]) -> EventData:
    """A folder's files as one, in the order in which they were written; nothing is copied of a single one."""
    if len(files) == 1:
        return files[0]
    whole = EventData()
    joints: dict[str, _Joint] = {}
    left_out: dict[int, int] = {}  # step of a restart -> values
    for data in files:
        twins = Twins()
        for step in data.restarts:
            whole.restart(step)
            joints = {tag: _Joint(column) for tag, column in whole.scalars.items()}
        for tag, column in data.scalars.items():
            joint = joints.setdefault(tag, _Joint(Column()))  # not a file's own column, which goes on growing
            joint.join(column, left_out, twins)
            whole.scalars[tag] = joint.column
        for tag, rows in data.vectors.items():
            whole.vectors[tag] = _joined(whole.vectors.get(tag, VectorColumn()), rows)
        whole.texts |= data.texts
        whole.config |= data.config
        whole.notes += data.notes
        whole.events += data.events
    whole.notes += [restarted(step, count) for step, count in sorted(left_out.items())]
    return whole


def side_by_side(folders: Iterable[tuple[str, EventData]]) -> EventData:
    """Several folders' data as one; a tag that another folder has already keeps its own folder's name."""
    (_, first), *others = folders
    if not others:
        return first
    whole = EventData()
    for name, data in (("", first), *others):
        for tag, column in data.scalars.items():
            whole.scalars[_free(tag, name, whole.scalars)] = column
        for tag, rows in data.vectors.items():
            whole.vectors[_free(tag, name, whole.vectors)] = rows
        whole.texts = {**data.texts, **whole.texts}
        whole.config = {**data.config, **whole.config}
        whole.notes += data.notes
        whole.events += data.events
    return whole


def _free(tag: str, folder: str, taken: Iterable[str]) -> str:
    return tag if tag not in taken else f"{tag} ({folder})"


class _Joint:
    """One tag's values of the files so far, which later ones are put behind.

    A file that began after those before it had ended voids what it repeats of them. Values that were written at the
    same time are no restart: several processes that write the same tag.
    """

    def __init__(self, column: Column) -> None:
        steps, wall_times, _ = column.raw()
        self.column = column
        self._last_step = int(steps.max()) if len(steps) else -(2**63)
        self._last_time = float(wall_times.max()) if len(steps) else -np.inf

    def join(self, later: Column, left_out: dict[int, int], twins: Twins) -> None:
        """Put the values of the next file behind; what is void without being repeated is counted in `left_out`."""
        new_steps, new_times, _ = later.raw()
        if not len(new_steps):
            return
        first = int(new_steps[0])
        if first <= self._last_step and new_times.min() >= self._last_time:
            steps = self.column.raw()[0]
            void = steps >= first
            beyond = int((void & ~np.isin(steps, new_steps)).sum())
            if beyond:
                left_out[first] = left_out.get(first, 0) + beyond
            self.column = self.column.without(void, twins)
        self.column.extend(*later.raw(), twins)
        self._last_step = max(self._last_step, int(new_steps.max()))
        self._last_time = max(self._last_time, float(new_times.max()))


def _joined(earlier: VectorColumn, later: VectorColumn) -> VectorColumn:
    """The rows one behind the other; vectors know no time, so that a later file always counts from where it begins."""
    first = min(int(steps[0]) for steps, _ in later.parts())
    repeats = any(first <= int(steps.max()) for steps, _ in earlier.parts())
    whole = earlier.until(first) if repeats else earlier
    for steps, rows in later.parts():
        whole.extend(steps, rows)
    return whole
