"""Curves of several runs in one plot, as they are sent to the browser."""

import time

import numpy as np
import pytest

from diagnose.dashboard import overlay
from diagnose.dashboard.store import Store
from diagnose.logs.writing import EventFile
from diagnose.signals import TRAIN_LOSS, VALIDATION_LOSS

BEGUN = time.time() - 36_000
STEP_S = 36.0  # a hundredth of an hour


def _entry(root, name, losses=None, validations=None, step_s=STEP_S):
    """A run of 400 steps, with validation losses at the steps given."""
    losses = 2.0 / (1 + np.arange(400)) if losses is None else losses
    with EventFile(root / name) as log:
        for step, loss in enumerate(losses):
            validated = [(VALIDATION_LOSS, validations[step])] if validations and step in validations else []
            log.write_step(step, BEGUN + step * step_s, [(TRAIN_LOSS, float(loss)), *validated], {})
    return Store(root).entry(name)


@pytest.mark.parametrize("axis", ["step", "hours"])
def test_a_single_value_is_drawn_as_a_point(tmp_path, axis):
    entries = [_entry(tmp_path, "one", validations={200: 1.0})]
    (trace,) = overlay.figure(entries, VALIDATION_LOSS, axis, dark=False).data
    assert "markers" in trace.mode
    assert trace.x == pytest.approx([200 if axis == "step" else 2.0], abs=1e-6)
    assert overlay.left_out(entries, VALIDATION_LOSS, axis) == []


def test_hours_are_counted_from_the_beginning_of_the_run(tmp_path):
    entries = [_entry(tmp_path, "late", validations=dict.fromkeys(range(200, 400, 50), 1.0))]
    (trace,) = overlay.figure(entries, VALIDATION_LOSS, "hours", dark=False).data
    assert trace.x == pytest.approx([2.0, 2.5, 3.0, 3.5], abs=1e-6)


def test_a_run_whose_clock_stood_still_has_no_hours(tmp_path):
    entries = [_entry(tmp_path, "still", step_s=0.0)]
    assert overlay.left_out(entries, TRAIN_LOSS, "hours") == ["still is not drawn: its values bear no times."]


def test_values_that_are_no_numbers_leave_a_gap(tmp_path):
    losses = np.linspace(2, 1, 400)
    losses[150:250] = np.nan
    (trace,) = overlay.figure([_entry(tmp_path, "hole", losses)], TRAIN_LOSS, "step", dark=False).data
    assert np.isnan(trace.y).sum() == 1
    assert trace.mode == "lines"


def test_a_name_is_shown_as_it_is_spelt(tmp_path):
    (trace,) = overlay.figure([_entry(tmp_path, "<b>bold<i>")], TRAIN_LOSS, "step", dark=False).data
    assert trace.name == "&lt;b&gt;bold&lt;i&gt;"
