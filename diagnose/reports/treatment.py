"""A treatment as text: what each round was given, what it showed, and before against after."""

from __future__ import annotations

from collections.abc import Iterator

from diagnose.diagnosis import Change
from diagnose.logs.printable import printable
from diagnose.prescriptions.treatment import Round, Treatment
from diagnose.reports.headline import headline, verdict
from diagnose.reports.markdown import escaped
from diagnose.reports.numbers import shown
from diagnose.run import Run
from diagnose.signals import TRAIN_LOSS, VALIDATION_LOSS

COMPARED = {
    "training loss": TRAIN_LOSS,
    "validation loss": VALIDATION_LOSS,
    "validation accuracy": "accuracy/validation",
}


def line(done: Round) -> str:
    """One round on one line: its verdict, why, and what is changed for the next."""
    changes = ", ".join(_move(change) for change in done.made)
    told = f"{verdict(done.diagnosis)}: {headline(done.diagnosis)}"
    onto = "" if done.back_to is None else f", from round {done.back_to} again"
    text: str = printable(f"{told} Next{onto}: {changes}." if changes else told)
    return text


def as_markdown(treatment: Treatment) -> str:
    """The whole treatment."""
    return "\n".join(_lines(treatment)) + "\n"


def _lines(treatment: Treatment) -> Iterator[str]:
    outcome = "Cured" if treatment.cured else "Healthy from the start" if len(treatment.rounds) == 1 and (
        treatment.rounds[0].diagnosis.healthy
    ) else "Not cured"  # fmt: skip
    after = len(treatment.rounds) - 1
    yield f"# {outcome} after {after} further training{'' if after == 1 else 's'}"
    yield f"\nIt stopped because: {treatment.stopped}.\n"
    for number, done in enumerate(treatment.rounds):
        yield f"## {_title(number, done)}: {verdict(done.diagnosis)}\n"
        yield f"{escaped(headline(done.diagnosis))} Run: `{escaped(done.diagnosis.run.path)}`\n"
        yield from (f"- changed: {escaped(_move(change))}. {escaped(change.because)}" for change in done.made)
        yield from (f"- for you: {escaped(_move(change))}. {escaped(change.because)}" for change in done.left)
        yield ""
    yield from _before_and_after(treatment)


def _title(number: int, done: Round) -> str:
    if done.origin is None:
        return "As it was"
    return f"Round {number}" if done.origin == number - 1 else f"Round {number}, from round {done.origin} again"


def _before_and_after(treatment: Treatment) -> Iterator[str]:
    first, best = treatment.rounds[0], treatment.best
    if first is best:
        return
    yield "## Before and after\n"
    number = next(number for number, done in enumerate(treatment.rounds) if done is best)
    yield f"| | before | after, in round {number} |\n|---|---|---|"
    yield f"| verdict | {verdict(first.diagnosis)} | {verdict(best.diagnosis)} |"
    for title, signal in COMPARED.items():
        before, after = _last(first.diagnosis.run, signal), _last(best.diagnosis.run, signal)
        if before is not None or after is not None:
            yield f"| {title} at the end | {shown(before)} | {shown(after)} |"
    for name in first.config:
        if first.config[name] != best.config.get(name):
            yield f"| `{escaped(name)}` | {escaped(str(first.config[name]))} | {escaped(str(best.config.get(name)))} |"


def _last(run: Run, signal: str) -> float | None:
    series = run.scalar(signal)
    return float(series.values[-1]) if series is not None else None


def _move(change: Change) -> str:
    return f"{change.setting} {shown(change.before)} → {shown(change.after)}"
