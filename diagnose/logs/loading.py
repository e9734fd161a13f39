"""From a path to a Run: read its files, map the names, decode the set-up; and again as the files grow."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from diagnose.errors import NoRunError
from diagnose.logs import ending_text, layout, names, setup_text
from diagnose.logs.columns import EventData
from diagnose.logs.config_files import config_beside
from diagnose.logs.discovery import event_files_of, why_unlisted
from diagnose.logs.epochs import placed
from diagnose.logs.followed_table import FollowedTable
from diagnose.logs.following import FollowedFile
from diagnose.logs.foreign import foreign_log_of, is_foreign
from diagnose.logs.links import leads_out, notes_on
from diagnose.logs.merging import merged, side_by_side
from diagnose.logs.own_names import own_names
from diagnose.logs.printable import printable
from diagnose.logs.selection import Selection, SelectionOfSplit
from diagnose.logs.storage import file_at, is_remote, looked_at, place_of, shown
from diagnose.logs.withholding import withheld
from diagnose.run import Run, Setup


def load(
    path: str | os.PathLike[str], names: Mapping[str, str] | None = None, only: Iterable[str] | None = None
) -> Run:
    """Read one run from its directory or from a single file; nothing in it is ever executed.

    Event files of any writer, and tables: CSV, JSON lines, Parquet, the Trainer's state, MLflow's file store.
    The directory may be a link; a link in it that leads out of it is not followed.

    `names` maps tags of the log onto our signals (`{"my_loss": "loss/train"}`), before all names that are
    known and those of a `diagnose.toml` beside the runs. `only` reads the tags or signals that it names or matches
    (`["loss/train", "layers/*"]`), and passes over all others. Raises `NoRunError` with one clear sentence where
    nothing is there, or nothing that is an event.
    """
    return FollowedRun(path, names, only).refresh()


class FollowedRun:
    """One run that may be growing: each refresh reads only what is new."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        names: Mapping[str, str] | None = None,
        only: Iterable[str] | None = None,
        *,
        root: Path | None = None,
        links_within: str | os.PathLike[str] | None = None,
    ) -> None:
        self._path = path
        self._root = root  # nothing is read outside of it
        # Links lead no further; without it, not out of what was named.
        self._links_within = root if links_within is None else place_of(links_within)
        self._names = names or {}
        self._only = only
        self._wanted: Selection | None = None
        self._files: dict[tuple[str, Path], FollowedFile | FollowedTable] = {}
        self._left_out: list[str] = []
        self._run: Run | None = None

    def refresh(self) -> Run:
        """The run as it is now; the same object as before where nothing has come. Raises `NoRunError` as `load`."""
        place = looked_at(self._path)
        every, limit = _files_at(place), self._links_within or place
        listed = [key for key in every if not leads_out(key[1], limit)]
        if not listed:
            raise NoRunError(
                f"All files of {shown(self._path)} are links to places outside {shown(limit)} and were not followed: "
                "name the file, or the folder, that they lead to."
            )
        self._left_out = notes_on((key[1] for key in every if key not in listed), limit)
        if list(self._files) != listed:
            if self._only is not None and self._wanted is None:
                self._wanted = Selection(self._only, {**own_names(place, self._root)[0], **self._names})
            self._files = {key: self._files.get(key) or self._followed(place, *key) for key in listed}
            self._run = None
        changed = _each_read_on(place, self._files.values())
        if self._run is None or any(changed):
            self._run = self._as_run()
        return self._run

    def _followed(self, place: Path, split: str, path: Path) -> FollowedFile | FollowedTable:
        if layout.FILE_MARK not in path.name and is_foreign(path):
            return FollowedTable(path)
        wanted = SelectionOfSplit(self._wanted, split) if split and self._wanted is not None else self._wanted
        return FollowedFile(file_at(path, str(path.relative_to(place)) if place != path else path.name), wanted)

    def _asks_for(self, tag: str) -> bool:
        return self._wanted is None or self._wanted.asks_for(tag)

    def _notes(self) -> list[str]:
        return [*self._left_out, *(note for file in self._files.values() for note in file.notes)]

    def _as_run(self) -> Run:
        data = side_by_side(
            (folder.name, _with_split(split, merged([self._files[key].data for key in keys])))
            for (split, folder), keys in groupby(self._files, key=lambda key: (key[0], key[1].parent))
        )
        if not data.events:
            told = " ".join(["its files are empty or not TensorBoard event files.", *self._notes()])
            raise NoRunError(f"{shown(self._path)} holds no event: {told}")
        lengths = {tag: len(column) for tag, column in data.scalars.items() if len(column)}
        own, own_notes = own_names(place_of(self._path), self._root)
        mapping = names.mapped(lengths, {**own, **self._names})
        taken = set(mapping.values())
        scalars, epoch_notes = placed({signal: data.scalars[tag].series() for signal, tag in mapping.items()})
        scalars = {signal: series for signal, series in scalars.items() if self._asks_for(mapping[signal])}
        scalars |= {tag: data.scalars[tag].series() for tag in lengths if tag not in taken and self._asks_for(tag)}
        mapping = {signal: tag for signal, tag in mapping.items() if signal in scalars}
        unmapped = sorted(tag for tag in scalars if tag not in mapping and not tag.startswith(layout.OWN_TAGS))
        setup, setup_notes = _setup(data.texts.get(layout.SETUP_TAG), data.config, place_of(self._path))
        if self._wanted is not None and not scalars:
            epoch_notes.append(f"Nothing is called {' or '.join(self._wanted.asked)}, and no more was asked for.")
        run = Run(
            path=shown(self._path),
            setup=setup,
            scalars=scalars,
            layer_signals={tag: column.series() for tag, column in data.vectors.items() if self._asks_for(tag)},
            names=mapping,
            unmapped=tuple(unmapped),
            complete=all(file.readable for file in self._files.values()),
            notes=tuple(
                printable([*self._notes(), *data.notes, *own_notes, *epoch_notes, *setup_notes, *_dropped(data)])
            ),
            last_words=ending_text.from_json(data.texts.get(layout.ENDING_TAG, "")),
        )
        return replace(run, notes=(*run.notes, *_cut_short(run)))


def _each_read_on(place: Path, files: Iterable[FollowedFile | FollowedTable]) -> list[bool]:
    if not is_remote(place):
        return [file.read_on() for file in files]
    from diagnose.logs.remote import at_once

    return at_once(lambda file: file.read_on(), files)


def _files_at(place: Path) -> list[tuple[str, Path]]:
    try:
        is_file, is_folder = place.is_file(), place.is_dir()
    except OSError as error:
        raise NoRunError(f"{shown(place)} cannot be looked at ({error.strerror}).") from error
    if is_file:
        return [("", place)]
    if not is_folder:
        raise NoRunError(f"Nothing at {shown(place)}: expected a run's directory or an event file.")
    files = event_files_of(place)
    foreign = None if files else foreign_log_of(place)
    if not files and foreign is None:
        if why := why_unlisted(place):
            raise NoRunError(f"{shown(place)} cannot be listed ({why}).")
        raise NoRunError(f"No event file in {shown(place)}: looked for names that contain “{layout.FILE_MARK}”.")
    return files or [("", foreign or place)]


def _with_split(split: str, data: EventData) -> EventData:
    """The same columns under other names: a file in a split's folder has the split put before its tags."""
    if not split:
        return data
    scalars = {f"{split}/{tag}": column for tag, column in data.scalars.items()}
    # Vectors have no names of other writers: those of the training are the run's.
    vectors = data.vectors if split == "train" else {f"{split}/{tag}": rows for tag, rows in data.vectors.items()}
    return replace(data, scalars=scalars, vectors=vectors)


def _dropped(data: EventData) -> list[str]:
    if layout.DROPPED_TAG not in data.scalars:
        return []
    _, _, dropped = data.scalars[layout.DROPPED_TAG].raw()
    if not len(dropped):
        return []
    return [f"{dropped[-1]:,.0f} step(s) could not be written while training ran."]


def _cut_short(run: Run) -> list[str]:
    return [f"Training did not end by itself: {run.ending.told}."] if run.ending and run.ending.told else []


def _setup(text: str | None, config: Mapping[str, object], place: Path) -> tuple[Setup, list[str]]:
    """The set-up of our own log, else what the log and files beside it tell of the settings; and notes."""
    notes = []
    if text is not None:
        try:
            return setup_text.from_json(text), []
        except ValueError:
            notes = ["The set-up in the log is not in the form we know and was left out."]
    if is_remote(place) and not place.is_dir():  # of an address of one file, nothing else is opened
        return Setup(config=withheld(config)), notes
    beside, beside_notes = config_beside(place if place.is_dir() else place.parent)
    return Setup(config=withheld({**beside, **config})), [*notes, *beside_notes]
