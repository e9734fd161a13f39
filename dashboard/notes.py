"""What a person writes about a run: kept in the user's cache, never in the run's own folder."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Final

from dash import Dash
from flask import Flask, Response, request

from diagnose.dashboard.addresses import NOTE
from diagnose.dashboard.store import Store
from diagnose.logs.cache import cache_folder

FOLDER: Final = "notes"
MOST_CHARACTERS: Final = 20_000
NOWHERE: Final = "Notes cannot be kept: the cache is switched off (DIAGNOSE_CACHE)."
GONE: Final = "Not saved: the run is gone."
OVERTAKEN: Final = "Not saved: the note was changed elsewhere."

_saving = Lock()  # between two pages that save at once, one comes first and the other is told


class NotKeptError(Exception):
    """A note could not be kept or read; the message says why."""


class OvertakenError(Exception):
    """The note is no longer the one that a page began from; `kept` is what it says now."""

    def __init__(self, kept: str) -> None:
        super().__init__(OVERTAKEN)
        self.kept = kept


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


def version_of(text: str) -> str:
    """By which a page tells which note it began from."""
    return sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def save(run: str, text: str, began_from: str) -> str:
    """Keep the note that a page has made of the one with that version, and give the new version.

    Raises `OvertakenError` where another page has written meanwhile, and `NotKeptError` as `write` does.
    """
    with _saving:
        kept = read(run)
        if version_of(text) == began_from:
            return began_from  # nobody has typed: whatever is kept by now is newer
        if version_of(kept) not in {began_from, version_of(text)}:
            raise OvertakenError(kept)
        write(run, text)
        return version_of(read(run))


def connect(app: Dash, store: Store) -> None:
    """Answer `POST /note?name=…&version=…` with the text as its body; assets/note.js asks, and shows the answer."""
    server: Flask = app.server

    @server.post(f"/{NOTE}")
    def keep() -> Response:
        entry = store.entry(request.args.get("name", ""))
        if entry is None:
            return _answer(404, told=GONE)
        text = request.get_data(as_text=True)
        try:
            version = save(entry.path, text, request.args.get("version", ""))
        except OvertakenError as overtaken:
            return _answer(409, told=OVERTAKEN, text=overtaken.kept, version=version_of(overtaken.kept))
        except NotKeptError as problem:
            return _answer(503, told=str(problem))
        return _answer(200, told="Saved." if text.strip() else "Deleted.", version=version)


def _answer(status: int, **told: str) -> Response:
    return Response(json.dumps(told), status=status, mimetype="application/json")


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
