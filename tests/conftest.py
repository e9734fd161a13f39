"""Real small runs that the tests share: the demo's four, trained once per session."""

from __future__ import annotations

from pathlib import Path

import pytest

import diagnose


@pytest.fixture(scope="session")
def demo_runs(tmp_path_factory) -> dict[str, Path]:
    """The demo's runs by name: healthy, diverging, overfitting, vanishing."""
    root = tmp_path_factory.mktemp("demo")
    return {path.name: path for path in diagnose.train_demo_runs(root, lambda name, share: None)}
