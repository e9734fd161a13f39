"""What the base install brings along: each of it is used, each has its reason, and nothing is used beside it."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NOT_IMPORTED = {"fsspec": "universal-pathlib opens it; the bound is ours"}
FRAMEWORKS = {"accelerate", "ignite", "lightning", "mlflow", "mlflow-skinny", "pytorch-ignite", "pytorch-lightning"}
FRAMEWORKS |= {"transformers", "wandb"}  # whose users have them
ONLY_WHERE_ASKED_FOR = FRAMEWORKS | {"distributed", "optuna", "ray", "scikit-learn"}  # told where it is missing
SHARED_NAMES = {"google": "protobuf"}  # an import that several distributions bring


def imported():
    """The distributions that the three packages import anywhere, lazily or not."""
    known = packages_distributions()
    for room in ("diagnose", "hooks", "dashboard"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and not node.level:
                    names = [str(node.module)]
                for top in {name.partition(".")[0] for name in names} - {"diagnose"}:
                    if top not in sys.stdlib_module_names:
                        yield canonicalize_name(SHARED_NAMES.get(top) or known.get(top, [top])[0])


def declared():
    return {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}


def test_whatever_is_imported_is_declared():
    assert set(imported()) - ONLY_WHERE_ASKED_FOR <= declared()


def test_whatever_is_declared_is_used():
    assert declared() - NOT_IMPORTED.keys() == set(imported()) - ONLY_WHERE_ASKED_FOR


def test_each_has_its_reason_and_a_lower_bound_and_an_exact_version():
    written = re.search(
        r"^dependencies = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL
    )[1]
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    for line in written.splitlines():
        told = re.fullmatch(r'\s*"([\w-]+)>=[\d.]+",\s+# .{3,}', line)
        assert told, line
        assert canonicalize_name(told[1]) in map(canonicalize_name, pinned), line
