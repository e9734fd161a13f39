"""Schedules by name, from what a run logged."""

from pathlib import Path

import numpy as np
import pytest

import diagnose
from diagnose.run import Series
from diagnose.schedule_advice import Schedule, ran, rates, recommended

RUNS = Path(__file__).parents[2] / "fixtures" / "runs"


def _lr(values):
    return Series(np.arange(len(values)), np.asarray(values, float), np.zeros(len(values)))


T = np.linspace(0, 1, 400)


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        (np.full(400, 0.1), "constant"),
        (0.1 * (1 - T), "linear"),
        (0.05 * (1 + np.cos(np.pi * T)), "cosine"),
        (0.1 * 0.001**T, "exponential"),
        (0.1 * 0.1 ** np.floor(3 * T), "step decay"),
        (0.05 * (1 + np.cos(np.pi * (T * 4 % 1))), "restarts"),
        (np.where(T < 0.3, 0.01 + 0.3 * T, 0.1 * np.maximum(1 - T, 0) / 0.7), "one cycle"),
        (np.where(T < 0.5, 0.01, 0.1), "another shape"),
    ],
)
def test_a_schedule_is_named_by_its_shape(values, shape):
    assert ran(_lr(values)).shape == shape


def test_a_warmup_is_told_apart_from_what_follows():
    found = ran(_lr(np.concatenate([np.linspace(0.002, 0.1, 50), 0.05 * (1 + np.cos(np.pi * T))])))
    assert found.shape == "cosine" and 45 <= found.warmup <= 50 and found.peak == pytest.approx(0.1)


def test_too_few_rates_and_rates_of_0_have_no_name():
    assert ran(_lr([0.1, 0.1])) is None and ran(_lr(np.zeros(50))) is None and ran(None) is None


def test_the_recommended_schedule_follows_the_prescription():
    diagnosis = diagnose.examine(RUNS / "lr_too_high-classification-0")
    advised = recommended(diagnosis)
    lr = next(change.after for change in diagnosis.prescription.changes if change.setting == "lr")
    assert advised is not None and advised.peak == pytest.approx(lr)
    assert recommended(diagnose.examine(RUNS / "plain-autoencoder-0")) is None


def test_a_schedule_is_drawn_from_its_first_step_over_the_peak_to_its_end():
    drawn = rates(Schedule("cosine", peak=0.4, final=0.04, warmup=10, end=110), np.arange(111))
    assert drawn[:10] == pytest.approx(0.04 * np.arange(10)) and drawn[10] == drawn.max() == pytest.approx(0.4)
    assert drawn[60] == pytest.approx(0.22) and drawn[-1] == pytest.approx(0.04)
