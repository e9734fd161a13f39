"""A run whose every name and value is written by an enemy."""

from __future__ import annotations

import json

import numpy as np
import pytest

import diagnose
from diagnose.logs.writing import EventFile

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
