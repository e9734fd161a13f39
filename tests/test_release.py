"""The release: one version everywhere, and an sdist and a wheel that work where the repository is not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
from pathlib import Path

import pytest
import yaml

import diagnose

ROOT = Path(__file__).parent.parent
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
CFF_KEYS = {  # of the Citation File Format 1.2.0, those of a software that has no identifier yet
    "abstract", "authors", "cff-version", "date-released", "keywords", "license", "message", "title", "type", "version",
}  # fmt: skip
# Trains one run, diagnoses it, and says where all of it came from.
TRY = """
import torch, diagnose, hooks
from diagnose.dashboard.server import make_app
model = torch.nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
criterion = torch.nn.CrossEntropyLoss()
with diagnose.attach(model, optimizer, criterion=criterion, run_dir="runs/tried"):
    for _ in range(30):
        criterion(model(torch.randn(8, 4)), torch.randint(2, (8,))).backward()
        optimizer.step()
        optimizer.zero_grad()
assert diagnose.examine("runs/tried").run.steps == 30
make_app("runs")
print(hooks.mine, diagnose.__file__)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder of an sdist and of a wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "-o", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def clean(built, tmp_path_factory) -> Path:
    """A fresh environment that holds the wheel, and sees what it depends on."""
    folder = tmp_path_factory.mktemp("clean") / "environment"
    venv.create(folder, with_pip=False, symlinks=True)
    python, (wheel,) = str(folder / "bin" / "python"), built.glob("*.whl")
    installing = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "-I", str(wheel)]
    assert run(installing, folder).returncode == 0
    # A folder named in a .pth file is searched, but its own .pth files are not: this checkout stays out of sight.
    (site,) = (folder / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return folder


def run(command, where: Path) -> subprocess.CompletedProcess:
    environment = {"PATH": os.environ["PATH"], "DIAGNOSE_CACHE": "off", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, check=False)


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == diagnose.__version__ == CITATION["version"]
    released = re.findall(r"^## \[(\d[^\]]*)\] - (\d{4}-\d\d-\d\d)$", CHANGELOG, re.MULTILINE)
    newest = released[0] if released else None
    assert CHANGELOG.count("## [Unreleased]") == 1
    tags = subprocess.run(
        ["git", "tag", "--points-at", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    if any(tag.startswith("v") for tag in tags):  # a tagged commit is a release: all four agree
        assert f"v{diagnose.__version__}" in tags
        assert newest == (diagnose.__version__, str(CITATION.get("date-released")))


def test_the_citation_is_in_its_format():
    assert set(CITATION) <= CFF_KEYS
    assert {"cff-version", "message", "title", "authors"} <= set(CITATION)
    assert CITATION["cff-version"] == "1.2.0" and CITATION["type"] == "software"
    assert all(set(author) & {"name", "family-names"} for author in CITATION["authors"])
    assert CITATION["license"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"]


@pytest.mark.slow
def test_the_sdist_holds_what_is_needed_to_test_it(built):
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"tests/test_release.py", "fixtures/index.jsonl", "docs/mkdocs.yml", "CITATION.cff", "Makefile"} <= names
    assert {f"fixtures/runs/{path.name}" for path in (ROOT / "fixtures" / "runs").iterdir()} <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith((".venv", "build/", "runs/"))]


@pytest.mark.slow
def test_the_wheel_works_in_a_clean_environment_beside_the_users_own_hooks_folder(clean, tmp_path):
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks" / "__init__.py").write_text("mine = True")
    (tmp_path / "train.py").write_text(TRY)
    tried = run([clean / "bin" / "python", "train.py"], tmp_path)
    assert tried.returncode == 0, tried.stderr
    assert tried.stdout.split() == [
        "True",
        next(map(str, clean.glob("lib/python*/site-packages/diagnose/__init__.py"))),
    ]
    for arguments in (["--help"], ["explain", "divergence"], ["report", "runs/tried", "--fail-on", "never"]):
        answer = run([clean / "bin" / "diagnose", *arguments], tmp_path)
        assert answer.returncode == 0 and answer.stdout, (arguments, answer.stderr)


@pytest.mark.slow
def test_the_wheel_brings_everything_that_is_no_python(clean):
    (site,) = clean.glob("lib/python*/site-packages")
    for source, installed in (("diagnose", "diagnose"), ("dashboard", "diagnose/dashboard")):
        files = [path for path in (ROOT / source).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        data = [path for path in files if path.suffix != ".py"]
        missing = [path.name for path in data if not (site / installed / path.relative_to(ROOT / source)).exists()]
        assert data and missing == []
