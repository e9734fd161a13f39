"""Logs that are no event files: CSV, JSON lines, Parquet, the Trainer's state, MLflow's folders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from diagnose.errors import NoRunError
from diagnose.logs.columns import EventData
from diagnose.logs.mlflow_store import is_mlflow, read_mlflow
from diagnose.logs.plain import plain
from diagnose.logs.printable import printable
from diagnose.logs.table_files import read_csv, read_json, read_parquet, table_of_columns, table_of_rows
from diagnose.logs.tables import curves_of

# Files that are a run's log wherever they lie: Lightning's CSVLogger, Stable-Baselines3, the Trainer, detectron2, …
RUN_FILES: Final = (
    "metrics.csv", "progress.csv", "history.csv", "log.csv", "training_log.csv", "wandb_export.csv",
    "trainer_state.json", "metrics.json", "metrics.jsonl", "metrics.parquet", "history.parquet",
)  # fmt: skip
SUFFIXES: Final = frozenset({".csv", ".tsv", ".json", ".jsonl", ".parquet"})
TRAINERS_CONFIG: Final = {"num_train_epochs": "epochs", "train_batch_size": "batch_size", "max_steps": "max_steps"}
CHECKPOINT: Final = re.compile(r"checkpoint-(\d{1,12})")


def is_foreign(path: Path) -> bool:
    """Whether `path` may be a log of another kind than event files: a table, or a run of MLflow's file store."""
    return path.suffix.lower() in SUFFIXES if path.is_file() else is_mlflow(path)


def foreign_log_of(run: Path) -> Path | None:
    """The log of another kind that makes the folder `run` a run, None where there is none or none can be seen."""
    try:
        if is_mlflow(run):
            return run
        return next((run / name for name in RUN_FILES if (run / name).is_file()), None) or _latest_checkpoints(run)
    except OSError:
        return None


def read_foreign(path: Path) -> EventData:
    """What such a log holds. Raises `NoRunError`, saying why, where it holds no curve."""
    if path.is_dir():
        data = read_mlflow(path)
    else:
        try:
            data = _of_file(path)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError, MemoryError, ImportError) as error:
            why = " ".join(str(error).split())[:200] or type(error).__name__
            raise NoRunError(f"{path} could not be read as a table: {printable(why)}") from error
    if not data.scalars:
        raise NoRunError(f"{path} holds no column of numbers.")
    return data


def _of_file(path: Path) -> EventData:
    suffix = path.suffix.lower()
    if suffix in {".csv", ".tsv"}:
        return curves_of(read_csv(path))
    if suffix == ".parquet":
        return curves_of(read_parquet(path))
    told = read_json(path)
    if isinstance(told, dict) and isinstance(told.get("log_history"), list):
        data = curves_of(table_of_rows(path, told["log_history"]))
        settings = {ours: plain(told[theirs]) for theirs, ours in TRAINERS_CONFIG.items() if told.get(theirs)}
        data.config |= {name: value for name, value in settings.items() if isinstance(value, int | float)}
        return data
    if isinstance(told, dict) and told and all(isinstance(values, list) for values in told.values()):
        return curves_of(table_of_columns(path, told))
    return curves_of(table_of_rows(path, told if isinstance(told, list) else [told]))


def _latest_checkpoints(run: Path) -> Path | None:
    """The state that the Trainer kept with its latest checkpoint: it holds the history of those before."""
    kept = [(int(told[1]), path) for path in run.glob("checkpoint-*") if (told := CHECKPOINT.fullmatch(path.name))]
    states = [path / "trainer_state.json" for _, path in sorted(kept, reverse=True)]
    return next((path for path in states if path.is_file()), None)
