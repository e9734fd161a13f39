"""The settings of a run in a file beside its log: hparams.yaml, config.yaml, hparams.json, args.json, …"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from diagnose.logs.links import leads_out
from diagnose.logs.plain import plain
from diagnose.logs.printable import printable
from diagnose.logs.safe_yaml import read_yaml

NAMES: Final = (
    "hparams.yaml", "hparams.yml", "hparams.json", "config.yaml", "config.yml", "config.json", "args.yaml",
    "args.json", "params.json", ".hydra/config.yaml",
)  # fmt: skip
LONGEST: Final = 300_000  # bytes: settings are short, and YAML is read slowly
DEEPEST: Final = 4  # nested settings are taken up to here, `optim.lr` as well as `lr`


def files_beside(run: Path) -> list[Path]:
    """Those of the files that are there."""
    try:
        present = {path.name for path in run.iterdir()}
    except OSError:
        return []
    return [run / name for name in NAMES if name.partition("/")[0] in present]


def config_beside(run: Path) -> tuple[dict[str, Any], list[str]]:
    """The settings of the first such file in `run`, and notes on those that could not be read.

    Nested settings have their path for a name (`optim.lr`), and their own name (`lr`) where nothing else has it.
    """
    notes = []
    for path in files_beside(run):
        name = path.relative_to(run)
        try:
            if not path.is_file() or leads_out(path, run):
                continue
            if path.stat().st_size > LONGEST:
                notes.append(f"{name} was left out: longer than {LONGEST:,} bytes, it is hardly a file of settings.")
                continue
            told = _read(path)
        except (OSError, ValueError, RecursionError) as error:
            notes.append(f"{name} was left out: {(str(error).splitlines() or [type(error).__name__])[0]}")
            continue
        if isinstance(told, dict):
            return _flat(printable(plain(told))), notes
    return {}, notes


def read_settings(path: Path) -> dict[str, Any]:
    """The settings of one JSON or YAML file, nested ones under their path and, where nothing else has it, their name.

    Raises OSError or ValueError where it cannot be read, or holds no mapping.
    """
    told = _read(path)
    if not isinstance(told, dict):
        raise ValueError("it holds no mapping of names to values")  # noqa: TRY004  the file is what is wrong
    return _flat(printable(plain(told)))


def _read(path: Path) -> object:
    text = path.read_text(encoding="utf-8", errors="replace")
    return json.loads(text) if path.suffix == ".json" else read_yaml(text)


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    own: dict[str, Any] = {}

    def walk(part: Mapping[str, Any], path: tuple[str, ...]) -> None:
        for name, value in part.items():
            here = (*path, str(name))
            wandb = isinstance(value, dict) and set(value) in ({"value"}, {"value", "desc"})  # its config.yaml
            setting = value["value"] if wandb else value
            if isinstance(setting, dict) and len(here) < DEEPEST:
                walk(setting, here)
            else:
                flat[".".join(here)] = setting
                own.setdefault(str(name), setting)

    walk(settings, ())
    return {**own, **flat}
