"""`diagnose what-if`: a setting is to change; what else must move, without any run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from diagnose.errors import DiagnoseError, InvalidArgumentError
from diagnose.logs.config_files import read_settings
from diagnose.prescriptions.consequences import what_if
from diagnose.prescriptions.hyperparameters import HYPERPARAMETERS

if TYPE_CHECKING:
    from diagnose.diagnosis import Prescription

PRESENT: Final = (*HYPERPARAMETERS, "dataset_size", "warmup_epochs", "warmup_ratio")
EXAMPLE: Final = "example: diagnose what-if --batch-size 256 --lr 0.1 --optimizer SGD --epochs 90 --set batch_size=4096"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    told = "say what else must change with a setting, without a run"
    parser = commands.add_parser("what-if", help=told, epilog=EXAMPLE)
    parser.add_argument(
        "--set", dest="changes", metavar="NAME=VALUE", action="append", required=True, help="what to change; repeatable"
    )
    parser.add_argument("--config", metavar="FILE", type=Path, help="the present settings, as JSON or YAML")
    parser.add_argument("--format", choices=("text", "md", "json"), default="text")
    present = parser.add_argument_group("present settings", "what nobody tells is never given a number")
    for name in PRESENT:
        unit = HYPERPARAMETERS[name].unit if name in HYPERPARAMETERS else ""
        present.add_argument(f"--{name.replace('_', '-')}", dest=f"present_{name}", metavar=unit.upper() or "VALUE")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    prescription = what_if(_present(options), **dict(map(_pair, options.changes)))
    print(_rendered(prescription, options.format))
    return 0


def _present(options: argparse.Namespace) -> dict[str, Any]:
    told = {name: getattr(options, f"present_{name}") for name in PRESENT}
    given = {name: value for name, value in told.items() if value is not None}
    if options.config is None:
        return given
    try:
        return {**read_settings(options.config), **given}
    except (OSError, ValueError, RecursionError) as error:
        raise DiagnoseError(f"The settings in {options.config} cannot be read: {error}") from error


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise InvalidArgumentError(f"--set {text}: NAME=VALUE is wanted, as in --set batch_size=4096.")
    return name.strip(), value.strip()


def _rendered(prescription: Prescription, style: str) -> str:
    if style == "json":
        from diagnose.reports.json import prescription_as_dict

        return json.dumps(prescription_as_dict(prescription), indent=2, ensure_ascii=False)
    if style == "md":
        from diagnose.reports.markdown import prescription_as_markdown

        return prescription_as_markdown(prescription)
    from diagnose.reports.text import prescription_as_text

    return prescription_as_text(prescription)
