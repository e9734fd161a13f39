"""What the run page's cards say."""

import json
import time

import numpy as np
from dash.development.base_component import Component

from diagnose.dashboard.cards import blackbox, verdict
from diagnose.dashboard.store import Store
from diagnose.logs.writing import EventFile
from diagnose.signals import LAYER_NONFINITE, LAYER_NONFINITE_WEIGHTS, TRAIN_LOSS


def _text(part):
    """All that stands in a part of a page."""
    if isinstance(part, Component):
        return _text(getattr(part, "children", ""))
    return " ".join(map(_text, part)) if isinstance(part, list | tuple) else str(part or "")


def test_layers_that_did_not_run_are_not_among_those_with_nans(tmp_path):
    names = [f"idle{number}" for number in range(20)] + ["last"]
    told = {"schema": 1, "layers": [{"name": name, "type": "Linear", "parameters": 4} for name in names]}
    outputs, weights = np.array([np.nan] * 20 + [7], np.float32), np.zeros(21, np.float32)
    with EventFile(tmp_path / "run") as log:
        log.write_setup(json.dumps(told), time.time())
        for step in range(300):
            counts = {LAYER_NONFINITE: outputs, LAYER_NONFINITE_WEIGHTS: weights} if step == 200 else {}
            log.write_step(step, time.time(), [(TRAIN_LOSS, 2.0 if step < 200 else np.nan)], counts)
    told = _text(blackbox.card(Store(tmp_path).entry("run").diagnosis))
    assert "last 7 in its output" in told
    assert "idle" not in told.partition("NaN and infinite values by layer")[2]


def test_the_time_of_the_last_write_names_its_zone(tmp_path, write_run, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        write_run(tmp_path, "run", steps=20)
        assert " JST" in _text(verdict.card(Store(tmp_path).entry("run")))
    finally:
        monkeypatch.undo()
        time.tzset()
