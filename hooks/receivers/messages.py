"""A finding as Slack takes it: a line of text, and blocks that show more where there is room."""

from __future__ import annotations

import json

from diagnose.findings import Finding, Severity
from diagnose.reports.numbers import percent, shown
from diagnose.reports.titles import layers_of, title_of

MOST_TEXT = 2_900  # characters: Slack refuses a section of more than 3000
SIGNS = {Severity.CRITICAL: "✖", Severity.WARNING: "▲", Severity.INFO: "·"}


def payload_of(finding: Finding, about: str = "") -> bytes:
    """The JSON of one message, `{"text": …, "blocks": […]}`."""
    title = f"{SIGNS[finding.severity]} {title_of(finding)}{f' in {about}' if about else ''}"
    first, last = finding.window
    facts = [f"{finding.severity.value}, {percent(finding.confidence)} sure", f"steps {first:,}–{last:,}"]
    facts += [f"layers: {layers_of(finding)}"] if finding.layers else []
    facts += [f"{name.replace('_', ' ')} {shown(value)}" for name, value in finding.evidence.items()]
    head, summary, context = _escaped(title), _escaped(finding.summary), _escaped(" · ".join(facts))
    blocks = [
        {"type": "section", "text": {"type": "mrkdwn", "text": f"*{head}*\n{summary}"[:MOST_TEXT]}},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": context[:MOST_TEXT]}]},
    ]
    return json.dumps({"text": f"{head}: {summary}"[:MOST_TEXT], "blocks": blocks}).encode()


def _escaped(text: str) -> str:
    """Slack's three special characters: a layer's name must not become a link or a mention."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
