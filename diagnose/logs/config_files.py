"""The settings of a run in a file beside its log: hparams.yaml, config.yaml, hparams.json, args.json, …"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from diagnose.logs.printable import printable

NAMES: Final = (
    "hparams.yaml", "hparams.yml", "hparams.json", "config.yaml", "config.yml", "config.json", "args.yaml",
    "args.json", "params.json", ".hydra/config.yaml",
)  # fmt: skip
LONGEST: Final = 1_000_000  # bytes: settings are short
DEEPEST: Final = 4  # nested settings are taken up to here, `optim.lr` as well as `lr`


def config_beside(run: Path) -> tuple[dict[str, Any], list[str]]:
    """The settings of the first such file in `run`, and notes on those that could not be read.

    Nested settings have their path for a name (`optim.lr`), and their own name (`lr`) where nothing else has it.
    """
    notes = []
    for name in NAMES:
        path = run / name
        try:
            if path.is_symlink() or not path.is_file() or path.stat().st_size > LONGEST:  # links may lead anywhere
                continue
            told = _parsed(path.read_text(encoding="utf-8", errors="replace"), path.suffix)
        except (OSError, ValueError, RecursionError) as error:
            notes.append(f"{name} was left out: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
            continue
        if isinstance(told, dict):
            return _flat(printable(told)), notes
    return {}, notes


def _parsed(text: str, suffix: str) -> Any:
    if suffix == ".json":
        return json.loads(text)
    import yaml

    try:
        return yaml.safe_load(text)  # never executes what a file asks for
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


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
