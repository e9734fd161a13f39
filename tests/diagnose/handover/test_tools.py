"""Each tool really runs on the space for a few trials."""

from __future__ import annotations

import json
import os
import warnings

import numpy as np
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

import diagnose
from diagnose.diagnosis import Change, Prescription
from diagnose.errors import DiagnoseError
from diagnose.handover import search_space
from diagnose.handover.hydra_overrides import overrides, sweep
from diagnose.handover.hyperopt_space import hyperopt_space, recommended_point
from diagnose.handover.needing import opened
from diagnose.handover.optuna_study import enqueue, suggest
from diagnose.handover.ray_tune import param_space
from diagnose.handover.wandb_sweep import PARAMETER, sweep_yaml
from diagnose.handover.wandb_sweep import overrides as wandb_overrides

CONFIG = {"lr": 0.1, "batch_size": 128, "optimizer": "SGD", "epochs": 10, "dataset_size": 50_000, "dropout": 0.1,
          "scheduler": "constant", "note": "it's \\ = {a, b}"}  # fmt: skip


@pytest.fixture
def space():
    return search_space(diagnose.what_if(CONFIG, batch_size=512, dropout=0.2), CONFIG)


def loss(config):
    """A bowl that is lowest where rate and batch have moved together."""
    return abs(config["lr"] / config["batch_size"] - 0.1 / 128) * 1e4 + config["dropout"]


def test_optuna_begins_with_the_recommended_trial_and_moves_coupled_settings_together(space):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study, seen = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)), []
    enqueue(study, space)

    def objective(trial):
        seen.append(suggest(trial, space))
        return loss(seen[-1])

    study.optimize(objective, n_trials=8)
    assert seen[0] == space.recommended and len(seen) == 8
    assert all(config in space.configs() for config in seen)
    assert len({config["batch_size"] for config in seen}) > 1
    assert all(config["lr"] / config["batch_size"] == pytest.approx(0.1 / 128, rel=0.05) for config in seen)


def test_hyperopt_searches_it(space):
    hyperopt = pytest.importorskip("hyperopt")
    seen = []

    def objective(point):
        seen.append(space.config_for(point))
        return loss(seen[-1])

    searched = hyperopt_space(space)
    best = hyperopt.fmin(
        objective, searched, algo=hyperopt.tpe.suggest, max_evals=6, show_progressbar=False,
        points_to_evaluate=[recommended_point(space)], rstate=np.random.default_rng(0),
    )  # fmt: skip
    assert seen[0] == space.recommended and all(config in space.configs() for config in seen)
    assert len({config["batch_size"] for config in seen}) > 1
    assert all(config["lr"] / config["batch_size"] == pytest.approx(0.1 / 128, rel=0.05) for config in seen)
    assert space.config_for(hyperopt.space_eval(searched, best)) == min(seen, key=loss)


def test_optuna_s_brute_force_tries_every_combination_once(space):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study, seen = optuna.create_study(sampler=optuna.samplers.BruteForceSampler()), []
    enqueue(study, space)

    def objective(trial):
        seen.append(suggest(trial, space))
        return loss(seen[-1])

    study.optimize(objective, n_trials=50)
    assert seen[0] == space.recommended and len(seen) == len(space.configs())
    assert sorted(map(str, seen)) == sorted(map(str, space.configs()))
    assert space.config_for(study.best_params) == min(seen, key=loss)


@pytest.mark.slow  # a minute for Ray to start
def test_ray_tune_walks_the_grid(space, tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    tune = pytest.importorskip("ray.tune")
    monkeypatch.setenv("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        tuner = tune.Tuner(
            lambda point: {"loss": loss(space.config_for(point)), "rate": space.config_for(point)["lr"]},
            param_space=param_space(space),
            run_config=tune.RunConfig(storage_path=str(tmp_path), verbose=0),
        )
        results = tuner.fit()
    finally:
        ray.shutdown()
    assert len(results) == 9 and not results.errors
    assert {result.metrics["rate"] for result in results} == {config["lr"] for config in space.configs()}


def test_wandb_s_own_search_takes_the_sweep_and_runs_every_whole_combination(space):
    sweeps = pytest.importorskip("sweeps")
    sweep_config = sweeps.SweepConfig(
        yaml.safe_load(sweep_yaml(space, "train.py"))
    )  # raises where it breaks its schema
    runs, seen = [], []
    while (following := sweeps.next_run(sweep_config, runs, validate=True)) is not None:
        seen.append({**CONFIG, **wandb_overrides(following.config[PARAMETER]["value"])})
        following.state, following.summary_metrics = "finished", {"loss/validation": loss(seen[-1])}
        runs.append(following)
    assert seen == space.configs() and seen[0] == space.recommended


def test_wandb_starts_the_program_without_arguments_it_may_not_know(space):
    sweep_config = yaml.safe_load(sweep_yaml(space, "train.py", metric="accuracy", goal="maximize"))
    assert sweep_config["program"] == "train.py" and sweep_config["command"][-1] == "${program}"
    assert sweep_config["metric"] == {"name": "accuracy", "goal": "maximize"}


def test_hydra_s_own_parser_reads_the_overrides_and_composes_the_config(space, tmp_path):
    pytest.importorskip("hydra")
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    with initialize_config_dir(str(tmp_path), version_base=None):
        composed = [OmegaConf.to_container(compose("config", overrides=line)) for line in sweep(space)]
    assert composed == space.configs() and overrides(space) == sweep(space)[0]


@settings(deadline=None, max_examples=60)
@given(st.text(alphabet="a\\'\" ,={}[]()$:→\n", max_size=8))
@example("null")
@example("1e-3")
@example("a\\'b")  # a backslash before a quote
@example("a\\b\\")  # one within, one at the end
def test_words_reach_hydra_as_they_are(word):
    pytest.importorskip("hydra")
    from hydra.core.override_parser.overrides_parser import OverridesParser

    config = {"optimizer": "SGD"}
    change = Change("use_adamw", "", "optimizer", "SGD", word, "", ())
    (line,) = overrides(search_space(Prescription("generalisation", (change,)), config))
    (parsed,) = OverridesParser.create().parse_overrides([line])
    assert str(parsed.value()) == word and not isinstance(parsed.value(), float | list | dict)


def test_a_tool_that_is_not_installed_is_named_with_its_command():
    with pytest.raises(DiagnoseError, match="pip install no-such-tool"):
        opened("no_such_tool", "no-such-tool")


def test_the_combinations_survive_json(space):
    assert json.loads(json.dumps(space.configs())) == space.configs()
