"""`compare`: two runs side by side."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from diagnose.comparing.explanations import Explanation, explanations, kept
from diagnose.comparing.outcomes import Outcome, Side, comparable_losses, outcomes
from diagnose.comparing.settings import Difference, differences
from diagnose.diagnosis import Diagnosis
from diagnose.examination import examine
from diagnose.run import Run

OTHER_TASK = ("task", "num_classes", "dataset_version", "criterion", "label_smoothing")  # other losses than the other's


@dataclass(frozen=True, eq=False)
class Comparison:
    """What differs between two runs. `worse` is None where neither is worse beyond chance, or nobody can tell."""

    a: Diagnosis
    b: Diagnosis
    settings: tuple[Difference, ...]
    outcomes: tuple[Outcome, ...]
    worse: Side | None
    explanations: tuple[Explanation, ...]
    notes: tuple[str, ...]

    @property
    def only_in_a(self) -> tuple[str, ...]:
        """Findings above `info` that the first run alone has."""
        return _beyond(self.a, self.b)

    @property
    def only_in_b(self) -> tuple[str, ...]:
        """Findings above `info` that the second run alone has."""
        return _beyond(self.b, self.a)

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain data, with `"schema": 1`."""
        from diagnose.reports.comparison import as_dict

        return as_dict(self)

    def to_markdown(self) -> str:
        """The comparison as Markdown."""
        from diagnose.reports.comparison import as_markdown

        return as_markdown(self)

    def _repr_markdown_(self) -> str:
        return self.to_markdown()


def compare(run_a: Run | str | os.PathLike[str], run_b: Run | str | os.PathLike[str]) -> Comparison:
    """What differs between two runs in set-up and outcome, and what explains the difference.

    A difference of outcome counts where it is beyond both runs' own noise and what two seeds differ by. It is
    explained by the couplings that one run keeps and the other does not, by the worse run's causes where they concern
    a setting that differs, and by a setting that is the only one to differ; where nothing differs beyond chance,
    nothing is explained. Raises what `examine` raises.
    """
    return compared(examine(run_a), examine(run_b))


def compared(a: Diagnosis, b: Diagnosis) -> Comparison:
    """The same for runs that were examined already."""
    settings = differences(a.run, b.run)
    other = [each.setting for each in settings if each.setting in OTHER_TASK and each.told_by_both]
    comparable = not other and comparable_losses(a.run, b.run)
    results = outcomes(a, b, comparable=comparable)
    worse = _worse(results)
    pair = {"a": (a, b), "b": (b, a)}
    found = explanations(*pair[worse], settings) if worse is not None else ()
    return Comparison(
        a,
        b,
        settings,
        results,
        worse,
        found,
        (*_notes(settings, other, comparable=comparable, worse=worse), *kept(a, b)),
    )


def _worse(results: tuple[Outcome, ...]) -> Side | None:
    """Health decides; among equals accuracy, then validation, then training."""
    order = ("health", "validation accuracy at the end", "best validation loss", "validation loss at the end",
             "training loss at the end")  # fmt: skip
    by_name = {result.name: result for result in results}
    better = next((by_name[name].better for name in order if name in by_name and by_name[name].better), None)
    return None if better is None else "b" if better == "a" else "a"


def _notes(settings: tuple[Difference, ...], other: list[str], *, comparable: bool, worse: Side | None) -> list[str]:
    notes = []
    if other:
        notes.append(f"{', '.join(other)} differ: the losses are not of the same thing, and are not ranked.")
    elif not comparable:
        notes.append("The losses begin at different heights: they are hardly of the same thing, and are not ranked.")
    if worse is None:
        notes.append("Neither run is worse beyond noise and what seeds differ by.")
    alone = [each.setting for each in settings if not each.told_by_both]
    if alone:
        notes.append(f"Told by one log alone: {', '.join(alone[:8])}{' …' if len(alone) > 8 else ''}.")
    return notes


def _beyond(one: Diagnosis, other: Diagnosis) -> tuple[str, ...]:
    def ill(diagnosis: Diagnosis) -> list[str]:
        return [finding.id for finding in diagnosis.findings if finding.severity.value != "info"]

    return tuple(name for name in ill(one) if name not in ill(other))
