"""Logs that are no event files: CSV, JSON lines, Parquet, the Trainer's state, MLflow's folders."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from diagnose.errors import NoRunError
from diagnose.logs.columns import EventData
from diagnose.logs.printable import printable

if TYPE_CHECKING:
    import pandas as pd

# Files that are a run's log wherever they lie: Lightning's CSVLogger, Stable-Baselines3, the Trainer, detectron2, …
RUN_FILES: Final = (
    "metrics.csv", "progress.csv", "history.csv", "log.csv", "training_log.csv", "wandb_export.csv",
    "trainer_state.json", "metrics.json", "metrics.jsonl", "metrics.parquet", "history.parquet",
)  # fmt: skip
SUFFIXES: Final = frozenset({".csv", ".tsv", ".json", ".jsonl", ".parquet"})
LARGEST: Final = 2_000_000_000  # bytes of one such file: they are read whole
STEP_COLUMNS: Final = ("step", "_step", "global_step", "steps", "iteration", "iter", "total_timesteps", "epoch")
TIME_COLUMNS: Final = ("_timestamp", "timestamp", "wall_time")
TRAINERS_CONFIG: Final = {"num_train_epochs": "epochs", "train_batch_size": "batch_size", "max_steps": "max_steps"}
SPREADS: Final = ("__MIN", "__MAX")  # what a W&B export adds beside each curve
CHECKPOINT: Final = re.compile(r"checkpoint-(\d{1,12})")
EARLIEST: Final = 1e9  # seconds since the epoch: smaller ones are no times of day


def is_foreign(path: Path) -> bool:
    """Whether `path` may be a log of another kind than event files: a table, or a run of MLflow's file store."""
    return path.suffix.lower() in SUFFIXES if path.is_file() else _is_mlflow(path)


def foreign_log_of(run: Path) -> Path | None:
    """The log of another kind that makes the folder `run` a run, None where there is none."""
    if _is_mlflow(run):
        return run
    return next((run / name for name in RUN_FILES if (run / name).is_file()), None) or _latest_checkpoints(run)


def read_foreign(path: Path) -> EventData:
    """What such a log holds. Raises `NoRunError`, saying why, where it holds no curve."""
    if path.is_dir():
        data = _of_mlflow(path)
    else:
        if path.stat().st_size > LARGEST:
            raise NoRunError(f"{path} is larger than {LARGEST / 1e9:.0f} GB, too large to be read at once.")
        try:
            data = _of_file(path)
        except (ValueError, KeyError, TypeError, RecursionError, ImportError, csv.Error) as error:
            raise NoRunError(f"{path} could not be read as a table: {printable(str(error))}") from error
    if not data.scalars:
        raise NoRunError(f"{path} holds no column of numbers.")
    return data


def _of_file(path: Path) -> EventData:
    import pandas as pd

    suffix = path.suffix.lower()
    if suffix in {".csv", ".tsv"}:
        # The separator is found out: commas, semicolons, tabs.
        return _of_table(pd.read_csv(path, sep=None, engine="python", skipinitialspace=True, on_bad_lines="skip"))
    if suffix == ".parquet":
        return _of_table(pd.read_parquet(path))
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        told = json.loads(text)
    except ValueError:
        return _of_rows(_lines(text))
    if isinstance(told, dict) and isinstance(told.get("log_history"), list):
        data = _of_rows(told["log_history"])
        data.config |= {ours: told[theirs] for theirs, ours in TRAINERS_CONFIG.items() if told.get(theirs)}
        return data
    if isinstance(told, dict) and told and all(isinstance(values, list) for values in told.values()):
        return _of_table(pd.DataFrame({name: pd.Series(values) for name, values in told.items()}))
    return _of_rows(told if isinstance(told, list) else [told])


def _lines(text: str) -> Iterable[Mapping[str, Any]]:
    """The objects of JSON lines; a last line that is still being written is left out."""
    for line in text.splitlines():
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if isinstance(told, dict):
            yield told


def _of_rows(rows: Iterable[Any]) -> EventData:
    import pandas as pd

    return _of_table(pd.DataFrame([row for row in rows if isinstance(row, dict)]))


def _of_table(table: pd.DataFrame) -> EventData:
    """Each column of numbers is a tag; where a row has no number in it, nothing was logged."""
    import pandas as pd

    table = table.rename(columns=lambda name: printable(str(name).strip()))
    table = _without_runs_name(table.loc[:, ~table.columns.duplicated()])
    numbers = {name: pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64) for name in table.columns}
    lower = {name.lower(): name for name in reversed(table.columns)}
    steps = _steps([numbers[lower[name]] for name in STEP_COLUMNS if name in lower], len(table))
    times = next((numbers[lower[n]] for n in TIME_COLUMNS if n in lower), np.zeros(len(table)))
    times = np.where(times > EARLIEST, times, 0.0)
    data = EventData(events=len(table))
    for name, values in numbers.items():
        logged = ~np.isnan(values)
        if name.lower() not in {*STEP_COLUMNS, *TIME_COLUMNS} and not name.endswith(SPREADS) and logged.any():
            data.scalar(name).extend(steps[logged], times[logged], values[logged])
    return data


def _without_runs_name(table: pd.DataFrame) -> pd.DataFrame:
    """A W&B export puts the run's name before each curve's: of a single run it says nothing."""
    curves = [name for name in table.columns if name.lower() not in {*STEP_COLUMNS, *TIME_COLUMNS}]
    runs = {name.partition(" - ")[0] for name in curves if " - " in name}
    if len(runs) != 1 or not all(" - " in name for name in curves):
        return table
    return table.rename(columns=lambda name: name.partition(" - ")[2] or name)


def _steps(candidates: Sequence[np.ndarray], rows: int) -> np.ndarray:
    """The first column that numbers all rows; else the rows' own numbers."""
    for steps in candidates:
        if len(steps) and np.isfinite(steps).all():
            return steps.astype(np.int64)
    return np.arange(rows)


def _latest_checkpoints(run: Path) -> Path | None:
    """The state that the Trainer kept with its latest checkpoint: it holds the history of those before."""
    kept = [(int(told[1]), path) for path in run.glob("checkpoint-*") if (told := CHECKPOINT.fullmatch(path.name))]
    states = [path / "trainer_state.json" for _, path in sorted(kept, reverse=True)]
    return next((path for path in states if path.is_file()), None)


def _is_mlflow(folder: Path) -> bool:
    return (folder / "meta.yaml").is_file() and (folder / "metrics").is_dir()


def _of_mlflow(run: Path) -> EventData:
    """A file for each metric, with lines of time in milliseconds, value and step; a file for each parameter."""
    data = EventData()
    metrics = run / "metrics"
    for path in sorted(path for path in metrics.rglob("*") if path.is_file()):
        rows = [line.split() for line in path.read_text(errors="replace").splitlines()]
        whole = [(int(row[2]), float(row[0]) / 1e3, float(row[1])) for row in rows if len(row) == 3]
        if whole:
            data.scalar(printable(str(path.relative_to(metrics)))).extend(*zip(*whole, strict=True))
            data.events += len(whole)
    for path in sorted(path for path in (run / "params").glob("*") if path.is_file()):
        data.config[printable(path.name)] = _plain(path.read_text(errors="replace").strip())
    return data


def _plain(text: str) -> str | float | int | bool:
    """A parameter, kept as text, as the number that it spells."""
    try:
        told: object = json.loads(text.replace("True", "true").replace("False", "false"))
    except ValueError:
        told = text
    return told if isinstance(told, int | float) else str(printable(text))
