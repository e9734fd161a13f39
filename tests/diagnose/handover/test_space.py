"""The search space of a prescription: small, in the user's terms, and coupled."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import diagnose
from diagnose.diagnosis import Change, Prescription
from diagnose.handover import search_space
from diagnose.handover.plain_json import as_json
from diagnose.handover.snippets import as_optuna, as_python, as_yaml
from diagnose.prescriptions.applying import apply
from diagnose.prescriptions.settings import from_config

CONFIG = {
    "learning_rate": 0.1, "batch_size": 256, "optimizer": "SGD", "epochs": 90, "dataset_size": 50_000,
    "weight_decay": 1e-4, "max_grad_norm": 1.0, "warmup_steps": 0, "dropout": 0.1, "scheduler": "constant",
}  # fmt: skip


def space_for(**changes):
    return search_space(diagnose.what_if(CONFIG, **changes), CONFIG)


def test_what_leads_is_a_dimension_and_what_is_coupled_follows_it():
    space = space_for(batch_size=1024)
    (batch,) = space.dimensions
    assert (batch.key, batch.values) == ("batch_size", (1024, 512, 2048))
    rates = {config["batch_size"]: config["learning_rate"] for config in space.configs()}
    assert rates[512] < rates[1024] < rates[2048]
    for size, rate in rates.items():
        pulled = apply(diagnose.what_if(CONFIG, batch_size=size), CONFIG).config
        assert rate == pulled["learning_rate"]


def test_the_recommended_config_comes_first_and_is_the_prescription_s():
    space = space_for(batch_size=1024, dropout=0.3)
    assert space.configs()[0] == space.recommended == apply(space.prescription, CONFIG).config
    assert len(space.dimensions) == 2 and len(space.configs()) == 9


def test_a_real_diagnosis_becomes_a_space(demo_runs):
    diagnosis = diagnose.examine(demo_runs["diverging"])
    config = {"lr": 8.0, "epochs": 15, "warmup_steps": 0, "batch_size": 32}
    space = search_space(diagnosis.prescription, config, diagnosis.run)
    assert [dimension.key for dimension in space.dimensions] == ["lr"]
    assert space.configs()[0] == apply(diagnosis.prescription, config).config
    assert len({config["lr"] for config in space.configs()}) == 3
    assert all(config["warmup_steps"] > 0 for config in space.configs())


def test_what_a_person_has_to_do_is_left_and_no_dimension(demo_runs):
    diagnosis = diagnose.examine(demo_runs["diverging"])
    space = search_space(diagnosis.prescription, {"seed": 1}, diagnosis.run)
    assert space.dimensions == () and space.configs() == [{"seed": 1}] and space.left


def test_a_choice_that_leaves_a_dimension_out_is_refused():
    with pytest.raises(KeyError):
        space_for(batch_size=1024).config_for({})


def test_json_holds_all_of_it():
    told = json.loads(as_json(space_for(batch_size=1024)))
    assert told["recommended"] in told["configs"] and told["dimensions"] == {"batch_size": [1024, 512, 2048]}


values = {"lr": st.floats(1e-6, 1), "batch_size": st.integers(1, 4096), "dropout": st.just(0.0) | st.floats(1e-6, 0.5),
          "weight_decay": st.floats(1e-6, 0.1), "epochs": st.integers(1, 300)}  # fmt: skip


@given(
    st.fixed_dictionaries(values), st.sampled_from(sorted(values)).flatmap(lambda n: st.tuples(st.just(n), values[n]))
)
def test_any_space_is_small_sane_and_in_the_user_s_keys(config, change):
    space = search_space(diagnose.what_if(config, **dict([change])), config)
    configs = space.configs()
    assert 1 <= len(configs) <= 27 and configs[0] == space.recommended
    settings = from_config(config)
    for one in configs:
        assert set(one) == set(config)
        for name in set(config) - {change[0]}:
            assert one[name] == config[name] or settings.clamped(name, one[name]) == pytest.approx(one[name], rel=0.01)


def test_snippets_are_python_and_yaml_that_hold_every_value_and_leave_words_to_a_person(demo_runs):
    for name in ("diverging", "overfitting", "vanishing"):
        prescription = diagnose.examine(demo_runs[name]).prescription
        scope: dict[str, object] = {"config": {}}
        exec(as_python(prescription), scope)
        told = yaml.safe_load(as_yaml(prescription)) or {}
        assert told == scope["changes"] == {
            c.setting: c.after for c in prescription.changes if not (isinstance(c.after, str) and " " in c.after)
        }  # fmt: skip
        trial = type("Trial", (), {"suggest_categorical": staticmethod(lambda _, values: values[0])})
        scope["trial"] = trial
        exec(as_optuna(prescription), scope)
        assert scope["config"] == told


def test_what_only_a_person_can_do_is_a_comment():
    change = Change("inspect_data", "", "data", None, "check the batches just before step 3", "", ())
    prescription = Prescription("stability", (change,))
    assert "# by hand: data: check the batches" in as_python(prescription)
    assert yaml.safe_load(as_yaml(prescription)) is None
