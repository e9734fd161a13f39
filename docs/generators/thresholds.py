"""A symptom's thresholds, read from its source: the named constants and the comments that say why."""

from __future__ import annotations

import ast
import inspect
import io
import tokenize
from importlib import import_module

from generators.prose import prose, table


def thresholds(symptom: str, page: str) -> str:
    """A table of name, value and reason, "" where the file has none."""
    source = inspect.getsource(import_module(f"diagnose.symptoms.{symptom}"))
    comments = _comments(source)
    constants = [node for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    rows = [
        (
            f"`{ast.unparse(node.targets[0]).strip('()')}`",
            f"`{ast.unparse(node.value).strip('()')}`",
            _why(node, comments, page),
        )
        for node in constants
        if isinstance(node.value, ast.Constant | ast.BinOp | ast.Tuple) and not _is_text(node.value)
    ]
    return table(("threshold", "value", "of what, and why"), rows) if rows else ""


def _why(node: ast.Assign, comments: dict[int, str], page: str) -> str:
    return prose(comments.get(node.end_lineno or node.lineno, ""), page)


def _is_text(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
