"""The example notebook: its cells run as a kernel runs them, and what it shows shows itself.

Without Jupyter: a kernel and what it brings along take longer to install than everything that they would show.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from diagnose.diagnosis import Diagnosis
from diagnose.prescriptions.treatment import Treatment
from diagnose.run import Run

NOTEBOOK = json.loads((Path(__file__).parents[2] / "docs" / "examples" / "notebook.ipynb").read_text())


@pytest.fixture
def values(tmp_path, monkeypatch, capsys) -> list[Any]:
    """The last value of each code cell, None where a cell ends in no expression."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    shown = []
    for cell in (each for each in NOTEBOOK["cells"] if each["cell_type"] == "code"):
        tree = ast.parse("".join(cell["source"]))
        last = tree.body[-1]
        ending = ast.Expression(last.value if isinstance(last, ast.Expr) else ast.Constant(None))
        exec(compile(ast.Module(tree.body[: -isinstance(last, ast.Expr) or None], []), "notebook", "exec"), names)
        shown.append(eval(compile(ast.fix_missing_locations(ending), "notebook", "eval"), names))
    return shown


def test_the_notebook_runs_from_top_to_bottom_and_its_values_show_themselves(values):
    by_kind = {type(value): value for value in values}
    assert "loss/train" in by_kind[Run]._repr_html_()
    assert not by_kind[Diagnosis].healthy and "Lower the learning rate" in by_kind[Diagnosis]._repr_html_()
    assert by_kind[Treatment].cured and by_kind[Treatment]._repr_markdown_()
    assert any(hasattr(value, "address") and "<iframe" in value._repr_html_() for value in values)


def test_the_notebook_is_kept_without_results():
    code = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
