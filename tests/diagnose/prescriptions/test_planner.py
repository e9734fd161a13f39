"""From causes to changes: numbers, order, and what is coupled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import diagnose
from diagnose import setup_rules, symptoms
from diagnose.causes import known_causes
from diagnose.diagnosis import Cause, Change
from diagnose.prescriptions.couplings import GRAPH
from diagnose.prescriptions.doses import DOSES
from diagnose.prescriptions.following import followers
from diagnose.prescriptions.planner import STAGES, plan
from diagnose.prescriptions.remedies import known_remedies
from diagnose.prescriptions.scaling import MOST_EPOCHS
from diagnose.prescriptions.settings import settings_of
from diagnose.run import Run, Series, Setup


def test_a_cause_names_only_findings_that_exist():
    known = {*symptoms.ids(), *setup_rules.rules()}
    assert {rule.finding for cause in known_causes().values() for rule in cause.rules} <= known


def test_a_cause_names_only_remedies_that_exist_and_have_numbers_or_words():
    named = {remedy for cause in known_causes().values() for remedy in cause.remedies}
    assert named <= set(known_remedies())
    worded = {remedy.id for remedy in known_remedies().values() if remedy.setting and remedy.after and remedy.because}
    assert named <= set(DOSES) | worded and not worded & set(DOSES)


def test_every_cause_and_remedy_is_sourced_and_staged():
    assert all(rule.sources for cause in known_causes().values() for rule in cause.rules)
    assert all(cause.stage in STAGES for cause in known_causes().values())
    assert all(remedy.sources and remedy.watch for remedy in known_remedies().values())
    assert all(coupling.sources and coupling.because for coupling in GRAPH)


@pytest.mark.parametrize(
    ("run", "cause"),
    [("diverging", "lr_too_high"), ("overfitting", "too_little_regularization"), ("vanishing", "bad_initialization")],
)
def test_the_demo_runs_causes_are_named_rightly(demo_runs, run, cause):
    assert diagnose.examine(demo_runs[run]).causes[0].id == cause


def test_a_diverging_run_is_told_to_lower_the_rate_with_what_is_coupled_to_it(demo_runs):
    changes = {c.setting: c for c in diagnose.examine(demo_runs["diverging"]).prescription.changes}
    assert (changes["lr"].before, changes["lr"].after, changes["lr"].coupled_to) == (8.0, 0.03, None)
    assert changes["warmup_steps"].before == 0 and changes["warmup_steps"].after > 0
    assert {c.coupled_to for c in changes.values()} == {None, "lower_lr"}
    assert any("K21" in source for source in changes["warmup_steps"].sources)


def test_an_overfitting_run_is_told_its_best_epoch(demo_runs):
    diagnosis = diagnose.examine(demo_runs["overfitting"])
    changes = {c.remedy: c for c in diagnosis.prescription.changes}
    best_step = next(f for f in diagnosis.findings if f.id == "overfitting").evidence["best_step"]
    assert changes["early_stop"].before == 150
    assert changes["early_stop"].after == round(150 * best_step / diagnosis.run.steps)
    assert changes["increase_weight_decay"].before == 0


def test_a_vanishing_run_is_told_to_change_what_carries_the_signal(demo_runs):
    changes = {c.setting: (c.before, c.after) for c in diagnose.examine(demo_runs["vanishing"]).prescription.changes}
    assert changes == {
        "activation": ("Sigmoid", "ReLU"),
        "initialization": (None, "He"),
        "normalization": ("none", "LayerNorm"),
    }


def test_a_healthy_run_is_told_nothing(demo_runs):
    diagnosis = diagnose.examine(demo_runs["healthy"])
    assert diagnosis.causes == () and diagnosis.prescription.changes == () and diagnosis.prescription.stage is None


def causes(**shares):
    return [Cause(name, name, share, ()) for name, share in shares.items()]


def test_advice_of_a_later_stage_is_held_back_while_an_earlier_one_is_ill():
    prescription = plan(causes(lr_too_high=0.6, too_little_regularization=0.4), [], Run("r"))
    assert prescription.stage == "stability"
    assert {c.remedy for c in prescription.changes} == {"lower_lr"}
    assert "increase_dropout" in {h.remedy for h in prescription.held_back}
    assert {h.until for h in prescription.held_back} == {"stability"}


def test_no_more_than_two_moves_are_made_at_once():
    likely = causes(lr_too_high=0.3, missing_clipping=0.25, bad_data=0.25, precision=0.2)
    assert sum(c.coupled_to is None for c in plan(likely, [], Run("r")).changes) == 2


def test_numbers_that_the_log_does_not_hold_are_not_invented():
    (change,) = [c for c in plan(causes(lr_too_high=1.0), [], Run("r")).changes if c.setting == "lr"]
    assert change.before is None and change.after == "a tenth of it"


@pytest.mark.parametrize(
    ("name", "remedy", "setting"),
    [("max_grad_norm", "clip_gradients", "max_norm"), ("num_train_epochs", "train_longer", "epochs")],
)
def test_a_dose_begins_at_what_the_config_holds_whatever_it_is_called_there(name, remedy, setting):
    dose = DOSES[remedy](Run("r", Setup(config={name: 10})), {})
    assert dose is not None and (dose.setting, dose.before) == (setting, 10)


def settings_with(lr, steps=1000, *, unsteady=True, **config):
    rates = np.full(steps, lr) if np.isscalar(lr) else np.asarray(lr, float)
    logged = Series(np.arange(1, len(rates) + 1), rates, np.zeros(len(rates)))
    return replace(settings_of(Run("r", Setup(config=config), {"lr/group0": logged})), unsteady=unsteady)


def pulled(change, settings):
    return list(followers([change], settings))


def change_of(setting, before, after):
    return Change("lower_lr", "", setting, before, after, "", ())


def test_a_warmup_that_is_long_enough_stays():
    warmed = np.concatenate([np.linspace(0.01, 1, 100), np.ones(900)])
    assert [c.setting for c in pulled(change_of("lr", 1.0, 0.1), settings_with(warmed, unsteady=False, epochs=10))] == [
        "epochs"
    ]


def test_a_short_warmup_is_lengthened_and_not_added():
    warmed = np.concatenate([np.linspace(0.01, 1, 20), np.ones(980)])
    (warmup,) = [c for c in pulled(change_of("lr", 1.0, 0.1), settings_with(warmed)) if c.setting == "warmup_steps"]
    assert (warmup.remedy, warmup.before, warmup.after) == ("lengthen_warmup", 20, 50)


def test_a_raised_rate_pulls_the_clip_threshold_down():
    (clip,) = (
        c
        for c in pulled(change_of("lr", 0.01, 0.03), settings_with(0.01, unsteady=False, max_norm=3.0))
        if c.setting == "max_norm"
    )
    assert (clip.setting, clip.before, clip.after) == ("max_norm", 3.0, 1.0)


@given(before=st.floats(1e-8, 1e3), ratio=st.floats(1e-6, 1e6), epochs=st.integers(1, 1000), steps=st.integers(2, 5000))
def test_couplings_settle_stay_in_bounds_and_move_each_setting_once(before, ratio, epochs, steps):
    moved = pulled(
        change_of("lr", before, before * ratio),
        settings_with(before, steps, unsteady=False, epochs=epochs, max_norm=1.0),
    )
    settings = [c.setting for c in moved]
    assert len(settings) == len(set(settings)) and "lr" not in settings
    for change in moved:
        if change.setting == "epochs":
            assert epochs <= change.after <= MOST_EPOCHS * epochs + 1
        assert change.coupled_to == "lower_lr"
