"""From a path to a Run: read the event files, map the names, decode the set-up."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diagnose.errors import NoRunError
from diagnose.logs import layout, names, setup_text
from diagnose.logs.discovery import event_files_of
from diagnose.logs.printable import printable
from diagnose.logs.reading import Column, EventData, read_event_file
from diagnose.run import LayerSeries, Run, Series, Setup


def load(path: str | os.PathLike[str]) -> Run:
    """Read one run from its directory or from a single event file; nothing in it is ever executed.

    Raises `NoRunError` with one clear sentence where nothing is there, or nothing that is an event.
    """
    place = Path(path)
    data = _merged(place, _files_at(place))
    if not data.events:
        raise NoRunError(f"{place} holds no event: its files are empty or not TensorBoard event files.")
    mapping = names.mapped({tag: len(column.steps) for tag, column in data.scalars.items()})
    taken = set(mapping.values())
    scalars = {signal: _series(data.scalars[tag]) for signal, tag in mapping.items()}
    scalars |= {tag: _series(column) for tag, column in data.scalars.items() if tag not in taken}
    setup, notes = _setup(data.texts.get(layout.SETUP_TAG))
    return Run(
        path=os.fspath(path),
        setup=setup,
        scalars=scalars,
        layer_signals={tag: _layer_series(column) for tag, column in data.vectors.items()},
        names=mapping,
        unmapped=tuple(sorted(tag for tag in set(data.scalars) - taken if not tag.startswith(layout.OWN_TAGS))),
        notes=tuple(printable([*data.notes, *notes, *_dropped(data)])),
    )


def _files_at(place: Path) -> list[tuple[str, Path]]:
    if place.is_file():
        return [("", place)]
    if not place.is_dir():
        raise NoRunError(f"Nothing at {place}: expected a run's directory or an event file.")
    files = event_files_of(place)
    if not files:
        raise NoRunError(f"No event file in {place}: looked for names that contain “{layout.FILE_MARK}”.")
    return files


def _merged(place: Path, files: list[tuple[str, Path]]) -> EventData:
    """All files' data as one; a file in a split's folder has the split put before its tags."""
    whole = EventData()
    for split, path in files:
        try:
            data = read_event_file(path)
        except OSError as error:
            whole.notes.append(f"{path.relative_to(place)}: could not be opened ({error.strerror}).")
            continue
        for tag, column in data.scalars.items():
            whole.scalars.setdefault(f"{split}/{tag}" if split else tag, Column()).extend(column)
        for tag, column in data.vectors.items():
            whole.vectors.setdefault(tag, Column()).extend(column)
        whole.texts |= data.texts
        whole.notes += data.notes
        whole.events += data.events
    return whole


def _order(column: Column) -> NDArray[np.intp]:
    """Indices that sort by step; where a step was written twice (a restart), the later value wins."""
    steps = np.array(column.steps, np.int64)
    order = np.argsort(steps, kind="stable")
    ordered = steps[order]
    kept: NDArray[np.intp] = order[np.append(ordered[1:] != ordered[:-1], True)[: len(order)]]
    return kept


def _series(column: Column) -> Series:
    order = _order(column)
    return Series(
        np.array(column.steps, np.int64)[order],
        np.array(column.values, np.float64)[order],
        np.array(column.wall_times, np.float64)[order],
    )


def _layer_series(column: Column) -> LayerSeries:
    """The vectors of the commonest length: another model's, before a restart, belong in no row of this one's."""
    order = _order(column)
    lengths = np.array([len(column.values[index]) for index in order])
    widths, counts = np.unique(lengths, return_counts=True)
    kept = order[lengths == widths[len(counts) - 1 - np.argmax(counts[::-1])]]
    return LayerSeries(np.array(column.steps, np.int64)[kept], np.stack([column.values[index] for index in kept]))


def _dropped(data: EventData) -> list[str]:
    if layout.DROPPED_TAG not in data.scalars:
        return []
    return [f"{data.scalars[layout.DROPPED_TAG].values[-1]:,.0f} step(s) could not be written while training ran."]


def _setup(text: str | None) -> tuple[Setup, list[str]]:
    """The set-up and, where the text is not in the form we know, a note that it was left out."""
    if text is None:
        return Setup(), []
    try:
        return setup_text.from_json(text), []
    except ValueError:
        return Setup(), ["The set-up in the log is not in the form we know and was left out."]
