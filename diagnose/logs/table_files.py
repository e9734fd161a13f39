"""Files of CSV, Parquet, JSON and JSON lines as tables, no larger than memory allows."""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Iterable, Mapping
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from diagnose.errors import NoRunError
from diagnose.logs.tables import NAN, TEXT_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

LARGEST: Final = 2_000_000_000  # bytes of a file: it is read whole
LARGEST_JSON: Final = 500_000_000  # bytes: as Python's objects it takes ten times as much
MOST_CELLS: Final = 100_000_000  # rows × columns; a small file may claim far more
LONGEST_HEADER: Final = 1_000_000  # bytes of a table's first line
MOST_UNPACKED: Final = 2_000_000_000  # bytes of a Parquet file with texts in it
MISSING: Final = ("", "NA", "N/A", "n/a", "<NA>", "#N/A", "#NA", "null", "NULL", "None")  # as training tools write it
SEPARATORS: Final = ",;\t|"  # of equals, the first


def read_csv(path: Path) -> pd.DataFrame:
    """A table of text, in which “nan” stays one: a loss that is no number is no missing value.

    Rows with more values than the first line has names lose them or are left out.
    """
    import pandas as pd

    _no_larger(path, LARGEST)
    with path.open("rb") as file:
        first = file.readline(LONGEST_HEADER + 1)
        if len(first) > LONGEST_HEADER:
            raise NoRunError(f"{path}: its first line is longer than {LONGEST_HEADER:,} bytes, no table's is.")
        lines = 1 + sum(block.count(b"\n") + block.count(b"\r") for block in iter(lambda: file.read(1 << 20), b""))
    header = first.decode("utf-8-sig", errors="replace")
    separator = max(SEPARATORS, key=lambda candidate: len(_fields(header, candidate)))
    _no_more_cells(path, lines, len(_fields(header, separator)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.ParserWarning)  # of values beyond the last name

        try:
            return _read_csv(path, separator, quoted=True)
        except pd.errors.ParserError:  # a quote that is never closed swallows what follows
            return _read_csv(path, separator, quoted=False).rename(columns=lambda name: name.strip('"'))


def _read_csv(path: Path, separator: str, *, quoted: bool) -> pd.DataFrame:
    import pandas as pd

    return pd.read_csv(
        path, sep=separator, skipinitialspace=True, on_bad_lines="skip", index_col=False, low_memory=False,
        encoding_errors="replace", keep_default_na=False, na_values=list(MISSING),
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
    )  # fmt: skip


def read_parquet(path: Path) -> pd.DataFrame:
    """The columns of numbers, and the texts that name a metric or a run."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path, memory_map=False) as file:
            names = [field.name for field in file.schema_arrow if _is_number(field.type) or _is_name(field)]
            texts = {field.name for field in file.schema_arrow if _is_name(field)}
            _no_more_cells(path, file.metadata.num_rows, len(names))
            if texts and _unpacked_bytes(file.metadata) > MOST_UNPACKED:
                raise NoRunError(f"{path} unpacks to more than {MOST_UNPACKED:,} bytes, too large to be read at once.")
        with parquet.ParquetFile(path, memory_map=False, read_dictionary=sorted(texts)) as file:
            read = file.read(columns=names)
            read.validate(full=True)  # texts that are none too: pandas would come upon them later
            table: pd.DataFrame = read.to_pandas()
    except (pa.ArrowException, OSError) as error:  # it tells damage as either
        raise ValueError(str(error)) from error
    return table


def read_json(path: Path) -> Any:
    """What a file of JSON holds; of JSON lines, the objects: a line that is still being written is left out."""
    _no_larger(path, LARGEST_JSON)
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        return json.loads(text)
    except ValueError:
        return list(_objects(text))


def table_of_rows(path: Path, rows: Iterable[Any]) -> pd.DataFrame:
    """A table of objects, one row each; “nan” where one holds that, nothing where it has no such name."""
    import pandas as pd

    told = [{name: _kept(value) for name, value in row.items()} for row in rows if isinstance(row, dict)]
    _no_more_cells(path, len(told), len({name for row in told for name in row}))
    return pd.DataFrame(told)


def table_of_columns(path: Path, columns: Mapping[str, list[Any]]) -> pd.DataFrame:
    """A table of lists, one column each; “nan” where one holds that, nothing where a shorter one has ended."""
    import pandas as pd

    _no_more_cells(path, max(map(len, columns.values()), default=0), len(columns))
    return pd.DataFrame({name: pd.Series(list(map(_kept, values)), dtype=object) for name, values in columns.items()})


def _kept(value: Any) -> Any:
    """What a table would hold as a missing value, as a word."""
    return NAN if isinstance(value, float) and isnan(value) else value


def _objects(text: str) -> Iterable[Mapping[str, Any]]:
    for line in text.splitlines():
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(told, dict):
            yield told


def _fields(header: str, separator: str) -> list[str]:
    """The header's names, were this its separator."""
    try:
        return next(csv.reader([header], delimiter=separator), [])
    except csv.Error:
        return header.split(separator)


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    return any(is_one(kind) for is_one in (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean))


def _is_name(field: Any) -> bool:
    import pyarrow as pa

    return field.name.strip().lower() in TEXT_COLUMNS and (
        pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    )


def _unpacked_bytes(metadata: Any) -> int:
    # By groups of rows: looking at a single column's metadata ends the process where they are damaged (Arrow 26).
    return sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))


def _no_larger(path: Path, largest: int) -> None:
    if path.stat().st_size > largest:
        raise NoRunError(f"{path} is larger than {largest / 1e9:.1f} GB, too large to be read at once.")


def _no_more_cells(path: Path, rows: int, columns: int) -> None:
    if rows * columns > MOST_CELLS:
        raise NoRunError(f"{path}: a table of {rows:,} × {columns:,} is too large to be read at once.")
