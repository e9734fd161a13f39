"""Diffusion schedules: published values, where the steps go, and what is said against which."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnose.diffusion import (
    cosine,
    edm,
    edm_training,
    from_betas,
    from_sigmas,
    linear,
    remarks,
    shares,
    stable_diffusion,
    zero_terminal,
)
from diagnose.reports.diffusion import snr_figure

EVERY = [linear(), cosine(), stable_diffusion(), edm(), edm_training()]


@pytest.mark.parametrize(
    ("schedule", "snr", "signal"),
    [
        (linear(), 4.035993e-05, 0.006353),
        (cosine(), 2.428735e-09, 4.928220e-05),
        (stable_diffusion(), 0.004682, 0.068265),
    ],
    ids=["linear", "cosine", "Stable Diffusion"],
)
def test_the_last_steps_are_those_that_lin_et_al_print(schedule, snr, signal):
    assert np.exp(schedule.log_snr[-1]) == pytest.approx(snr, rel=1e-3)
    assert schedule.signal[-1] == pytest.approx(signal, rel=1e-3)


@given(st.lists(st.floats(1e-4, 0.9), min_size=1, max_size=50))
def test_the_ratio_is_that_of_its_definition(betas):
    kept = np.cumprod([1 - beta for beta in betas])
    assert np.exp(from_betas(betas).log_snr) == pytest.approx(kept / (1 - kept), rel=1e-6)


@pytest.mark.parametrize("schedule", EVERY, ids=lambda schedule: schedule.name)
def test_it_falls_throughout_and_every_step_lies_in_one_band(schedule):
    assert len(schedule.log_snr) == 1000 and (np.diff(schedule.log_snr) < 0).all()
    assert shares(schedule).sum() == pytest.approx(1) and len(shares(schedule)) == 6


def test_edms_levels_are_its_own():
    assert edm().log_snr[0] == pytest.approx(2 * np.log(0.5 / 0.002))
    assert edm().log_snr[-1] == pytest.approx(2 * np.log(0.5 / 80))
    assert np.median(edm_training().log_snr) == pytest.approx(2 * (np.log(0.5) + 1.2), abs=0.01)
    assert edm_training().log_snr.std() == pytest.approx(2.4, rel=0.02)


def test_linear_spends_its_steps_in_noise_and_stable_diffusion_never_gets_there():
    told = {schedule.name: {remark.id for remark in remarks(schedule)} for schedule in EVERY}
    assert told["linear"] == {"steps_in_noise"}
    assert told["Stable Diffusion"] == {"signal_at_the_end"}
    assert told["cosine"] == told["EDM, sampling"] == told["EDM, training"] == set()
    (remark,) = remarks(stable_diffusion())
    assert "6.8 %" in remark.summary and "Lin et al. 2024" in remark.source


def test_a_rescaled_schedule_ends_in_noise_alone_and_begins_as_before():
    before = stable_diffusion()
    after = zero_terminal(before)
    assert after.log_snr[-1] == -np.inf and after.signal[-1] == 0
    assert after.log_snr[0] == pytest.approx(before.log_snr[0])
    assert "signal_at_the_end" not in {remark.id for remark in remarks(after)}


def test_fewer_steps_cover_the_same_range():
    assert linear(250).log_snr[-1] == pytest.approx(linear().log_snr[-1], abs=0.3)
    assert cosine(100).log_snr[49] == pytest.approx(cosine().log_snr[499], abs=0.01)


@pytest.mark.parametrize("wrong", [[], [0.0], [1.5], [float("nan")], [[0.1]]])
def test_what_is_no_schedule_is_refused(wrong):
    with pytest.raises(ValueError, match="betas"):
        from_betas(wrong)
    with pytest.raises(ValueError, match="sigmas"):
        from_sigmas([0.0, 1.0])


def test_they_are_drawn_together():
    figure = snr_figure([*EVERY, zero_terminal(stable_diffusion())])
    assert [trace.type for trace in figure.data].count("bar") == 6
    assert all(np.isfinite(trace.y).all() for trace in figure.data)


@pytest.mark.parametrize("steps", [2, 5, 10, 11, 12, 100])
@pytest.mark.parametrize("schedule", [linear, stable_diffusion, cosine, edm])
def test_few_steps_make_a_schedule_too(schedule, steps):
    assert np.isfinite(schedule(steps).log_snr).all()


@pytest.mark.parametrize("sigmas", [[1.0, float("nan")], 1.0, [], [1.0, -1.0], [float("inf"), 1.0]])
def test_levels_that_are_none_are_refused(sigmas):
    with pytest.raises(ValueError, match="sigmas"):
        from_sigmas(sigmas)


def test_what_is_left_of_the_signal_is_told_however_little_or_much_it_is():
    assert from_betas([0.9] * 400).log_snr[-1] == pytest.approx(400 * np.log(0.1))
    assert from_betas([1e-12]).log_snr[0] == pytest.approx(-np.log(1e-12))
    assert from_betas([0.9] * 400).signal[-1] == pytest.approx(10.0**-200)


def test_a_sampler_that_begins_with_signal_is_told_so():
    assert {remark.id for remark in remarks(edm(most=5.0))} == {"signal_at_the_end"}


def test_a_schedule_without_a_fall_has_no_zero_at_its_end():
    with pytest.raises(ValueError, match="no fall"):
        zero_terminal(linear(1))
