"""The verdict: one sentence that says how the run is, and what run it is."""

from __future__ import annotations

import time
from typing import Final

from dash import html

from diagnose.dashboard.addresses import report_address
from diagnose.dashboard.health import health
from diagnose.dashboard.pieces import badge
from diagnose.dashboard.store import Entry
from diagnose.dashboard.summary import first_rate, whole
from diagnose.diagnosis import Diagnosis
from diagnose.reports.headline import headline
from diagnose.reports.numbers import shown

REPORTS: Final = {"html": "HTML", "md": "Markdown", "json": "JSON"}


def card(entry: Entry) -> html.Div:
    """Health, name, headline and the run's key numbers."""
    folder, _, last = entry.name.rpartition("/")
    title = html.H1([html.Span(f"{folder}/", className="run-folder") if folder else None, last])
    parts = [html.Div([badge(health(entry)), _activity(entry)], className="verdict-line"), title]
    if entry.diagnosis is not None:
        parts += [html.P(headline(entry.diagnosis), className="headline"), _key_numbers(entry.diagnosis)]
        parts.append(_reports(entry.name))
    return html.Div(parts, className=f"verdict verdict-{health(entry)}")


def _activity(entry: Entry) -> html.Span:
    if not entry.last_write_s:
        return html.Span(entry.activity, className="activity")
    written = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(entry.last_write_s))
    since = "nothing written since" if entry.activity == "stalled" else "last write"
    ended_by = (entry.summary or {}).get("ended_by", "")
    told = " · ".join(part for part in (entry.activity, ended_by, f"{since} {written}") if part)
    return html.Span(told, className=f"activity activity-{entry.activity}")


def _reports(name: str) -> html.Div:
    """The same diagnosis as a file."""
    links = [html.A(word, href=report_address(name, kind)) for kind, word in REPORTS.items()]
    return html.Div(["Report as ", *(part for link in links for part in (link, " "))], className="reports")


def _key_numbers(diagnosis: Diagnosis) -> html.Dl:
    run, setup = diagnosis.run, diagnosis.run.setup
    lr = first_rate(run)
    batch = whole(setup.config_number("batch_size"))
    told = {
        "steps": f"{run.steps:,}",
        "optimizer": str(setup.optimizer.get("type", "")),
        "lr": "" if lr is None else shown(lr),
        "batch size": "" if batch is None else shown(batch),
        "model": str(setup.model.get("type", "")),
    }
    pairs = [html.Div([html.Dt(name), html.Dd(value)]) for name, value in told.items() if value]
    return html.Dl(pairs, className="key-numbers")
