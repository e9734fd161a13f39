"""The page of the command line, from the parser itself."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from diagnose.cli import command_line
from generators.prose import prose, table

PAGE = "command-line.md"
INTRO = (
    "Exit codes of every command: 0 healthy, 1 where a finding reaches `--fail-on`, 2 bad usage, unreadable input or "
    "an output that cannot be written, 130 interrupted. So CI can gate on a run's health."
)


def pages() -> Iterator[tuple[str, str]]:
    """The one page."""
    commands = next(each for each in command_line()._actions if isinstance(each, argparse._SubParsersAction))  # noqa: SLF001  argparse has no public way
    helps = {each.dest: each.help or "" for each in commands._choices_actions}  # noqa: SLF001
    blocks = ["# The command line", INTRO]
    for name, parser in commands.choices.items():
        blocks += [f"## diagnose {name} {{ #{name} }}", prose(_sentence(helps[name]), PAGE), _usage(parser)]
        blocks += _arguments(parser)
    yield PAGE, "\n\n".join(blocks) + "\n"


def _usage(parser: argparse.ArgumentParser) -> str:
    usage = parser.format_usage().removeprefix("usage: ")
    return f"```text\n{usage.strip()}\n```"


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    rows = [
        (_named(action), prose(_described(action), PAGE))
        for action in parser._actions  # noqa: SLF001
        if action.help != argparse.SUPPRESS and not isinstance(action, argparse._HelpAction)  # noqa: SLF001
    ]
    if rows:
        yield table(("argument", "what it does"), rows)


def _named(action: argparse.Action) -> str:
    value = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if not action.option_strings:
        return f"`{value}`"
    flags = ", ".join(f"`{flag}`" for flag in action.option_strings)
    return flags if action.nargs == 0 or action.choices else f"{flags} `{value}`"


def _described(action: argparse.Action) -> str:
    told = [action.help] if action.help else []
    if action.choices:
        told.append(f"one of {', '.join(map(str, action.choices))}")
    if action.default not in {None, argparse.SUPPRESS, False} and str(action.default) not in (action.help or ""):
        told.append(f"default {action.default}")
    return "; ".join(told)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('…') else '.'}"
