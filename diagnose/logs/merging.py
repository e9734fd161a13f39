"""Several files of one run as one: after a restart the later file counts from where it begins.

A restart concerns the files of its own folder: an evaluation that begins makes no step of the training void.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from diagnose.logs.columns import Column, EventData, VectorColumn, restarted


def merged(files: Sequence[EventData]) -> EventData:
    """A folder's files as one, in the order in which they were written; nothing is copied of a single one."""
    if len(files) == 1:
        return files[0]
    whole = EventData()
    left_out: dict[int, int] = {}  # step of a restart -> values
    for data in files:
        for step in data.restarts:
            whole.restart(step)
        for tag, column in data.scalars.items():
            whole.scalars[tag] = _joined(whole.scalars.get(tag), column, left_out)
        for tag, rows in data.vectors.items():
            whole.vectors[tag] = _joined_vectors(whole.vectors.get(tag), rows)
        whole.texts |= data.texts
        whole.config |= data.config
        whole.notes += data.notes
        whole.events += data.events
    whole.notes += [restarted(step, count) for step, count in sorted(left_out.items())]
    return whole


def side_by_side(folders: Iterable[EventData]) -> EventData:
    """Several folders' data as one: a tag that two of them have goes on where the other ends."""
    first, *others = folders
    if not others:
        return first
    return merged([replace(data, restarts=[]) for data in (first, *others)])


def _joined(earlier: Column | None, later: Column, left_out: dict[int, int]) -> Column:
    """The columns one behind the other; a later one that began after the earlier had ended voids what it repeats.

    Columns that were written at the same time are no restart: several processes that write the same tag.
    """
    if earlier is None:
        return later
    steps, wall_times, _ = earlier.raw()
    new_steps, new_times, _ = later.raw()
    void = np.zeros(len(steps), bool)
    if len(steps) and len(new_steps) and new_times.min() >= wall_times.max():
        void = steps >= new_steps[0]
        beyond = int((void & ~np.isin(steps, new_steps)).sum())
        if beyond:
            left_out[int(new_steps[0])] = left_out.get(int(new_steps[0]), 0) + beyond
    whole = earlier.without(void)  # a copy: the file's own column goes on growing by itself
    whole.extend(*later.raw())
    return whole


def _joined_vectors(earlier: VectorColumn | None, later: VectorColumn) -> VectorColumn:
    if earlier is None:
        return later
    whole = earlier.until(min(int(steps[0]) for steps, _ in later.parts()))
    for steps, rows in later.parts():
        whole.extend(steps, rows)
    return whole
