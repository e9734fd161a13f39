"""The result of an examination: findings, ranked causes and the prescription, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from diagnose.findings import Finding, Severity
from diagnose.run import Run

SCHEMA_VERSION = 1

Stage = Literal["stability", "generalisation", "refinement", "architecture"]
Setting = float | int | str | None


@dataclass(frozen=True)
class EvidenceLine:
    """One line of a cause's account: what speaks for it (positive) or against it, in log-odds."""

    finding: str
    log_odds: float
    because: str
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cause:
    """What explains symptoms, with its share of the evidence: `probability` sums to 1 over all causes.

    It is exp(`prior` + the log-odds of all `evidence`), normalised.
    """

    id: str
    title: str
    probability: float
    evidence: tuple[EvidenceLine, ...]
    prior: float = 0.0

    @property
    def because(self) -> tuple[str, ...]:
        """Ids of the findings that speak for this cause, strongest first."""
        return tuple(line.finding for line in self.evidence if line.log_odds > 0)

    @property
    def against(self) -> tuple[str, ...]:
        """Ids of the findings that speak against this cause."""
        return tuple(line.finding for line in self.evidence if line.log_odds < 0)


@dataclass(frozen=True)
class Change:
    """A remedy with numbers: `setting` goes from `before` to `after` (None: not known from the log).

    `coupled_to` names the remedy that pulls this change along; together they count as one move (K81).
    `watch` tells what the next run should show, `refuted_by` what it would show if this were the wrong advice.
    """

    remedy: str
    title: str
    setting: str
    before: Setting
    after: Setting
    because: str
    sources: tuple[str, ...]
    coupled_to: str | None = None
    watch: str = ""
    refuted_by: str = ""


@dataclass(frozen=True)
class HeldBack:
    """Advice that waits until an earlier stage is healthy (K80)."""

    remedy: str
    title: str
    until: Stage


@dataclass(frozen=True)
class Prescription:
    """The ordered, coupled changes for a run.

    `stage` is None where nothing has to change, and where the changes answer a question instead of an illness;
    `notes` say what was not told and what it would have changed.
    """

    stage: Stage | None = None
    changes: tuple[Change, ...] = ()
    held_back: tuple[HeldBack, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Findings (worst first), ranked causes and the prescription for one run."""

    run: Run
    findings: tuple[Finding, ...] = ()
    causes: tuple[Cause, ...] = ()
    prescription: Prescription = field(default_factory=Prescription)
    missing: Mapping[str, str] = field(default_factory=dict)  # signal not logged -> what it would have told

    @property
    def healthy(self) -> bool:
        """Whether no finding is above `info`."""
        return self.worst is None or self.worst is Severity.INFO

    @property
    def worst(self) -> Severity | None:
        """The highest severity among the findings, None where there is none."""
        return max((f.severity for f in self.findings), key=lambda severity: severity.rank, default=None)

    def to_dict(self) -> dict[str, Any]:
        """The diagnosis as plain data after the published schema (`diagnose/reports/schema.json`)."""
        from diagnose.reports.json import as_dict

        return as_dict(self)

    def to_json(self) -> str:
        """The diagnosis as JSON; NaN and infinity become null."""
        from diagnose.reports.json import as_json

        return as_json(self)

    def to_markdown(self) -> str:
        """The diagnosis as Markdown, for a pull request or a chat."""
        from diagnose.reports.markdown import as_markdown

        return as_markdown(self)

    def to_html(self) -> str:
        """The diagnosis as one self-contained HTML page with its plots."""
        from diagnose.reports.html import as_html

        return as_html(self)

    def _repr_html_(self) -> str:
        from diagnose.reports.html import as_notebook_html

        return as_notebook_html(self)
