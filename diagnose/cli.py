"""The command `diagnose`: report, compare, what-if, explain, scan, dashboard and demo.

Exit codes: 0 healthy, 1 findings at or above `--fail-on`, 2 bad usage, unreadable input or an output that
cannot be written, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from diagnose import __version__
from diagnose.commands import compare, what_if
from diagnose.diagnosis import Diagnosis
from diagnose.errors import DiagnoseError
from diagnose.examination import examine
from diagnose.findings import Severity
from diagnose.logs.printable import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

HEALTHY, ILL, UNUSABLE, INTERRUPTED = 0, 1, 2, 130
RANKS = ("info", "warning", "critical")
FAIL_ON = (*RANKS, "never")
ENGINES = ("local", "dask", "ray")
DEFAULT_PORT = 8050


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = command_line().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without “→” shows “?”
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        _leave_the_pipe()
        return HEALTHY
    except (DiagnoseError, OSError) as error:
        print(f"diagnose: {printable(str(error))}", file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return INTERRUPTED
    return code


def _leave_the_pipe() -> None:
    """Whoever read us (`… | head`) has gone: the interpreter's last flush must not fail on it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def command_line() -> argparse.ArgumentParser:
    """What the command understands; the manual shows it too."""
    parser = argparse.ArgumentParser(prog="diagnose", description="A doctor for PyTorch training runs.")
    parser.add_argument("--version", action="version", version=f"diagnose {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    report = commands.add_parser("report", help="say what is wrong with a run and what to change")
    report.add_argument("run_path", metavar="RUN", help="a run's directory or an event file, or its URL")
    report.add_argument("--format", choices=("text", "md", "html", "json"), default="text")
    report.add_argument("-o", "--output", metavar="FILE", type=Path, help="write there instead of to the terminal")
    report.add_argument("--fail-on", choices=FAIL_ON, default="critical", help="severity from which the exit code is 1")
    report.set_defaults(run=_report)

    explain = commands.add_parser("explain", help="show the manual page of a symptom, cause, remedy, …")
    explain.add_argument("id", metavar="ID", nargs="?", help="such as divergence, lr_too_high or K20; all ids without")
    explain.set_defaults(run=_explain)

    compare.add(commands)
    what_if.add(commands)

    scan = commands.add_parser("scan", help="examine all runs below a folder, and say what they have in common")
    scan.add_argument("root", metavar="ROOT", help="a folder, or its URL (s3://bucket/runs)")
    scan.add_argument("--jobs", type=int, default=-1, help="processes on this machine; −1 for one on each core (−1)")
    scan.add_argument("--engine", choices=ENGINES, default="local", help="or an existing cluster to work on")
    scan.add_argument("--format", choices=("table", "jsonl", "csv", "parquet"), default="table")
    scan.add_argument("-o", "--output", metavar="FILE", type=Path, help="write there instead of to the terminal")
    scan.add_argument("--no-cache", action="store_true", help="examine again what has not changed since the last scan")
    scan.add_argument("--fail-on", choices=FAIL_ON, default="never", help="severity from which the exit code is 1")
    scan.set_defaults(run=_scan)

    dashboard = commands.add_parser("dashboard", help="serve the dashboard on a folder of runs")
    dashboard.add_argument("root", metavar="ROOT")
    _add_address(dashboard)
    dashboard.set_defaults(run=_dashboard)

    demo = commands.add_parser("demo", help="train four small runs, diagnose them and serve the dashboard on them")
    demo.add_argument(
        "root", metavar="ROOT", type=Path, nargs="?", default=Path("demo"), help="folder of the runs (demo)"
    )
    demo.add_argument("--no-serve", action="store_true", help="stop after the reports")
    _add_address(demo)
    demo.set_defaults(run=_demo)
    return parser


def _add_address(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host", default="127.0.0.1", help="any other than 127.0.0.1 asks for a token, which is printed"
    )
    parser.add_argument(
        "--prefix",
        metavar="PATH",
        help="/ or /diagnose/ behind a proxy, or the whole address people open there; asks for a token",
    )
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"0 picks a free one ({DEFAULT_PORT})")


def _report(options: argparse.Namespace) -> int:
    diagnosis = examine(options.run_path)
    try:
        if options.output is None and options.format == "text":
            from diagnose.reports.text import print_report

            print_report(diagnosis, _console())
        else:
            _deliver(_rendered(diagnosis, options.format), options.output)
        sys.stdout.flush()
    except BrokenPipeError:  # `diagnose report … | head`: the run's health is the same
        _leave_the_pipe()
    return _exit_code(diagnosis, options.fail_on)


def _console() -> Console:
    """A console that leaves the exit code alone where nobody reads on."""
    from rich.console import Console

    class Patient(Console):
        def on_broken_pipe(self) -> None:
            _leave_the_pipe()

    return Patient()


def _rendered(diagnosis: Diagnosis, style: str) -> str:
    if style == "md":
        return diagnosis.to_markdown()
    if style == "html":
        return diagnosis.to_html()
    if style == "json":
        return diagnosis.to_json()
    from diagnose.reports.text import as_text

    return as_text(diagnosis)


def _deliver(text: str, output: Path | None) -> None:
    if output is None:
        print(text)
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DiagnoseError(f"The report cannot be written to {output} ({error.strerror}).") from error


def _exit_code(diagnosis: Diagnosis, fail_on: str) -> int:
    if fail_on == "never" or diagnosis.worst is None:
        return HEALTHY
    return ILL if diagnosis.worst.rank >= Severity(fail_on).rank else HEALTHY


def _scan(options: argparse.Namespace) -> int:
    from diagnose.logs.verdicts import Verdicts
    from diagnose.reports.table import deliver_verdicts, progress
    from diagnose.scanning import in_common, runs_below, scan

    if options.format == "parquet" and options.output is None:
        raise DiagnoseError("Parquet is no text for a terminal: name a file with -o.")
    paths = runs_below(options.root)
    if options.no_cache:
        os.environ["DIAGNOSE_CACHE"] = "off"  # nor what was read of the files
    known = None if options.no_cache else Verdicts()
    scanned = scan(paths, known, jobs=options.jobs, engine=options.engine, links_within=options.root)
    verdicts = list(progress(scanned, len(paths)))
    verdicts.sort(key=lambda verdict: verdict.run)
    deliver_verdicts(verdicts, options.root, options.format, options.output)
    for sentence in in_common(verdicts):
        print(sentence, file=sys.stderr if options.format != "table" and options.output is None else sys.stdout)
    if known is not None:
        known.close()
    if verdicts and all(verdict.health == "unreadable" for verdict in verdicts):
        return UNUSABLE
    worst = max((RANKS.index(verdict.health) for verdict in verdicts if verdict.health in RANKS), default=-1)
    return ILL if options.fail_on != "never" and worst >= RANKS.index(options.fail_on) else HEALTHY


def _explain(options: argparse.Namespace) -> int:
    from diagnose import explaining
    from diagnose.reports.explanation import WIDTH, as_text, index_as_text

    width = shutil.get_terminal_size((WIDTH, 0)).columns
    if options.id is None:
        print(index_as_text([page for kind in explaining.ids() for page in explaining.pages(kind)], width))
    else:
        print(as_text(explaining.explain(options.id), width))
    return HEALTHY


def _dashboard(options: argparse.Namespace) -> int:
    from diagnose.dashboard.server import serve

    if "://" in str(options.root):
        raise DiagnoseError("The dashboard reads folders of this machine: copy the runs here, or use `diagnose scan`.")

    with contextlib.suppress(KeyboardInterrupt):  # the way to end it
        serve(options.root, host=options.host, port=options.port, prefix=options.prefix)
    return HEALTHY


def _demo(options: argparse.Namespace) -> int:
    from diagnose.reports.text import print_report

    console = _console()
    root = _fresh_folder(options.root)
    for directory in _trained(root, console):
        diagnosis = examine(directory)
        print_report(diagnosis, console)
        page = directory / "report.html"
        _deliver(diagnosis.to_html(), page)
        console.print(f"  The same with its curves: {page}\n", highlight=False, markup=False)
    return HEALTHY if options.no_serve else _dashboard(argparse.Namespace(**{**vars(options), "root": root}))


def _trained(root: Path, console: Console) -> list[Path]:
    """Train the demo's runs with a progress bar each."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    import diagnose

    columns = (TextColumn("{task.description:<24}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def show(name: str, share: float) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(f"training {name}", total=1.0)
            bars.update(tasks[name], completed=share)

        return list(diagnose.train_demo_runs(root, show))


def _fresh_folder(root: Path) -> Path:
    """The folder itself, or one with a number behind: an earlier demo is never written over."""
    folder, number = root, 2
    while folder.exists():
        folder = root.with_name(f"{root.name}-{number}")
        number += 1
    return folder


if __name__ == "__main__":
    sys.exit(main())
