"""From values in the order of the file to each tag's own, at compiled speed."""

from __future__ import annotations

import numpy as np

from diagnose.logs.compiling import compiled


@compiled
def by_tag(tag_of, tags, steps, wall_times, values):
    """The columns sorted by tag, each tag's in their order, and where in them each tag begins."""
    starts = np.zeros(tags + 1, np.int64)
    for tag in tag_of:
        starts[tag + 1] += 1
    starts = np.cumsum(starts)
    ends = starts[:-1].copy()
    sorted_steps, sorted_times, sorted_values = np.empty_like(steps), np.empty_like(wall_times), np.empty_like(values)
    for row in range(len(tag_of)):
        place = ends[tag_of[row]]
        ends[tag_of[row]] += 1
        sorted_steps[place], sorted_times[place], sorted_values[place] = steps[row], wall_times[row], values[row]
    return starts, sorted_steps, sorted_times, sorted_values


@compiled
def vectors_at(data, places, length):
    """The vectors of `length` float32 numbers that stand at these places, of shape (places, length)."""
    content = np.empty((len(places), 4 * length), np.uint8)
    for row in range(len(places)):
        content[row] = data[places[row] : places[row] + 4 * length]
    return content.view(np.float32)
