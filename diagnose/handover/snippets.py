"""A prescription as lines to paste: a Python dictionary, YAML, or Optuna's suggestions."""

from __future__ import annotations

import yaml

from diagnose.diagnosis import Change, Prescription
from diagnose.handover.space import ladder
from diagnose.prescriptions.settings import Settings


def as_python(prescription: Prescription) -> str:
    """`{"lr": 0.01, …}  # what it was`; what only a person can do as comments."""
    lines = [
        f"    {change.setting!r}: {change.after!r},  # was {change.before!r}" for change in _settable(prescription)
    ]
    return "\n".join(["changes = {", *lines, "}", *(f"# {line}" for line in _by_hand(prescription))])


def as_yaml(prescription: Prescription) -> str:
    """The same as YAML."""
    told = {change.setting: change.after for change in _settable(prescription)}
    body = yaml.safe_dump(told, sort_keys=False, allow_unicode=True) if told else ""
    return body + "".join(f"# {line}\n" for line in _by_hand(prescription))


def as_optuna(prescription: Prescription) -> str:
    """A `suggest` for what leads a move, its values around the recommended one; coupled settings stay beside it."""
    lines = []
    for change in _settable(prescription):
        if change.coupled_to is None:
            values = list(ladder(change.setting, change.after, change.before, Settings()))
            lines.append(f"    {change.setting!r}: trial.suggest_categorical({change.setting!r}, {values!r}),")
        else:
            lines.append(f"    {change.setting!r}: {change.after!r},  # goes with it, at the recommended value")
    return "\n".join(["config |= {", *lines, "}", "# diagnose.handover.search_space moves coupled settings with it"])


def _settable(prescription: Prescription) -> list[Change]:
    return [change for change in prescription.changes if not _in_words(change)]


def _by_hand(prescription: Prescription) -> list[str]:
    return [f"by hand: {change.setting}: {change.after}" for change in prescription.changes if _in_words(change)]


def _in_words(change: Change) -> bool:
    """Whether a person has to read it: more than one word is no value."""
    return isinstance(change.after, str) and " " in change.after.strip()
