"""What if: a user wants to change a setting; what else has to move, without any run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from diagnose.diagnosis import Change, Prescription, Setting
from diagnose.errors import InvalidArgumentError
from diagnose.prescriptions.couplings import GRAPH
from diagnose.prescriptions.following import carried, followers, move_of
from diagnose.prescriptions.hyperparameters import HYPERPARAMETERS, canonical
from diagnose.prescriptions.remedies import known_remedies
from diagnose.prescriptions.settings import Settings, from_config

ASKED: Final = "You asked for it."
RATIOS: Final = ("lr", "batch_size", "epochs", "steps", "width", "depth", "momentum")  # followed by new over old
SAMPLES: Final = {"batch_size", "accumulation_steps"}
# Stand-ins for what is not told, to see whether it would be pulled; never shown.
PROBES: Final = {"lr": 1e-3, "epochs": 10, "dropout": 0.2, "weight_decay": 1e-3}


def what_if(config: Mapping[str, Any], **changes: Setting) -> Prescription:
    """What else has to change when `changes` are made to the settings in `config`.

    `config` may use our names or those of the usual frameworks (`learning_rate`, `num_train_epochs`, …); the more it
    holds (lr, batch_size, dataset_size, epochs, optimizer, …), the more can follow: a setting it does not hold is
    never given a number. The prescription has no stage; your own changes lead, what they pull follows with its
    formula's numbers, reason and sources (the C-rows of the knowledge base). `notes` say what was not told and would
    have been pulled.

    Raises `InvalidArgumentError` where no change is asked for, where one concerns a setting that we do not know, or
    gives it a value that no training can have (a batch of 0, a momentum of 1, a word for a number), and where two are
    names of the same setting.
    """
    if not changes:
        raise InvalidArgumentError("what_if(config, setting=value, …): no change was given.")
    before = from_config(config)
    wanted = _wanted(changes)
    leads = [_asked(name, before.values.get(name), value) for name, value in wanted.items()]
    pulled = tuple(followers(leads, before))
    return Prescription(changes=(*leads, *pulled), notes=tuple(_untold(leads, pulled, before)))


def _wanted(changes: Mapping[str, Setting]) -> dict[str, Setting]:
    """The changes under our names; raises `InvalidArgumentError` where one cannot be meant."""
    wanted: dict[str, Setting] = {}
    for name, value in changes.items():
        known = canonical(name, value)
        hyperparameter = HYPERPARAMETERS.get(known)
        if hyperparameter is None:
            sources = ", ".join(sorted({coupling.source for coupling in GRAPH}))
            raise InvalidArgumentError(f"what_if: nothing is known of {name}; try one of {sources}.")
        plain = from_config({known: value}).values.get(known)
        if plain is None:
            raise InvalidArgumentError(f"what_if({name}={value!r}): {name} takes {hyperparameter.wanted}.")
        if known in wanted:
            raise InvalidArgumentError(f"what_if: {name} is another name for {known}, which has a value already.")
        wanted[known] = plain
    return wanted


def _asked(name: str, before: Setting, after: Setting) -> Change:
    remedy = known_remedies()[move_of(name, before, after)]
    return Change(
        remedy.id, "Your change", name, before, after, ASKED, (), watch=remedy.watch, refuted_by=remedy.refuted_by
    )


def _untold(leads: Sequence[Change], pulled: Sequence[Change], before: Settings) -> Iterator[str]:
    """One sentence for each thing that the config does not tell and that would have decided something."""
    for lead in leads:
        if lead.before is None and lead.setting in RATIOS:
            yield f"The present {lead.setting} is not told: what goes with its ratio cannot follow."
    if {lead.setting for lead in leads} & SAMPLES:
        yield from _of_samples(pulled, before)
    probe = before
    absent = [name for name in PROBES if before.values.get(name) is None]
    for name in absent:
        probe = probe.with_(name, PROBES[name])
    for coupling, change in carried(leads, probe):
        if change.setting in absent:
            yield f"{change.setting} is not told, and would have to follow: {coupling.formula}."


def _of_samples(pulled: Sequence[Change], before: Settings) -> Iterator[str]:
    if before.dataset_size is None:
        yield "dataset_size is not told: with it, warmup could be counted in epochs."
    if before.kind == "other":
        yield f"How the rate of {before.word('optimizer')} follows the batch is not known here: search for it anew."
    elif before.kind == "untold" and any(change.setting == "lr" for change in pulled):
        yield "optimizer is not told: the rate follows as SGD's does; that of Adam and its kin goes with the root."
