"""Reports as files, to keep or to send: a run's as HTML, Markdown or JSON, all else as Markdown or JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Final

from flask import Flask, Response, abort, request

from diagnose.comparing.comparison import Comparison, compared
from diagnose.dashboard.addresses import COMPARISON, CONSEQUENCES, NEW, REPORT
from diagnose.dashboard.fields import FIELDS
from diagnose.dashboard.store import Store
from diagnose.diagnosis import Diagnosis, Prescription
from diagnose.errors import InvalidArgumentError
from diagnose.prescriptions.consequences import what_if
from diagnose.reports.json import prescription_as_dict
from diagnose.reports.markdown import prescription_as_markdown

PAIR: Final = 2
_PLAIN: Final = re.compile(r"[^A-Za-z0-9._-]+")
# What each format is called, how it is made, and what a browser is told that it is.
FORMATS: Final[Mapping[str, tuple[Callable[[Diagnosis], str], str]]] = {
    "html": (Diagnosis.to_html, "text/html"),
    "md": (Diagnosis.to_markdown, "text/markdown"),
    "json": (Diagnosis.to_json, "application/json"),
}


def connect(server: Flask, store: Store) -> None:
    """Answer `/report?name=…`, `/comparison?run=…&run=…` and `/consequences?…` with files.

    404 for a run or a format there is none of, and for settings that cannot be meant.
    """

    @server.get(f"/{REPORT}")
    def report() -> Response:
        name, kind = request.args.get("name", ""), request.args.get("format", "html")
        entry = store.entry(name) if kind in FORMATS else None  # a name is looked up, never joined to a path
        if entry is None or entry.diagnosis is None:
            abort(404)
        return _file(FORMATS[kind][0](entry.diagnosis), name, kind)

    @server.get(f"/{COMPARISON}")
    def comparison() -> Response:
        names, kind = request.args.getlist("run"), request.args.get("format", "md")
        entries = [store.entry(name) for name in names[:PAIR]]
        told = [entry.diagnosis for entry in entries if entry is not None and entry.diagnosis is not None]
        if len(told) != PAIR or kind not in COMPARISONS:
            abort(404)
        return _file(COMPARISONS[kind](compared(told[0], told[1])), f"{names[0]} and {names[1]}", kind)

    @server.get(f"/{CONSEQUENCES}")
    def consequences() -> Response:
        told = {name: value for name, value in request.args.items() if name.removeprefix(NEW) in FIELDS}
        changes = {name.removeprefix(NEW): value for name, value in told.items() if name.startswith(NEW)}
        kind = request.args.get("format", "md")
        if not changes or kind not in ANSWERS:
            abort(404)
        try:
            answer = what_if({name: value for name, value in told.items() if not name.startswith(NEW)}, **changes)
        except InvalidArgumentError:
            abort(404)
        return _file(ANSWERS[kind](answer), "what if", kind)


def _file(text: str, name: str, kind: str) -> Response:
    answer = Response(text, content_type=f"{FORMATS[kind][1]}; charset=utf-8")
    file = _PLAIN.sub("-", name).strip("-.") or "run"
    answer.headers["Content-Disposition"] = f'attachment; filename="{file}.{kind}"'
    return answer


def _as_json(comparison: Comparison) -> str:
    return json.dumps(comparison.to_dict(), indent=2, ensure_ascii=False)


def _answer_as_json(answer: Prescription) -> str:
    return json.dumps(prescription_as_dict(answer), indent=2, ensure_ascii=False)


ANSWERS: Final[Mapping[str, Callable[[Prescription], str]]] = {"md": prescription_as_markdown, "json": _answer_as_json}
COMPARISONS: Final[Mapping[str, Callable[[Comparison], str]]] = {"md": Comparison.to_markdown, "json": _as_json}
