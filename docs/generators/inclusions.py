"""What a hand-written page takes from elsewhere, at a comment such as `<!-- results: On a GPU -->`."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from diagnose.signals import SIGNALS
from generators.prose import prose, table

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = ROOT / "docs" / "examples"
RESULTS: Final = ROOT / "benchmarks" / "RESULTS.md"
_MARK: Final = re.compile(r"^<!-- (results|examples|signals|file): ?(.*?) ?-->$", re.MULTILINE)


def included(markdown: str) -> str:
    """The page with its marks replaced. Raises `ValueError` where a mark names nothing that exists."""
    return _MARK.sub(lambda found: _SOURCES[found[1]](found[2]), markdown)


def _results(heading: str) -> str:
    """A section of the measured results, one level below the page's title."""
    sections = re.split(r"^## ", RESULTS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    wanted = [section for section in sections if section.startswith(f"{heading}\n")]
    if len(wanted) != 1:
        raise ValueError(f"benchmarks/RESULTS.md has {len(wanted)} sections called {heading!r}.")
    return f"## {wanted[0].strip()}".replace("](../fixtures/README.md)", "](adding-a-symptom.md)")


def _examples(_: str) -> str:
    """Every script of docs/examples with its docstring, and a line that says so where there is none."""
    scripts = sorted(EXAMPLES.glob("*.py")) if EXAMPLES.is_dir() else []
    return "\n\n".join(map(_example, scripts)) or "This checkout holds no examples."


def _example(script: Path) -> str:
    source = script.read_text(encoding="utf-8")
    tree = ast.parse(source)
    told = (ast.get_docstring(tree) or "").partition("\n\n")
    title, _, rest = told[0].partition(": ")
    title = title if rest else script.stem.replace("_", " ").capitalize()
    body = source if not told[0] else "\n".join(source.splitlines()[tree.body[0].end_lineno :])
    lead = prose(" ".join(f"{rest or told[0]} {told[2]}".split()), "integrations.md")
    code = f'```python title="docs/examples/{script.name}"\n{body.strip()}\n```'
    return f"## {prose(title, 'integrations.md')}\n\n{lead}\n\n{code}"


def _signals(family: str) -> str:
    """The signals: those of each layer for `layers`, else the global ones."""
    wanted = [each for each in SIGNALS.values() if each.name.startswith("layers/") == (family == "layers")]
    rows = [(f"`{each.name}`", prose(each.meaning, "log-format.md"), each.unit) for each in wanted]
    return table(("signal", "meaning", "unit"), rows)


def _file(path: str) -> str:
    """A file of the repository, as it is."""
    name, _, language = path.partition(" ")
    return f'```{language or "text"} title="{name}"\n{(ROOT / name).read_text(encoding="utf-8").strip()}\n```'


_SOURCES: Final[Mapping[str, Callable[[str], str]]] = {
    "results": _results, "examples": _examples, "signals": _signals, "file": _file,
}  # fmt: skip
