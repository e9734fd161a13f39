"""Figures: bounded, complete in what matters, and marked with what was found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import diagnose
from diagnose.diagnosis import Diagnosis
from diagnose.findings import Severity
from diagnose.reports import figures
from diagnose.reports.titles import title_of
from diagnose.run import LayerSeries, Run, Series


def series(values) -> Series:
    return Series(np.arange(1, len(values) + 1), np.asarray(values, float), np.zeros(len(values)))


def diagnosis_of(**signals) -> Diagnosis:
    return Diagnosis(Run("r", scalars={name: series(values) for name, values in signals.items()}))


@given(st.integers(1, 30_000), st.integers(0, 2**32 - 1))
def test_a_thinned_curve_is_short_and_keeps_its_ends_and_extremes(length, seed):
    values = np.random.default_rng(seed).normal(size=length)
    thin = figures.thinned(series(values))
    assert len(thin) <= figures.MOST_POINTS + 4
    assert thin.values.min() == values.min() and thin.values.max() == values.max()
    assert thin.steps[0] == 1 and thin.steps[-1] == length
    assert (np.diff(thin.steps) > 0).all()


def test_a_million_steps_are_drawn_from_a_few_thousand_points():
    figure = figures.loss_figure(diagnosis_of(**{"loss/train": np.random.default_rng(0).lognormal(size=1_000_000)}))
    assert sum(len(trace.x) for trace in figure.data) < 5_000


def test_the_axis_is_logarithmic_where_values_span_decades_and_are_positive():
    wide = np.geomspace(1, 1e-4, 100)
    assert figures.loss_figure(diagnosis_of(**{"loss/train": wide})).layout.yaxis.type == "log"
    assert figures.loss_figure(diagnosis_of(**{"loss/train": wide - 0.5})).layout.yaxis.type is None
    assert figures.loss_figure(diagnosis_of(**{"loss/train": np.linspace(2, 1, 100)})).layout.yaxis.type is None


def test_a_nan_is_marked_where_the_line_has_a_hole():
    values = np.linspace(2, 1, 100)
    values[60:] = np.nan
    crosses = [t for t in figures.loss_figure(diagnosis_of(**{"loss/train": values})).data if t.mode == "markers"]
    assert min(crosses[0].x) == 61 and "NaN" in crosses[0].name


def test_each_symptom_has_its_window_and_name_on_the_curve(demo_runs):
    diagnosis = diagnose.examine(demo_runs["overfitting"])
    figure = figures.loss_figure(diagnosis)
    loud = [f for f in diagnosis.findings if f.kind == "symptom" and f.severity is not Severity.INFO]
    assert "overfitting" in {finding.id for finding in loud}
    for finding in loud:
        assert any((shape.x0, shape.x1) == finding.window for shape in figure.layout.shapes)
        assert any(title_of(finding) in note.text for note in figure.layout.annotations)


def test_names_that_the_run_does_not_have_are_left_out():
    assert figures.signal_figure(diagnosis_of(a=[1, 2]), ["a", "b"]).data[0].name == "a"
    assert len(figures.signal_figure(diagnosis_of(), ["a"]).data) == 0


@pytest.mark.parametrize(
    "values", [np.zeros((5, 3)), np.full((5, 3), np.nan), np.full((2000, 900), 1.0), np.ones((1, 1))]
)
def test_a_heat_map_of_anything_is_drawn_within_bounds(values):
    run = Run("r", layer_signals={"layers/x": LayerSeries(np.arange(len(values)), values.astype("f4"))})
    figure = figures.layer_heatmap(Diagnosis(run), "layers/x")
    assert np.size(figure.data[0].z) <= figures.MOST_ROWS * figures.MOST_COLUMNS
    figures.themed(figure, dark=True).to_json()


@pytest.mark.parametrize("dark", [True, False])
def test_a_theme_leaves_the_data_as_it_is(demo_runs, dark):
    figure = figures.loss_figure(diagnose.examine(demo_runs["diverging"]))
    before = [np.array(trace.y) for trace in figure.data]
    after = [np.array(trace.y) for trace in figures.themed(figure, dark=dark).data]
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize(
    ("values", "scale"),
    [(np.array([[-1.0, 2.0]]), "PuOr"), (np.array([[0.0, 0.5]]), "Cividis"), (np.array([[1e-9, 1.0]]), "Cividis")],
)
def test_a_heat_map_shows_every_value_that_it_has(values, scale):
    run = Run("r", layer_signals={"layers/x": LayerSeries(np.array([1]), values.astype("f4"))})
    trace = figures.layer_heatmap(Diagnosis(run), "layers/x").data[0]
    assert np.isfinite(np.array(trace.z)).all()
    assert (trace.colorscale[0][1] == "rgb(127,59,8)") is (scale == "PuOr")
