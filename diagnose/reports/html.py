"""A diagnosis as one self-contained HTML page, and as a fragment for notebooks.

The page brings its plotting script along and asks no other host for anything. Whatever comes from
the log is escaped: by the template, in the figures' labels, and in the figures' JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from diagnose.diagnosis import Diagnosis
from diagnose.findings import Severity
from diagnose.logs.printable import printable
from diagnose.reports.headline import headline, verdict, without_changes
from diagnose.reports.moves import moves_of
from diagnose.reports.numbers import percent, shown
from diagnose.reports.titles import layers_of, title_of
from diagnose.reports.weighing import weighing
from diagnose.run import LayerSeries, Run, Series, Setup
from diagnose.signals import SIGNALS, TRAIN_LOSS, VALIDATION_LOSS

CURVE_HEIGHT, LOSS_HEIGHT = 240, 380  # pixels
ROW_HEIGHT, HEATMAP_FRAME = 22, 90  # pixels of a heat map's layer, and around the map
MOST_HEATMAPS = 20  # a page with more takes long to open, and nobody looks at them all
MOST_SIGNALS = 30  # in a notebook
LOWEST_HEATMAP, TALLEST_HEATMAP = 190, 900  # lower, and the colour scale's numbers run into each other


@dataclass(frozen=True)
class Plot:
    """A figure in light, and what is different in dark, as JSON that may stand inside a script element."""

    id: str
    title: str
    height: int
    light: Markup
    dark: Markup


def as_html(diagnosis: Diagnosis) -> str:
    """The whole page."""
    setup = diagnosis.run.setup
    page: str = _template("report.html.jinja").render(
        **_facts(diagnosis),
        css=Markup(_text("report.css")),  # noqa: S704  our own file
        plotly_js=Markup(_plotly_js()),  # noqa: S704  the installed library's own file
        loss=_loss_plot(diagnosis),
        curves=list(_curve_plots(diagnosis)),
        heatmaps=list(_heatmaps(diagnosis)),
        undrawn=list(_undrawn(diagnosis.run)),
        kind=[str(part["type"]) for part in (setup.model, setup.optimizer) if part.get("type")],
        setup=list(_setup(setup)),
        model=_named("Model", setup.model),
        layers=setup.layers,
    )
    return page


def as_notebook_html(diagnosis: Diagnosis) -> str:
    """A fragment without scripts or plots: verdict, findings, causes and changes."""
    fragment: str = _template("notebook.html.jinja").render(**_facts(diagnosis))
    return fragment


def run_as_notebook_html(run: Run) -> str:
    """A fragment without scripts: what the run is, and its signals with their first and last values."""
    told = [f"{part}: {about['type']}" for part, about in _parts(run.setup) if about.get("type")]
    signals = [(name, len(series), *_ends(series)) for name in run.names if (series := run.scalar(name)) is not None]
    fragment: str = _template("notebook_run.html.jinja").render(
        run=run, path=printable(run.path), told=told, signals=signals[:MOST_SIGNALS], layers=_layer_signals(run),
        more=max(0, len(signals) - MOST_SIGNALS),
    )  # fmt: skip
    return fragment


def _parts(setup: Setup) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    return ("model", setup.model), ("optimizer", setup.optimizer), ("scheduler", setup.scheduler)


def _ends(series: Series) -> tuple[float, float]:
    return float(series.values[0]), float(series.values[-1])


def _facts(diagnosis: Diagnosis) -> dict[str, Any]:
    return {
        "diagnosis": diagnosis,
        "run": diagnosis.run,
        "path": printable(diagnosis.run.path),
        "instead": without_changes(diagnosis),
        "verdict": verdict(diagnosis),
        "headline": headline(diagnosis),
        "ill": [f for f in diagnosis.findings if f.severity is not Severity.INFO],
        "known": [f for f in diagnosis.findings if f.severity is Severity.INFO],
        "moves": moves_of(diagnosis.prescription),
        "weighing": weighing(diagnosis.causes),
    }


def _setup(setup: Setup) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """Each part of the set-up that the log holds: its title and its tables."""
    yield "Config", [setup.config]
    groups = setup.optimizer.get("groups")
    tables = [group for group in groups if isinstance(group, Mapping)] if isinstance(groups, list) else []
    yield _named("Optimizer", setup.optimizer), tables
    yield _named("Scheduler", setup.scheduler), [setup.scheduler]
    yield "Environment", [setup.environment]


def _named(part: str, told: Mapping[str, Any]) -> str:
    return f"{part}: {told['type']}" if "type" in told else part


def _loss_plot(diagnosis: Diagnosis) -> Plot:
    from diagnose.reports.figures import loss_figure

    return _plot("loss", "Loss", LOSS_HEIGHT, loss_figure(diagnosis))


def _curve_plots(diagnosis: Diagnosis) -> Iterator[Plot]:
    """Every other scalar that we know, one panel per family (all groups' learning rates together)."""
    from diagnose.reports.figures import signal_figure

    families: dict[str, list[str]] = {}
    for name in diagnosis.run.names:
        if name not in {TRAIN_LOSS, VALIDATION_LOSS} and diagnosis.run.scalar(name) is not None:
            families.setdefault(name.partition("/")[0], []).append(name)
    for family, names in families.items():
        title = {"lr": "Learning rate", "grad_norm": "Gradient norm"}.get(family, family.replace("_", " ").capitalize())
        yield _plot(f"curve-{family}", title, CURVE_HEIGHT, signal_figure(diagnosis, names))


def _heatmaps(diagnosis: Diagnosis) -> Iterator[Plot]:
    from diagnose.reports.figures import layer_heatmap

    for number, (name, series) in enumerate(_layer_signals(diagnosis.run)[:MOST_HEATMAPS]):
        if (series.values > 0).any():
            rows = HEATMAP_FRAME + ROW_HEIGHT * series.values.shape[1]
            height = max(LOWEST_HEATMAP, min(TALLEST_HEATMAP, rows))
            yield _plot(f"map-{number}", _meaning(name), height, layer_heatmap(diagnosis, name))


def _undrawn(run: Run) -> Iterator[str]:
    """What is said in place of a heat map that would be empty, because its powers of ten need values over 0."""
    signals = _layer_signals(run)
    for name, series in signals[:MOST_HEATMAPS]:
        if not (series.values > 0).any():
            yield f"{_meaning(name)}: {'never above 0' if (series.values <= 0).any() else 'no value in the log'}."
    if len(signals) > MOST_HEATMAPS:
        yield f"{len(signals) - MOST_HEATMAPS:,} more signals with a value per layer are not drawn."


def _layer_signals(run: Run) -> list[tuple[str, LayerSeries]]:
    """Those that we know first, then whatever else holds a vector."""
    names = sorted(run.layer_signals, key=lambda name: (name not in SIGNALS, name))
    return [(name, series) for name in names if (series := run.per_layer(name)) is not None]


def _meaning(name: str) -> str:
    meaning = SIGNALS[name].meaning if name in SIGNALS else name
    return meaning[:1].upper() + meaning[1:]


def _plot(identity: str, title: str, height: int, figure: Any) -> Plot:
    from diagnose.reports.figures import themed

    # Light first: the dark theme changes colours that the light one leaves as they are.
    light, dark = (json.loads(themed(figure, dark=dark).to_json()) for dark in (False, True))
    above = int(figure.layout.margin.t or 0)  # the findings' names: they must not eat up the panel
    return Plot(identity, title, height + above, _script_json(light), _script_json(_differing(light, dark)))


def _differing(light: dict[str, Any], dark: dict[str, Any]) -> dict[str, Any]:
    """The dark figure without what its traces share with the light one: the values need not be there twice."""
    traces = [
        {name: value for name, value in trace.items() if value != shared.get(name)}
        for shared, trace in zip(light["data"], dark["data"], strict=True)
    ]
    return {"data": traces, "layout": dark["layout"]}


def _script_json(figure: dict[str, Any]) -> Markup:
    """JSON that cannot end the script element it stands in."""
    harmless = (
        json.dumps(figure, separators=(",", ":"))
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("&", "\\u0026")
    )
    return Markup(harmless)  # noqa: S704  made harmless here


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("diagnose.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": shown, "percent": percent, "title_of": title_of, "layers_of": layers_of}
    return environment


def _template(name: str) -> Any:
    return _environment().get_template(name)


def _text(name: str) -> str:
    return files("diagnose.reports").joinpath(name).read_text(encoding="utf-8")


@cache
def _plotly_js() -> str:
    from plotly.offline import get_plotlyjs

    script: str = get_plotlyjs()
    return script.replace("</script", "<\\/script")
