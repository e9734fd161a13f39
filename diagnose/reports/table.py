"""Many runs as a table: in the terminal, as JSON lines, CSV or Parquet."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from diagnose.errors import DiagnoseError
from diagnose.logs.printable import printable

if TYPE_CHECKING:
    import pandas as pd

    from diagnose.scanning import Verdict

COLOURS = {"healthy": "green", "info": "blue", "warning": "yellow", "critical": "red", "unreadable": "magenta"}

WIDTH = 200  # of a table that goes into a file or a pipe

One = TypeVar("One")


def progress(things: Iterable[One], total: int) -> Iterator[One]:
    """The things as they come, with a bar on the terminal's error stream."""
    from rich.console import Console
    from rich.progress import track

    yield from track(things, "examining", total=total, console=Console(stderr=True), transient=True)


def deliver_verdicts(verdicts: Sequence[Verdict], root: str, style: str, output: Path | None) -> None:
    """Print the verdicts on runs below `root`, or write them to `output`; raises `DiagnoseError` where that fails."""
    if output is None:
        sys.stdout.write(_text(verdicts, root, style, terminal=sys.stdout.isatty()))
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        if style == "parquet":
            _frame(verdicts).to_parquet(output, index=False)
        else:
            output.write_text(_text(verdicts, root, style, terminal=False), encoding="utf-8")
    except ImportError as error:
        raise DiagnoseError(f"--format parquet needs the package {error.name or 'pyarrow'}.") from error
    except OSError as error:
        raise DiagnoseError(f"The table cannot be written to {output} ({error.strerror}).") from error


def _text(verdicts: Sequence[Verdict], root: str, style: str, *, terminal: bool) -> str:
    if style == "jsonl":
        return "".join(json.dumps(printable(asdict(verdict))) + "\n" for verdict in verdicts)
    if style == "csv":
        table: str = _frame(verdicts).to_csv(index=False)
        return table
    return _table(verdicts, root, terminal=terminal)


def _frame(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    import pandas as pd

    from diagnose.scanning import Verdict

    columns = list(Verdict.__dataclass_fields__)
    return pd.DataFrame([printable(asdict(verdict)) for verdict in verdicts], columns=columns)


def _table(verdicts: Sequence[Verdict], root: str, *, terminal: bool) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("run", overflow="fold", min_width=30)
    for heading in ("health", "steps", "worst finding", "likeliest cause", "lr"):
        table.add_column(heading, justify="right" if heading in {"steps", "lr"} else "left", overflow="fold")
    for verdict in verdicts:
        cause = f"{verdict.likeliest_cause} ({verdict.probability:.0%})" if verdict.probability is not None else ""
        table.add_row(
            Text(printable(_below(verdict.run, root))),
            Text(verdict.health, COLOURS[verdict.health]),
            f"{verdict.steps:,}" if verdict.health != "unreadable" else "",
            Text(verdict.worst_finding or verdict.error),
            cause,
            f"{verdict.lr:.3g}" if verdict.lr is not None else "",
        )
    console = Console(file=io.StringIO(), width=None if terminal else WIDTH, force_terminal=terminal)
    console.print(table)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def _below(run: str, root: str) -> str:
    try:
        return str(Path(run).relative_to(root))
    except ValueError:
        return run
