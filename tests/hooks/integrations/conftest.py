"""Frameworks are imported by the tests that train with them: they take long to load, and not all are in `dev`."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from typing import Any

import pytest

import diagnose


@pytest.fixture
def framework():
    """framework("name") -> the module; skipped loudly where it is not installed, which under CI fails."""

    def load(name: str) -> Any:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            reason = f"{name} is not installed (pip install '.[integrations]'): its integration was NOT tested"
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)

    return load


@pytest.fixture
def ill(new_training, tmp_path):
    """A run whose rate is far too high."""
    training = new_training(lr=60.0)
    with diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path / "ill"):
        training.run(60)
    return tmp_path / "ill"


@pytest.fixture
def ends_of_two_ranks(tmp_path):
    """ends_of_two_ranks(script) -> the step at which each rank's training ended, which `nan_loss` halted.

    The script is given a run's folder, and each rank prints its number, its step and why it was halted.
    """

    def ends(script: str) -> dict[str, str]:
        (tmp_path / "train.py").write_text(script)
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        command = [*launcher, str(tmp_path / "train.py"), str(tmp_path / "run")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        assert "Halted by nan_loss" in done.stdout
        return {line.split()[0]: line.split()[1] for line in done.stdout.splitlines() if line[:2] in {"0 ", "1 "}}

    return ends
