"""The frame: what is installed, who imports whom, what starts fast."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import diagnose

ROOT = Path(__file__).parent.parent


def packages_on_disk() -> set[str]:
    """Every package as setuptools must list it, the mapped folders under their installed names."""
    found = set()
    for top, installed in (("diagnose", "diagnose"), ("hooks", "diagnose.hooks"), ("dashboard", "diagnose.dashboard")):
        for init in (ROOT / top).rglob("__init__.py"):
            parts = init.parent.relative_to(ROOT / top).parts
            if not {"hooks", "dashboard"} & set(parts[:1]) or top != "diagnose":
                found.add(".".join((installed, *parts)))
    return found


def test_every_package_on_disk_is_listed_for_installation():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(settings["tool"]["setuptools"]["packages"]) == packages_on_disk()


def test_every_source_folder_is_a_package():
    folders = {p.parent for top in ("diagnose", "hooks", "dashboard") for p in (ROOT / top).rglob("*.py")}
    assert all((folder / "__init__.py").exists() for folder in folders)


@pytest.mark.parametrize("module", ["diagnose", "diagnose.cli", "diagnose.reports.text", "diagnose.reports.html"])
def test_the_core_loads_neither_torch_nor_dash_nor_pandas(module):
    code = f"import sys, {module}; print([m for m in ('torch', 'dash', 'pandas') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_a_report_works_where_torch_cannot_be_imported(demo_runs):
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['dash'] = None\n"
        f"from diagnose.cli import main; sys.exit(main(['report', {str(demo_runs['diverging'])!r}]))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 1, answer.stderr
    assert "Divergence" in answer.stdout


def test_all_names_the_whole_public_surface():
    assert all(hasattr(diagnose, name) for name in diagnose.__all__)
    assert dir(diagnose) == diagnose.__all__


def test_a_misspelt_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="atach"):
        diagnose.atach  # noqa: B018


def definitions(body):
    """Functions and classes of a module, and of its classes; what stands inside a function is its own affair."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node
        if isinstance(node, ast.ClassDef):
            yield from definitions(node.body)


def test_everything_public_is_documented():
    undocumented = [
        f"{path.name}:{node.name}"
        for top in ("diagnose", "hooks", "dashboard")
        for path in (ROOT / top).rglob("*.py")
        for node in definitions(ast.parse(path.read_text()).body)
        if not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert undocumented == []


@pytest.mark.slow  # builds a wheel and an environment
def test_the_built_wheel_works_in_an_empty_environment_beside_the_users_own_hooks_folder(tmp_path):
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", tmp_path, ROOT], check=True)
    site, work = tmp_path / "site", tmp_path / "work"
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "-t", site, wheel], check=True)
    (work / "hooks").mkdir(parents=True)
    (work / "hooks" / "__init__.py").write_text("mine = True")
    code = (
        "import hooks, diagnose, diagnose.hooks.monitor, diagnose.dashboard.server, diagnose.symptoms;"
        "from diagnose.causes import known_causes; from diagnose.prescriptions.remedies import known_remedies;"
        "known_causes(); known_remedies();"
        "print(hooks.mine, diagnose.__file__, len(diagnose.symptoms.ids()))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=work,
        env={"PYTHONPATH": str(site), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("True") and str(site) in answer.stdout
