"""Opening another tool, or saying in one line how to install it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from diagnose.errors import DiagnoseError


def opened(module: str, package: str) -> Any:
    """The module of another tool.

    Raises `DiagnoseError` with the command that installs it where it is not there.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise DiagnoseError(f"{package} is needed for this: pip install {package} ({error})") from error
