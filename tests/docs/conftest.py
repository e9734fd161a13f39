"""The manual, built once for all tests as `make docs` builds it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="session")
def manual(made_once) -> Path:
    """The folder of the built manual: its Markdown in `pages`, its site in `site`."""

    def build(out: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(DOCS / "build_manual.py"), str(out)]
        built = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert built.returncode == 0, built.stdout + built.stderr

    return made_once("manual", build)


@pytest.fixture(autouse=True)
def generators_at_hand(monkeypatch):
    """What generates the manual is found beside docs/build_manual.py."""
    monkeypatch.setattr(sys, "path", [str(DOCS), *sys.path])
