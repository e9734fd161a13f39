"""What a person writes about a run: kept in the user's cache, never in the run's own folder."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from dash import Dash, Input, Output, State, ctx, no_update
from dash.exceptions import PreventUpdate

from diagnose.dashboard.store import Store
from diagnose.logs.cache import cache_folder

FOLDER: Final = "notes"
MOST_CHARACTERS: Final = 20_000
NOWHERE: Final = "Notes cannot be kept: the cache is switched off (DIAGNOSE_CACHE)."


class NotKeptError(Exception):
    """A note could not be kept or read; the message says why."""


def place_of(run: str) -> Path:
    """The file of a run's note. Raises `NotKeptError` where there is no cache."""
    folder = cache_folder()
    if folder is None:
        raise NotKeptError(NOWHERE)
    return folder / FOLDER / f"{sha256(os.path.realpath(run).encode(errors='surrogateescape')).hexdigest()}.json"


def read(run: str) -> str:
    """The run's note, empty where nobody wrote one. Raises `NotKeptError` where it cannot be read."""
    place = place_of(run)
    try:
        told = json.loads(place.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise NotKeptError(f"The note in {place} cannot be read ({_why(error)}).") from error
    text = told.get("text") if isinstance(told, dict) else None
    return text[:MOST_CHARACTERS] if isinstance(text, str) else ""


def write(run: str, text: str) -> None:
    """Keep the note, or forget it where it is empty. Raises `NotKeptError` where it is too long or cannot be kept."""
    if len(text) > MOST_CHARACTERS:
        raise NotKeptError(f"Not saved: {len(text):,} characters, of {MOST_CHARACTERS:,} at most.")
    place = place_of(run)
    try:
        if not text.strip():
            place.unlink(missing_ok=True)
            return
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _replace(place, json.dumps({"run": os.path.realpath(run), "text": text}, indent=1))
    except OSError as error:
        raise NotKeptError(f"Not saved: {place.parent} cannot be written to ({_why(error)}).") from error


def connect(app: Dash, store: Store) -> None:
    """Show a run's note when its page opens, and keep what is written there."""

    @app.callback(
        Output("note", "value"),
        Output("note-state", "children"),
        Input("run-name", "data"),
        Input("note", "n_blur"),
        Input("save-note", "n_clicks"),
        State("note", "value"),
    )
    def keep(name: str, _blur: int, _clicks: int, text: str | None) -> tuple[Any, str]:
        entry = store.entry(name)
        if entry is None:
            raise PreventUpdate
        opening = ctx.triggered_id in {None, "run-name"}
        try:
            kept = read(entry.path)
            if opening:
                return kept, ""
            if (text or "") == kept:
                return no_update, "Saved." if ctx.triggered_id == "save-note" else ""
            write(entry.path, text or "")
        except NotKeptError as problem:
            return no_update, str(problem)
        return no_update, "Saved." if text else "Deleted."


def _replace(place: Path, text: str) -> None:
    """Write beside and move over: a note is whole whatever happens."""
    handle, beside = tempfile.mkstemp(dir=place.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(beside).replace(place)
    except OSError:
        with suppress(OSError):
            Path(beside).unlink()
        raise


def _why(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
