"""A run whose every name and value is written by an enemy."""

from __future__ import annotations

import json

import numpy as np
import pytest

import diagnose
from diagnose.diagnosis import Change, Diagnosis, HeldBack, Prescription
from diagnose.findings import Finding, Severity
from diagnose.logs.writing import EventFile
from diagnose.run import Run, Series

HOSTILE = "</script><img src=x onerror=window.hacked=1>[red]|`*_\x1b[31m\u202e"


@pytest.fixture
def hostile(tmp_path) -> diagnose.Diagnosis:
    """The diagnosis of a diverging run full of markup."""
    setup = {
        "config": {HOSTILE: HOSTILE, "epochs": 5},
        "optimizer": {"type": HOSTILE, "groups": [{"lr": 5.0, HOSTILE: HOSTILE}]},
        "model": {"type": HOSTILE, "parameters": 3},
        "layers": [{"name": HOSTILE, "type": HOSTILE, "parameters": 3, "activation": HOSTILE}] * 4,
    }
    with EventFile(tmp_path / "run[bold]&<b>") as file:
        file.write_setup(json.dumps(setup), 0.0)
        for step in range(1, 100):
            vector = np.array([1e-9, 1e-8, 1, 1], "f4")
            file.write_step(
                step, 0.0, [("loss/train", 1.0 if step < 50 else 50.0), (HOSTILE, 1.0)], {"layers/grad_norm": vector}
            )
    return diagnose.examine(tmp_path / "run[bold]&<b>")


def series(values, steps=None):
    """A signal of these values, at steps 1, 2, … unless told."""
    steps = np.arange(1, len(values) + 1) if steps is None else np.asarray(steps)
    return Series(steps, np.asarray(values, float), np.zeros(len(values)))


def change(remedy, coupled_to=None):
    return Change(remedy, f"Title of {remedy}", "lr", 0.4, 0.1, "a reason", (), coupled_to, f"what {remedy} does")


@pytest.fixture
def ill():
    """ill(changes, held_back, path=…) -> the diagnosis of a run that another tool logged, with one finding."""

    def diagnosed(*changes, held_back=(), path="runs/foreign", **finding):
        run = Run(path, scalars={"loss/train": series([1, 2, 3])}, names={"loss/train": "train_loss"})
        seen = Finding("odd_curve", Severity.CRITICAL, 0.5, (1, 3), "The curve is odd.", **finding)
        return Diagnosis(run, (seen,), (), Prescription("stability", changes, held_back))

    return diagnosed


@pytest.fixture
def chained(ill):
    """A change, one that follows it, one that follows the follower, and one whose leader is not there."""
    return ill(change("first"), change("second", "first"), change("third", "second"), change("fourth", "absent"))


@pytest.fixture
def waiting(ill):
    """A finding for which no change can be named, and advice that waits."""
    return ill(held_back=(HeldBack("average_weights", "Average the weights", "stability"),))
