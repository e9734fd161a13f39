"""Frameworks are imported by the tests that train with them: they take long to load, and not all are in `dev`."""

from __future__ import annotations

import importlib
import os
from typing import Any

import pytest


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
