"""A forward pass that goes by parts (`self.encoder(x)` in a training step): the model itself is never called."""

from __future__ import annotations

from typing import Any

from diagnose.hooks.monitor import Monitor


def begins(monitor: Monitor, batch: Any) -> None:
    """The parts are about to be run on `batch`; how they take it is not known, so that it cannot be done again."""
    course = monitor._course
    course._origin.can_run_again = False
    monitor._guard.run("steps", course.before_forward, course._model, (batch,), {})


def ends(monitor: Monitor, batch: Any) -> None:
    """All parts have run."""
    course = monitor._course
    monitor._guard.run("forward", course.after_forward, course._model, (batch,), {}, None)


def was_missed(monitor: Monitor) -> bool:
    """Whether a loss has come about without the model having been called in the step at hand."""
    course = monitor._course
    return not (course._open and course._forwards)
