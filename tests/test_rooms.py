"""Who may import whom: the contracts hold for modules that nobody has written yet."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE, TORCH = "The core opens hooks and dashboard only at its doors", "The core knows neither torch nor dash"
APART = "hooks and dashboard do not know each other"


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """checked(module, line) -> what the contracts say of the product with one more module, of that one line."""
    copy = tmp_path_factory.mktemp("product")
    for room in ("diagnose", "hooks", "dashboard"):
        shutil.copytree(ROOT / room, copy / room, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)

    def check(module: str = "", line: str = "") -> str:
        file = copy / module
        if module:
            file.write_text(f"{line}\n")
        command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
        told = subprocess.run(
            command, check=False, cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)}, capture_output=True, text=True
        )
        if module:
            file.unlink()
        return told.stdout

    return check


def test_the_product_keeps_its_contracts(checked):
    assert "3 kept, 0 broken" in checked()


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("diagnose/another.py", "from diagnose.hooks.monitor import attach", CORE),
        ("diagnose/another.py", "def door():\n    import diagnose.dashboard.server", CORE),
        ("diagnose/symptoms/another.py", "from diagnose import hooks", CORE),
        ("diagnose/another.py", "import torch", TORCH),
        ("diagnose/logs/another.py", "from dash import html", TORCH),
        ("dashboard/another.py", "from diagnose.hooks import cadence", APART),
        ("hooks/another.py", "import diagnose.dashboard.store", APART),
    ],
)
def test_a_new_module_that_enters_a_room_that_is_not_its_own_breaks_one(checked, module, line, contract):
    told = checked(module, line)
    assert f"{contract} BROKEN" in told and "another" in told
