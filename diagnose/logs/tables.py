"""From a table to curves: a column of numbers is a tag; tables of other tools are put into that form first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from diagnose.logs.buffers import Twins
from diagnose.logs.columns import EventData
from diagnose.logs.printable import printable

if TYPE_CHECKING:
    import pandas as pd

STEP_COLUMNS: Final = ("step", "_step", "global_step", "steps", "iteration", "iter", "total_timesteps", "epoch")
TIME_COLUMNS: Final = ("_timestamp", "timestamp", "wall_time")
KEY_COLUMNS: Final = ("key", "metric", "metric_name", "tag")  # of a long table: one value in a row, and what it is
RUN_COLUMNS: Final = ("run_id", "run id", "run_uuid", "run")
TEXT_COLUMNS: Final = frozenset({*KEY_COLUMNS, *RUN_COLUMNS})
NAN: Final = "nan"
NAN_WORDS: Final = frozenset({NAN, "-nan", "+nan"})
SPREADS: Final = ("__MIN", "__MAX")  # what a W&B export adds beside each curve
APART: Final = " - "  # between a run's name and a metric's, in a W&B export
EARLIEST: Final = 1e9  # seconds since the epoch: smaller ones are no times of day
LATEST: Final = 1e11  # seconds since the epoch: larger ones are milliseconds
LAST_STEP: Final = 2.0**63
SHOWN: Final = 5  # runs that are named


def curves_of(table: pd.DataFrame) -> EventData:
    """Each column of numbers is a tag; where a row has no number in it, nothing was logged.

    Raises `ValueError` where the table holds last values only, a row for each run.
    """
    table = table.rename(columns=lambda name: printable(str(name).strip()))
    table = table.loc[:, ~table.columns.duplicated()]
    named = {name.lower(): name for name in reversed(table.columns)}
    key, run = (next((named[n] for n in names if n in named), None) for names in (KEY_COLUMNS, RUN_COLUMNS))
    if key is not None and "value" in named:
        data = _of_long_table(table, key, named["value"], run)
        several = run is not None
    elif run is not None and not named.keys() & {*STEP_COLUMNS} and table[run].is_unique:
        raise ValueError("it has a row for each run, with last values and no curve.")
    else:
        data = _of_wide_table(_without_runs_name(table))
        several = any(name.endswith(SPREADS) for name in table.columns)
    if several:
        data.notes += _several_runs(data)
    return data


def _of_wide_table(table: pd.DataFrame) -> EventData:
    numbers = {name: _numbers(table[name]) for name in table.columns}
    steps, times = _steps(numbers, len(table)), _times(numbers, len(table))
    data, twins = EventData(events=len(table)), Twins()
    for name, values in numbers.items():
        logged = _logged(values, _says_nan(table[name]))
        if not _counts(name.rpartition(APART)[2]) and not name.endswith(SPREADS) and logged.any():
            data.scalar(name).extend(steps[logged], times[logged], values[logged], twins)
    return data


def _of_long_table(table: pd.DataFrame, key: str, value: str, run: str | None) -> EventData:
    """One value in a row, as MLflow exports a metric's history: the rows of one key are one tag."""
    numbers = {name: _numbers(table[name]) for name in table.columns if name not in {key, run}}
    steps, times, values = _steps(numbers, len(table)), _times(numbers, len(table)), numbers[value]
    tags = table[key].astype(str)
    if run is not None and table[run].nunique() > 1:
        tags = table[run].astype(str) + APART + tags
    data, twins, said = EventData(events=len(table)), Twins(), _says_nan(table[value])
    for tag, rows in tags.groupby(tags, sort=False).indices.items():
        logged = np.asarray(rows)[_logged(values[rows], said[rows])]
        if logged.size:
            data.scalar(printable(str(tag))).extend(steps[logged], times[logged], values[logged], twins)
    return data


def _without_runs_name(table: pd.DataFrame) -> pd.DataFrame:
    """A W&B export puts the run's name before each curve's: of a single run it says nothing."""
    curves = [name for name in table.columns if not _counts(name)]
    runs = {name.rpartition(APART)[0] for name in curves if APART in name}
    if len(runs) != 1 or not all(APART in name for name in curves):
        return table
    return table.rename(columns=lambda name: name.rpartition(APART)[2])


def _several_runs(data: EventData) -> Iterator[str]:
    """A note where there are several runs side by side: which one is meant has to be said."""
    runs = list(dict.fromkeys(tag.rpartition(APART)[0] for tag in data.scalars))
    if len(runs) > 1 and all(runs):
        named = ", ".join(f"“{run}”" for run in runs[:SHOWN]) + (" …" if len(runs) > SHOWN else "")
        example = next((tag for tag in data.scalars if "loss" in tag.lower()), next(iter(data.scalars)))
        yield (
            f"It holds {len(runs):,} runs side by side: {named}. Export one alone, or choose one by the names of its "
            f"columns: diagnose.load(path, names={{{example!r}: 'loss/train'}}), or the same in a diagnose.toml."
        )


def _counts(name: str) -> bool:
    """Whether a column tells when, not what; a table that was kept with its rows' numbers has one without a name."""
    return name.lower() in {*STEP_COLUMNS, *TIME_COLUMNS} or name.startswith("Unnamed: ")


def _logged(values: NDArray[np.float64], said: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of a column's values were logged: numbers, and the “nan” that it ends in, where that is `said`.

    A loss that is no number stays none. Between numbers “nan” is how some tables write that there is nothing, and so it
    is at the end where no more of them stand there than did in between.
    """
    logged: NDArray[np.bool_] = ~np.isnan(values)
    at = np.flatnonzero(logged)
    if not at.size:
        return logged
    end = at[-1] + 1
    longest = int(np.diff(at).max(initial=1)) - 1 if said[:end].any() else 0
    if said[end:].sum() > longest:
        logged[end:] = said[end:]
    return logged


def _says_nan(column: pd.Series) -> NDArray[np.bool_]:
    """Where “nan” is written in it, and not nothing."""
    from pandas.api.types import is_numeric_dtype

    if is_numeric_dtype(column.dtype):
        return np.zeros(len(column), bool)
    words = (isinstance(cell, str) and cell.strip().lower() in NAN_WORDS for cell in column.to_numpy(object))
    return np.fromiter(words, bool, len(column))


def _numbers(column: pd.Series) -> NDArray[np.float64]:
    """Its values as numbers, NaN where one is none."""
    import pandas as pd

    try:
        return np.asarray(pd.to_numeric(column, errors="coerce"), np.float64)
    except (OverflowError, TypeError, ValueError):  # whole numbers beyond a float among them
        return np.fromiter(map(_number, column), np.float64, len(column))


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError:
        return np.inf if value > 0 else -np.inf  # type: ignore[operator]
    except (TypeError, ValueError):
        return np.nan


def _steps(numbers: dict[str, NDArray[np.float64]], rows: int) -> NDArray[np.int64]:
    """The first column that numbers all rows; else the rows' own numbers."""
    lower = {name.lower(): values for name, values in reversed(numbers.items())}
    for steps in (lower[name] for name in STEP_COLUMNS if name in lower):
        if rows and (np.abs(steps) < LAST_STEP).all():  # NaN is not smaller either
            return steps.astype(np.int64)
    return np.arange(rows)


def _times(numbers: dict[str, NDArray[np.float64]], rows: int) -> NDArray[np.float64]:
    """Seconds since the epoch, 0 where a row does not tell them."""
    lower = {name.lower(): values for name, values in reversed(numbers.items())}
    told = next((lower[name] for name in TIME_COLUMNS if name in lower), np.zeros(rows))
    seconds = np.where(np.abs(told) > LATEST, told / 1e3, told)
    return np.where((seconds > EARLIEST) & (seconds < LATEST), seconds, 0.0)
