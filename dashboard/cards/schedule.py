"""The learning rate's schedule in a sentence: what ran, and what is recommended."""

from __future__ import annotations

from dash import html

from diagnose.dashboard.schedule_plot import sentence
from diagnose.diagnosis import Diagnosis


def card(diagnosis: Diagnosis) -> html.P | None:
    """One sentence under the plot, None where no schedule is known."""
    told = sentence(diagnosis)
    return html.P(told, className="schedule-told") if told else None
