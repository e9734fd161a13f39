"""The one tree of exceptions: whatever diagnose raises on purpose is a `DiagnoseError`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diagnose.findings import Finding


class DiagnoseError(Exception):
    """Base of every exception that diagnose raises; its message is for the person who called."""


class InvalidArgumentError(DiagnoseError, ValueError):
    """An argument cannot be used: the message names the argument, its value and what was expected."""


class NoRunError(DiagnoseError):
    """A path holds no run that can be read: the message says what was looked for and where."""


class TrainingHalted(DiagnoseError):  # noqa: N818  an event the user asked for with halt_on, not a mistake
    """Raised between two steps when a symptom named in `halt_on` is found; carries the `finding`."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(f"{finding.id} at step {finding.window[1]}: {finding.summary}")
        self.finding = finding
