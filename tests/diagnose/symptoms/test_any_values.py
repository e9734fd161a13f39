"""Whatever the signals hold, symptoms neither crash nor speak on a few values, nor care for units."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnose import signals, symptoms
from diagnose.diagnosis import Diagnosis
from diagnose.findings import Severity
from diagnose.reports.json import as_json
from diagnose.run import Layer, LayerSeries, Run, Series, Setup

number = st.floats(width=32) | st.sampled_from([0.0, 1.0, -1.0, math.nan, math.inf, 1e-30, 1e30])
ACTIVATIONS = ("", "ReLU", "Tanh")


def run_of(scalars, vectors, optimizer="SGD"):
    layers = tuple(Layer(str(i), "Linear", i, activation=ACTIVATIONS[i % 3]) for i in range(6))
    return Run(
        "r",
        Setup({"batch_size": 512}, optimizer={"type": optimizer, "groups": [{"momentum": 0.9}]}, layers=layers),
        {name: Series(np.arange(len(v)), np.asarray(v, float), np.zeros(len(v))) for name, v in scalars.items()},
        {name: LayerSeries(np.arange(len(v)), np.asarray(v, np.float32)) for name, v in vectors.items()},
    )


SCALARS = [name for name in signals.SIGNALS if not signals.is_per_layer(name)]
VECTORS = [name for name in signals.SIGNALS if signals.is_per_layer(name)]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_nothing_crashes_and_every_finding_can_be_reported(data):
    scalars = {name: data.draw(st.lists(number, max_size=60)) for name in data.draw(st.sets(st.sampled_from(SCALARS)))}
    widths = data.draw(st.sampled_from([1, 3, 6]))
    rows = st.lists(st.lists(number, min_size=widths, max_size=widths), min_size=1, max_size=20)
    vectors = {name: data.draw(rows) for name in data.draw(st.sets(st.sampled_from(VECTORS)))}
    run = run_of(scalars, vectors)
    found = symptoms.find(run)
    for finding in found:
        assert 0 <= finding.confidence <= 1 and finding.window[0] <= finding.window[1]
    as_json(Diagnosis(run, tuple(found)))


@settings(max_examples=60, deadline=None)
@given(length=st.integers(0, 4), value=st.floats(0, 1e6))
def test_fewer_than_five_values_say_nothing_above_info(length, value):
    scalars = {name: np.full(length, value) for name in SCALARS if not name.startswith("nonfinite")}
    vectors = {name: np.full((length, 6), value) for name in VECTORS if "nonfinite" not in name}
    assert all(finding.severity is Severity.INFO for finding in symptoms.find(run_of(scalars, vectors)))


@pytest.mark.parametrize("scale", [2.0**-40, 2.0**40])
@pytest.mark.parametrize("draw", range(10))
def test_a_losss_and_its_gradients_unit_changes_no_finding(scale, draw):
    rng = np.random.default_rng(draw)
    steps = np.arange(300)
    loss = 2 * np.exp(-steps / rng.uniform(20, 500)) * rng.lognormal(0, 0.2, 300)
    norm = rng.lognormal(0, 0.5, 300) * np.geomspace(1, rng.choice([0.1, 1, 1e4]), 300)
    rest = {"update_ratio": rng.lognormal(-3, 2, 60), "noise_scale": rng.lognormal(4, 3, 60)}
    layers = rng.lognormal(0, 0.3, (60, 6)) * np.geomspace(1, rng.choice([1, 1e-6, 1e6]), 6)

    def found(unit):
        run = run_of({"loss/train": unit * loss, "grad_norm": unit * norm, **rest}, {"layers/grad_norm": unit * layers})
        return [(f.id, f.severity, f.window, f.layers) for f in symptoms.find(run)]

    assert found(scale) == found(1.0)
