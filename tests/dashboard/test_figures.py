"""What the run page's figures hold, as they are sent to the browser."""

import base64
import json
import time

import numpy as np
import pytest

from diagnose.dashboard import blackbox, curves, heatmaps, run_plots
from diagnose.dashboard.store import Store
from diagnose.dashboard.view import View
from diagnose.logs.writing import EventFile
from diagnose.signals import (
    LAYER_ACTIVATION_VARIANCE,
    LAYER_GRAD_NORM,
    LAYER_NONFINITE,
    LAYER_UPDATE_RATIO,
    LAYER_ZERO_FRACTION,
    LR_SHARPNESS,
    TRAIN_LOSS,
)

NAMES = ("stem", "middle", "head")


def _run(folder, layers=lambda step: {}, losses=None, names=NAMES):
    """The diagnosis of a run whose values at each step these functions give."""
    losses = 2.0 / (1 + np.arange(400)) if losses is None else losses
    told = {"schema": 1, "config": {}, "optimizer": {"type": "SGD", "groups": [{"lr": 0.1}]}}
    told["layers"] = [{"name": name, "type": "Linear", "parameters": 4} for name in names]
    with EventFile(folder / "run") as log:
        log.write_setup(json.dumps(told), time.time())
        for step, loss in enumerate(losses):
            log.write_step(step, time.time(), [(TRAIN_LOSS, float(loss))], layers(step))
    return Store(folder).entry("run").diagnosis


def _array(packed):
    """A packed array as the browser unpacks it."""
    flat = np.frombuffer(base64.b64decode(packed["bdata"]))
    return flat.reshape([int(size) for size in packed["shape"].split(",")]) if "shape" in packed else flat


def _map(diagnosis, plot):
    return heatmaps.figures(diagnosis.run, View(), dark=False, revision="")[plot]["data"]


def _ill_cells(data):
    """The cells that are marked as no number, as (row, column)."""
    return np.argwhere(_array(data[1]["z"]) == 1).tolist() if len(data) > 1 else []


@pytest.mark.parametrize("every", [10, 1])
def test_a_layer_that_does_not_run_at_every_step_leaves_a_gap_and_is_not_called_broken(tmp_path, every):
    def layers(step):
        if step % every:
            return {}
        variance = np.array([1, 2, 3 if step % (2 * every) else np.nan], np.float32)
        return {LAYER_ACTIVATION_VARIANCE: variance, LAYER_NONFINITE: variance * 0}

    data = _map(_run(tmp_path, layers, np.ones(900)), "layer-variance")
    assert len(data) == 1
    cells = _array(data[0]["customdata"])
    assert np.nanmax(cells[2]) == 3
    assert np.isnan(cells[2]).any() == (every == 10)  # a column of several steps shows those that it did run at


def test_activations_that_break_are_marked_where_they_were_counted(tmp_path):
    def layers(step):
        if step % 100:
            return {}
        variance = np.array([1, 2, np.nan if step >= 300 else 3], np.float32)
        return {LAYER_ACTIVATION_VARIANCE: variance, LAYER_NONFINITE: np.isnan(variance).astype(np.float32)}

    assert _ill_cells(_map(_run(tmp_path, layers), "layer-variance")) == [[2, 3]]


@pytest.mark.parametrize("signal", [LAYER_GRAD_NORM, LAYER_UPDATE_RATIO])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_gradients_and_updates_that_break_are_marked_without_a_count(tmp_path, signal, value):
    def layers(step):
        return {} if step % 100 else {signal: np.array([1, value if step == 200 else 2, 3], np.float32)}

    plot = next(plot for plot, name in heatmaps.SIGNALS.items() if name == signal)
    assert _ill_cells(_map(_run(tmp_path, layers), plot)) == [[1, 2]]


def test_values_that_stand_alone_between_nans_are_drawn_as_points(tmp_path):
    losses = np.where(np.arange(400) % 2, np.nan, 2.0)
    line, points, *_ = curves.figures(_run(tmp_path, losses=losses), View(), dark=False, revision="")["loss"]["data"]
    assert np.isnan(_array(line["y"])[1::2]).all()
    assert (points["mode"], len(_array(points["x"]))) == ("markers", 200)


def test_long_names_are_sent_once_and_not_for_every_cell(tmp_path):
    names = tuple(f"{'encoder.' * 3000}{number}" for number in range(20))
    gradients = {LAYER_GRAD_NORM: np.ones(20, np.float32)}
    diagnosis = _run(tmp_path, lambda step: gradients, names=names)
    drawn = heatmaps.figures(diagnosis.run, View(depth=24), dark=False, revision="")["layer-grad-norm"]
    assert len(json.dumps(drawn)) < 500_000
    assert {len(label) for label in drawn["layout"]["meta"]["labels"]} == {300}  # without the middle


def test_rows_that_a_map_has_no_room_for_are_told(tmp_path):
    names = tuple(f"layer{number}" for number in range(1000))
    gradients = {LAYER_GRAD_NORM: np.ones(1000, np.float32)}
    losses = np.where(np.arange(60) < 50, 2.0, np.nan)
    diagnosis = _run(tmp_path, lambda step: gradients, losses, names)
    view = View(depth=9)
    drawn = heatmaps.figures(diagnosis.run, view, dark=False, revision="")
    drawn |= blackbox.figures(diagnosis, view, dark=False)
    for plot in ("layer-grad-norm", "box-layers"):
        layout = drawn[plot]["layout"]
        assert len(layout["yaxis"]["ticktext"]) == 400
        assert layout["annotations"][0]["text"] == "The first 400 of 1,000 rows: group the layers to see all."


@pytest.mark.parametrize("how", ["auto", "51"])
def test_the_bold_line_does_not_lead_across_a_long_stretch_without_numbers(tmp_path, how):
    losses = 2 + np.random.default_rng(0).normal(size=4000)
    losses[1000], losses[2000:2150] = np.nan, np.nan
    drawn = curves.figures(_run(tmp_path, losses=losses), View(smooth=how), dark=False, revision="")["loss"]["data"]
    bold = next(trace for trace in drawn if trace["line"]["width"] == 2)
    gap = np.isnan(_array(bold["y"]))
    assert 2000 <= _array(bold["x"])[gap][0] <= 2150
    assert gap.sum() == 1


def test_a_whole_curve_has_no_points(tmp_path):
    drawn = curves.figures(_run(tmp_path), View(), dark=False, revision="")["loss"]["data"]
    assert {trace["mode"] for trace in drawn} == {"lines"}


def test_a_loss_over_three_hundred_decades_is_drawn_with_a_few_ticks(tmp_path):
    (tmp_path / "run").mkdir()
    rows = [f"{step},{loss}" for step, loss in enumerate(10.0 ** np.linspace(-10, 301, 400))]
    (tmp_path / "run" / "metrics.csv").write_text("\n".join(["step,loss", *rows]))
    diagnosis = Store(tmp_path).entry("run").diagnosis
    axis = curves.figures(diagnosis, View(), dark=False, revision="")["loss"]["layout"]["yaxis"]
    assert (axis["type"], axis["dtick"]) == ("log", 39)


def test_a_plot_that_cannot_be_drawn_says_so_in_its_place_and_hides_no_other(tmp_path, monkeypatch):
    def failing(*_, **__):
        raise ZeroDivisionError("no <width>")

    gradients = {LAYER_GRAD_NORM: np.ones(3, np.float32)}
    diagnosis = _run(tmp_path, lambda step: gradients)
    monkeypatch.setattr(curves, "traces", failing)
    drawn = run_plots._figures(Store(tmp_path).entry("run"), diagnosis, View(), dark=False)
    assert drawn["loss"]["layout"]["annotations"][0]["text"].endswith("ZeroDivisionError: no &lt;width&gt;")
    assert drawn["layer-grad-norm"]["data"]


@pytest.mark.parametrize(("share", "ends"), [(0.0, (0, 1)), (0.5, (0, 0.5))])
def test_a_map_of_one_value_has_no_scale_below_zero(tmp_path, share, ends):
    zeros = np.full(3, share, np.float32)
    coloured = _map(_run(tmp_path, lambda _: {LAYER_ZERO_FRACTION: zeros}), "layer-zeros")[0]
    assert (coloured["zmin"], coloured["zmax"]) == ends


def test_a_window_that_begins_before_the_steps_shown_has_its_name_within_them(tmp_path):
    losses = np.where(np.arange(400) < 200, 2.0, np.minimum(2.0 * np.exp((np.arange(400) - 200) / 10), 80))
    diagnosis = _run(tmp_path, losses=losses)
    (first, last) = next(found.window for found in diagnosis.findings if found.id == "divergence")

    def named_at(window):
        drawn = curves.figures(diagnosis, View(window=window), dark=False, revision="")["loss"]["layout"]
        return next(name["x"] for name in drawn["annotations"] if "Divergence" in name["text"])

    assert named_at(None) == first
    assert named_at((last - 5, last)) == last - 5 > first
    assert named_at((0, 100)) == first
    assert named_at(None) == first  # a zoom leaves nothing behind


def test_the_curvature_is_drawn_against_the_height_below_which_it_is_stable(tmp_path):
    def with_sharpness(folder, momentum):
        told = {"schema": 1, "optimizer": {"type": "SGD", "groups": [{"lr": 0.1, "momentum": momentum}]}}
        with EventFile(folder / "run") as log:
            log.write_setup(json.dumps(told), time.time())
            for step in range(50):
                log.write_step(step, time.time(), [(TRAIN_LOSS, 2.0 / (1 + step)), (LR_SHARPNESS, 1.5)], {})
        diagnosis = Store(folder).entry("run").diagnosis
        return curves.figures(diagnosis, View(), dark=False, revision="")["curvature"]["data"]

    for momentum, height in ((0.0, 2.0), (0.9, 3.8)):
        *_, level = with_sharpness(tmp_path / str(momentum), momentum)
        assert level["name"] == f"stable below {height:g}"
        assert _array(level["y"]).tolist() == pytest.approx([height, height])
