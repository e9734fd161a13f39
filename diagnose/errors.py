"""The one tree of exceptions: whatever diagnose raises on purpose is a `DiagnoseError`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diagnose.diagnosis import Diagnosis
    from diagnose.findings import Finding


class DiagnoseError(Exception):
    """Base of every exception that diagnose raises; its message is for the person who called."""


class InvalidArgumentError(DiagnoseError, ValueError):
    """An argument cannot be used: the message names the argument, its value and what was expected."""


class NoRunError(DiagnoseError):
    """A path holds no run that can be read: the message says what was looked for and where."""


class TrainingHalted(DiagnoseError):  # noqa: N818  an event the user asked for with halt_on, not a mistake
    """Raised between two steps when a symptom named in `halt_on` is found.

    Carries the `finding`, and the run's `diagnosis` as far as it went, None where it could not be made. Its message
    says what was found, where, and what to change.
    """

    def __init__(self, finding: Finding, diagnosis: Diagnosis | None = None) -> None:
        from diagnose.reports.halting import halting_message  # which imports this module

        super().__init__(halting_message(finding, diagnosis))
        self.finding = finding
        self.diagnosis = diagnosis

    def __reduce__(self) -> tuple[type[TrainingHalted], tuple[Finding, Diagnosis | None]]:
        """What another process is sent of it: an exception is made again from its message else."""
        return type(self), (self.finding, self.diagnosis)
