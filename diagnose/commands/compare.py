"""`diagnose compare`: two runs side by side."""

from __future__ import annotations

import argparse
import json


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("compare", help="say what differs between two runs, and what explains it")
    parser.add_argument("run_a", metavar="A", help="a run's directory or an event file, or its URL")
    parser.add_argument("run_b", metavar="B", help="the run to compare it with")
    parser.add_argument("--format", choices=("text", "md", "json"), default="text")
    parser.add_argument(
        "--fail-on-worse", action="store_true", help="exit with 1 where B is worse than A beyond chance"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from rich.console import Console

    from diagnose.comparing import compare
    from diagnose.reports.comparison import print_comparison

    comparison = compare(options.run_a, options.run_b)
    if options.format == "json":
        print(json.dumps(comparison.to_dict(), indent=2, ensure_ascii=False))
    elif options.format == "md":
        print(comparison.to_markdown(), end="")
    else:
        print_comparison(comparison, Console())
    return 1 if options.fail_on_worse and comparison.worse == "b" else 0
