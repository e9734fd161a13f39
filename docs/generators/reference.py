"""The page of the Python interface: signatures and docstrings, read by griffe without running anything."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import griffe

from generators.prose import prose

PAGE: Final = "reference.md"
ROOT: Final = Path(__file__).parents[2]
INTRO: Final = "What is listed here is public; everything else may change without notice."
FAMILIES: Final = {  # heading -> names, in the order in which one meets them
    "Watching a training": ("attach", "Monitor", "Cadence"),
    "Reading and examining": ("load", "find_runs", "examine", "Run", "Diagnosis", "Finding", "Severity"),
    "Changing settings": ("what_if", "compare", "Comparison", "treat", "Treatment"),
    "Experiments": ("lr_range_test", "loss_landscape", "temperature_scaling"),
    "Errors": ("DiagnoseError", "InvalidArgumentError", "NoRunError", "TrainingHalted"),
}
MODULES: Final = {  # heading -> modules whose public functions are listed
    "Handing over to a search": (
        "handover", "handover.optuna_study", "handover.hyperopt_space", "handover.ray_tune", "handover.wandb_sweep",
        "handover.hydra_overrides", "handover.plain_json",
    ),
    "Schedules, averaging, diffusion": ("averaging", "diffusion"),
    "Inside a notebook": ("dashboard.notebook",),
}  # fmt: skip


def pages() -> Iterator[tuple[str, str]]:
    """The one page. A public name that has no family yet stands under "Others"."""
    package = griffe.load("diagnose", search_paths=[ROOT], allow_inspection=False)
    if not isinstance(package, griffe.Module):
        raise TypeError("diagnose is no package.")
    placed = {name for names in FAMILIES.values() for name in names}
    others = tuple(sorted({str(name) for name in package.exports or ()} - placed))
    blocks = ["# Python", INTRO]
    for heading, names in (*FAMILIES.items(), *([("Others", others)] if others else [])):
        blocks.append(f"## {heading}")
        for name in names:
            blocks += _described(_target(package[name]), f"diagnose.{name}")
    for heading, modules in MODULES.items():
        blocks.append(f"## {heading}")
        for module in modules:
            blocks += _module(package[module], f"diagnose.{module}")
    yield PAGE, "\n\n".join(blocks) + "\n"


def _target(item: griffe.Object | griffe.Alias) -> griffe.Object | griffe.Alias:
    return item.final_target if isinstance(item, griffe.Alias) else item


def _described(item: griffe.Object | griffe.Alias, name: str) -> Iterator[str]:
    yield f"### `{name}` {{ #{name.rpartition('.')[2]} }}"
    if isinstance(item, griffe.Class):
        if any(
            base.name in {"NamedTuple", "Enum", "StrEnum"} for base in item.bases if hasattr(base, "name")
        ) or item.labels & {"dataclass"}:
            yield from _fields(item)
        yield from _docstring(item)
        for member in item.members.values():
            if not member.name.startswith("_") and not member.is_attribute and member.docstring:
                yield _signature(member, f"{item.name}.{member.name}")
                yield from _docstring(member)
            elif "property" in member.labels and not member.name.startswith("_") and member.docstring:
                yield f"**`{item.name}.{member.name}`**: {prose(_text(member), PAGE)}"
    else:
        yield _signature(item, name)
        yield from _docstring(item)


def _module(module: griffe.Object | griffe.Alias, name: str) -> Iterator[str]:
    """A module's docstring and its public functions."""
    yield f"### `{name}` {{ #{name.removeprefix('diagnose.').replace('.', '-')} }}"
    yield from _docstring(module)
    for member in module.members.values():
        item = _target(member) if member.is_alias and member.name in (module.exports or ()) else member
        if not item.is_alias and item.is_function and not item.name.startswith("_"):
            yield _signature(item, item.name)
            yield from _docstring(item)


def _fields(item: griffe.Class) -> Iterator[str]:
    lines = [
        f"    {field.name}: {field.annotation}" if field.annotation else f"    {field.name} = {field.value}"
        for field in item.members.values()
        if isinstance(field, griffe.Attribute) and not field.name.startswith("_") and "property" not in field.labels
    ]
    if lines:
        yield "\n".join(("```python", f"class {item.name}:", *lines, "```"))


def _signature(item: griffe.Object | griffe.Alias, name: str) -> str:
    """The signature, one parameter a line where it is long."""
    if not isinstance(item, griffe.Function):
        return f"**`{name}`**"
    given = list(_parameters(item))
    returns = f" -> {item.returns}" if item.returns else ""
    line = f"{name}({', '.join(given)}){returns}"
    if len(line) > 88:
        line = "\n".join((f"{name}(", *(f"    {each}," for each in given), f"){returns}"))
    return f"```python\n{line}\n```"


def _parameters(item: griffe.Function) -> Iterator[str]:
    keyword_only = False
    for each in item.parameters:
        if each.name in {"self", "cls"}:
            continue
        kind = each.kind or griffe.ParameterKind.positional_or_keyword
        if kind is griffe.ParameterKind.keyword_only and not keyword_only:
            keyword_only = True
            yield "*"
        stars = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}.get(kind, "")
        told = f"{stars}{each.name}" + (f": {each.annotation}" if each.annotation else "")
        equals = " = " if each.annotation else "="
        yield told + (f"{equals}{each.default}" if each.default is not None and not stars else "")


def _docstring(item: griffe.Object | griffe.Alias) -> Iterator[str]:
    for block in inspect.cleandoc(item.docstring.value if item.docstring else "").split("\n\n"):
        if block.strip():
            yield prose(" ".join(block.split()), PAGE)


def _text(item: griffe.Object | griffe.Alias) -> str:
    return " ".join((item.docstring.value if item.docstring else "").split())
