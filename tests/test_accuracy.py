"""The benchmark of the diagnosis: its arithmetic on cases done by hand, and that it runs on a few recorded runs."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from diagnose import Run
from diagnose.run import Layer, LayerSeries, Series, Setup

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
NOTHING: frozenset[str] = frozenset()


@pytest.fixture
def benchmark(monkeypatch):
    """A module of the benchmarks by its name; they are scripts that import one another."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    return importlib.import_module


def run_with(layers=(), layer_signals=None, **curves):
    def series(values):
        return Series(np.arange(1, len(values) + 1), np.asarray(values, float), np.zeros(len(values)))

    return Run(
        path="",
        setup=Setup(layers=layers),
        scalars={name.replace("_", "/", 1): series(values) for name, values in curves.items()},
        layer_signals={
            name: LayerSeries(np.arange(1, len(values) + 1), np.asarray(values, np.float32))
            for name, values in (layer_signals or {}).items()
        },
    )


def test_right_wrong_missed_and_excused_are_counted_as_by_hand(benchmark):
    scoring = benchmark("scoring")
    truth = scoring.Truth
    runs = [
        (truth(frozenset({"a"})), {"a"}),  # right
        (truth(frozenset({"a"})), set()),  # missed
        (truth(frozenset({"a", "b"})), {"b"}),  # excused: another of the same run was named
        (truth(frozenset({"a"})), {"b"}),  # missed, for what was named did not show
        (truth(NOTHING, frozenset({"a"})), {"a"}),  # a permitted consequence counts neither way
        (truth(), {"a"}),  # wrong
        (truth(), set()),
    ]
    score = scoring.scored("a", runs)
    assert (score.right, score.wrong, score.missed, score.excused) == (1, 1, 2, 1)
    assert score.precision == pytest.approx(1 / 2)
    assert score.recall == pytest.approx(1 / 3)
    assert score.strict_recall == pytest.approx(1 / 4)
    assert score.f1 == pytest.approx(2 / 5)


def test_a_claim_on_several_symptoms_is_right_where_any_of_them_showed(benchmark):
    scoring = benchmark("scoring")
    ill, permitted = scoring.Truth(frozenset({"a"})), scoring.Truth(frozenset({"c"}), frozenset({"b"}))
    score = scoring.scored_claim(("a", "b"), [(ill, True), (ill, False), (permitted, True), (scoring.Truth(), True)])
    assert (score.right, score.wrong, score.missed) == (1, 1, 1)


def test_ratios_of_nothing_are_left_open(benchmark):
    scoring = benchmark("scoring")
    assert scoring.Score().precision is scoring.Score().recall is scoring.Score().f1 is None
    assert scoring.macro_f1([scoring.Score(wrong=3)]) is None


def test_macro_f1_counts_a_symptom_never_found_as_zero(benchmark):
    scoring = benchmark("scoring")
    assert scoring.macro_f1([scoring.Score(right=4), scoring.Score(missed=4), scoring.Score()]) == pytest.approx(0.5)


def test_the_calibration_error_is_that_of_a_table_done_by_hand(benchmark):
    calibration = benchmark("calibration")
    judged = [(0.95, True)] * 3 + [(0.95, False)] + [(0.55, False)] * 2 + [(1.0, True)]
    table = calibration.reliability(judged)
    assert [(one.low, one.count) for one in table] == [(0.5, 2), (0.9, 5)]
    assert table[1].right == pytest.approx(0.8) and table[1].confidence == pytest.approx(0.96)
    assert calibration.expected_calibration_error(table) == pytest.approx(2 / 7 * 0.55 + 5 / 7 * 0.16)
    assert calibration.expected_calibration_error([]) is None


def test_rules_of_others_fire_past_their_thresholds_and_not_before(benchmark):
    rules = benchmark("peer_rules")
    falling = np.linspace(2, 1, 40)
    assert rules.autotrainer_nan_loss(run_with(loss_train=[1, 1000])) is True
    assert rules.autotrainer_nan_loss(run_with(loss_train=[1, 999])) is False
    assert rules.autotrainer_oscillating(run_with(accuracy_validation=[0.5, 0.6] * 5)) is True
    assert rules.autotrainer_oscillating(run_with(accuracy_validation=[0.5, 0.54] * 5)) is False
    assert rules.autotrainer_slow_convergence(run_with(accuracy_validation=[0.1, 0.105, 0.11])) is True
    assert rules.sagemaker_loss_not_decreasing(run_with(loss_train=falling)) is False
    assert rules.sagemaker_loss_not_decreasing(run_with(loss_train=np.ones(40))) is True
    assert rules.sagemaker_overfit(run_with(loss_train=falling, loss_validation=falling * 1.2)) is True
    assert rules.sagemaker_overfit(run_with(loss_train=falling, loss_validation=falling * 1.05)) is False
    assert rules.lightning_not_finite(run_with(loss_validation=[1, np.nan])) is True
    assert rules.lightning_patience(run_with(loss_validation=[1, 2, 2])) is False
    assert rules.lightning_patience(run_with(loss_validation=[1, 2, 2, 2])) is True


def test_rules_on_layers_read_the_first_and_the_last(benchmark):
    rules = benchmark("peer_rules")
    layers = tuple(Layer(name, "Linear", 100, init={"weight_std": std}) for name, std in (("0", 0.1), ("1", 0.4)))

    def run(first, last):
        return run_with(layers, {name: [[first, last]] for name in ("layers/grad_norm", "layers/update_ratio")})

    assert rules.autotrainer_vanishing(run(1e-5, 1)) is True and rules.autotrainer_vanishing(run(1e-3, 10)) is False
    assert rules.autotrainer_exploding(run(71, 1)) is True and rules.autotrainer_exploding(run(69, 1)) is False
    assert rules.sagemaker_vanishing(run(0.9e-6, 1)) is True and rules.sagemaker_vanishing(run(2e-6, 1)) is False
    assert rules.sagemaker_large_updates(run(11, 1)) is True and rules.sagemaker_small_updates(run(1e-9, 1)) is True
    assert rules.sagemaker_poor_initialization(run(1, 1)) is True


def test_no_rule_answers_where_its_signal_is_missing(benchmark):
    assert all(rule.fires(run_with()) is None for rule in benchmark("peer_rules").RULES)


def test_rules_claim_symptoms_that_exist(benchmark):
    from diagnose import symptoms

    assert all(set(rule.claims) <= set(symptoms.ids()) for rule in benchmark("peer_rules").RULES)


def test_the_benchmark_measures_a_few_recorded_runs(benchmark):
    recorded, accuracy, beside = benchmark("recorded"), benchmark("accuracy"), benchmark("beside")
    kinds = ("bad_sample", "plain", "too_few_epochs")
    runs = list(recorded.examined([entry for entry in recorded.index() if entry["kind"] in kinds][:12]))
    told = accuracy.measured(runs)
    assert told["runs"] == 12
    assert sum(task["runs"] for task in accuracy.per_task(runs).values()) == 12
    assert told["symptoms"]["nan_loss"]["recall"] == 1.0
    ours = accuracy.in_all(told), accuracy.by_symptom(told), accuracy.by_kind(runs)
    for table in (*ours, beside.others(beside.compared(runs)), beside.by_tool(runs)):
        assert table.count("\n") >= 2
