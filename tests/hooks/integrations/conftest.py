"""Frameworks are imported by the tests that train with them: they take long to load, and not all are in `dev`."""

from __future__ import annotations

import importlib
import os
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
