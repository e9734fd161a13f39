"""What if: a user wants to change a setting; what else has to move, without any run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from diagnose.diagnosis import Change, Prescription, Setting
from diagnose.errors import InvalidArgumentError
from diagnose.prescriptions.couplings import GRAPH
from diagnose.prescriptions.following import followers, move_of
from diagnose.prescriptions.hyperparameters import canonical
from diagnose.prescriptions.remedies import known_remedies
from diagnose.prescriptions.settings import Settings, from_config

ASKED: Final = "You asked for it."
# Stand-ins for what is not told, to see whether it would be pulled; never shown.
PROBES: Final = {"lr": 1e-3, "epochs": 10, "dropout": 0.2, "weight_decay": 1e-3}


def what_if(config: Mapping[str, Any], **changes: Setting) -> Prescription:
    """What else has to change when `changes` are made to the settings in `config`.

    `config` may use our names or those of the usual frameworks (`learning_rate`, `num_train_epochs`, …); the more it
    holds (lr, batch_size, dataset_size, epochs, optimizer, …), the more can follow: a setting it does not hold is
    never given a number. The prescription has no stage; your own changes lead, what they pull follows with its
    formula's numbers, reason and sources (the C-rows of the knowledge base). `notes` say what was not told and would
    have been pulled.

    Raises `InvalidArgumentError` where no change is asked for, or one concerns a setting that nothing is coupled to
    and that we do not know.
    """
    if not changes:
        raise InvalidArgumentError("what_if(config, setting=value, …): no change was given.")
    before = from_config(config)
    wanted = {canonical(name): value for name, value in from_config(changes).values.items()}
    unknown = [name for name in wanted if not move_of(name, before.values.get(name), wanted[name])]
    if unknown or not wanted:
        known = ", ".join(sorted({coupling.source for coupling in GRAPH}))
        raise InvalidArgumentError(f"what_if: nothing is known of {', '.join(unknown or changes)}; try one of {known}.")
    leads = [_asked(name, before.values.get(name), value) for name, value in wanted.items()]
    pulled = tuple(followers(leads, before))
    return Prescription(changes=(*leads, *pulled), notes=tuple(_untold(leads, before)))


def _asked(name: str, before: Setting, after: Setting) -> Change:
    remedy = known_remedies()[move_of(name, before, after)]
    return Change(
        remedy.id, "Your change", name, before, after, ASKED, (), watch=remedy.watch, refuted_by=remedy.refuted_by
    )


def _untold(leads: Sequence[Change], before: Settings) -> Iterator[str]:
    """One sentence for each setting that the config does not hold and that the changes would have pulled."""
    for lead in leads:
        if lead.before is None and isinstance(lead.after, int | float):
            yield f"The present {lead.setting} is not told: what goes with its ratio cannot follow."
    touched = {lead.setting for lead in leads}
    if before.dataset_size is None and touched & {"batch_size", "accumulation_steps"}:
        yield "dataset_size is not told: with it, warmup could be counted in epochs."
    probe = before
    absent = [name for name in PROBES if before.values.get(name) is None]
    for name in absent:
        probe = probe.with_(name, PROBES[name])
    for change in followers(leads, probe):
        if change.setting in absent:
            formula = next(c.formula for c in GRAPH if c.target == change.setting and c.because in change.because)
            yield f"{change.setting} is not told, and would have to follow: {formula}."
