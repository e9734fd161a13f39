"""Windows of averaged weights, against averages that are really taken."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnose.averaging import decay_for, recommended_decay, window
from diagnose.prescriptions.doses.fit import average_weights
from diagnose.run import Run, Series, Setup


@pytest.mark.parametrize("decay", [0.9, 0.99, 0.999])
def test_what_lies_before_the_window_has_the_weight_one_over_e(decay):
    before = decay ** np.arange(200_000)[round(window(decay)) :]
    assert (1 - decay) * before.sum() == pytest.approx(np.exp(-1), rel=0.06)


@given(st.floats(1, 1e7))
def test_window_and_decay_are_each_others_inverse(steps):
    assert window(decay_for(steps)) == pytest.approx(steps, rel=1e-6)


def test_the_recommended_window_is_a_twentieth_of_the_run():
    assert recommended_decay(20_000) == pytest.approx(0.999)
    assert recommended_decay(100) == 0.9 and recommended_decay(1e9) == 0.9999


@pytest.mark.parametrize("wrong", [1.0, -0.1, float("nan")])
def test_what_is_no_decay_has_no_window(wrong):
    with pytest.raises(ValueError, match="decay"):
        window(wrong)
    with pytest.raises(ValueError, match="window"):
        decay_for(0.5)


def test_advice_names_the_decay_and_its_window_for_this_run():
    steps = np.arange(1, 4001)
    config = {"batch_size": 50, "dataset_size": 5000, "epochs": 40}
    run = Run("r", Setup(config=config), {"loss/train": Series(steps, 1 / steps, np.zeros(4000))})
    dose = average_weights(run, {})
    assert (dose.setting, dose.after) == ("ema_decay", 0.995)
    assert "last 200 steps, 2 epochs" in dose.because
