"""Reports of a run as files: the same diagnosis as HTML, Markdown or JSON, to keep or to send."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from flask import Flask, Response, abort, request

from diagnose.dashboard.addresses import REPORT
from diagnose.dashboard.store import Store
from diagnose.diagnosis import Diagnosis

_PLAIN: Final = re.compile(r"[^A-Za-z0-9._-]+")
# What each format is called, how it is made, and what a browser is told that it is.
FORMATS: Final[Mapping[str, tuple[Callable[[Diagnosis], str], str]]] = {
    "html": (Diagnosis.to_html, "text/html"),
    "md": (Diagnosis.to_markdown, "text/markdown"),
    "json": (Diagnosis.to_json, "application/json"),
}


def connect(server: Flask, store: Store) -> None:
    """Answer `/report?name=…&format=…` with a file; 404 for a run or a format that there is none of."""

    @server.get(f"/{REPORT}")
    def report() -> Response:
        name, kind = request.args.get("name", ""), request.args.get("format", "html")
        entry = store.entry(name) if kind in FORMATS else None  # a name is looked up, never joined to a path
        if entry is None or entry.diagnosis is None:
            abort(404)
        make, media = FORMATS[kind]
        answer = Response(make(entry.diagnosis), content_type=f"{media}; charset=utf-8")
        file = _PLAIN.sub("-", name).strip("-.") or "run"
        answer.headers["Content-Disposition"] = f'attachment; filename="{file}.{kind}"'
        return answer
