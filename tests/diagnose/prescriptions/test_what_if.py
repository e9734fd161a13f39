"""What if: a change without a run, from Python and from the terminal."""

from __future__ import annotations

import json
from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

import diagnose
from diagnose.cli import main
from diagnose.errors import InvalidArgumentError

CONFIG = {"learning_rate": 0.1, "batch_size": 256, "optimizer": "SGD", "num_train_epochs": 90, "dataset_size": 50_000}


def settings(prescription):
    return {change.setting: change.after for change in prescription.changes}


def test_the_asked_change_leads_and_what_follows_names_it():
    asked, *pulled = diagnose.what_if(CONFIG, batch_size=1024).changes
    assert (asked.setting, asked.before, asked.after, asked.coupled_to) == ("batch_size", 256, 1024, None)
    assert pulled and all(change.coupled_to == asked.remedy and change.sources for change in pulled)


@pytest.mark.parametrize("name", ["batch_size", "per_device_train_batch_size", "train-batch-size"])
def test_settings_may_bear_the_names_of_any_framework(name):
    config = {**{k: v for k, v in CONFIG.items() if k != "batch_size"}, name: 256}
    assert settings(diagnose.what_if(config, batch_size=512))["lr"] == pytest.approx(0.2, rel=0.02)


def test_numbers_written_as_text_count():
    assert settings(diagnose.what_if({"lr": "1e-1", "batch_size": "256"}, batch_size="512"))["lr"] == pytest.approx(0.2)


def test_what_is_not_told_gets_no_number_but_a_note():
    prescription = diagnose.what_if({"batch_size": 64}, batch_size=128)
    assert list(settings(prescription)) == ["batch_size"]
    assert any(note.startswith("lr is not told") for note in prescription.notes)
    assert any("dataset_size" in note for note in prescription.notes)


def test_a_present_value_that_nobody_told_is_named():
    prescription = diagnose.what_if({"lr": 0.1}, batch_size=128)
    assert list(settings(prescription)) == ["batch_size"]
    assert any("present batch_size is not told" in note for note in prescription.notes)


def test_two_changes_at_once_are_seen_together():
    both = settings(diagnose.what_if({**CONFIG, "accumulation_steps": 1}, batch_size=128, accumulation_steps=2))
    assert "lr" not in both  # the step sees as many samples as before


@pytest.mark.parametrize("changes", [{}, {"colour": 3}, {"seed": 1}])
def test_what_nothing_is_known_of_is_refused_with_what_is(changes):
    with pytest.raises(InvalidArgumentError, match="what_if"):
        diagnose.what_if(CONFIG, **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch_size": -4}, "above 0"), ({"batch_size": 0}, "above 0"), ({"lr": 0}, "above 0"),
        ({"lr": -1}, "above 0"),
        ({"momentum": 1.0}, "below 1"), ({"dropout": 1.5}, "below 1"), ({"batch_size": True}, "above 0"),
        ({"lr": "high"}, "above 0"), ({"lr": None}, "above 0"), ({"batch_size": float("nan")}, "above 0"),
        ({"optimizer": ""}, "a name"), ({"batch_size": 8, "train_batch_size": 16}, "another name for batch_size"),
    ],
)  # fmt: skip
def test_a_value_that_no_training_can_have_is_refused_with_what_can_be(changes, said):
    with pytest.raises(InvalidArgumentError, match=said):
        diagnose.what_if(CONFIG, **changes)


def test_what_is_assumed_of_the_optimizer_is_said():
    def notes(**told):
        return " ".join(diagnose.what_if({"lr": 0.1, "batch_size": 256, **told}, batch_size=512).notes)

    assert "optimizer is not told" in notes()
    assert "Lion" in notes(optimizer="Lion")
    assert "optimizer" not in notes(optimizer="SGD")


def test_a_present_value_that_means_one_is_not_asked_for():
    assert not any("present" in note for note in diagnose.what_if(CONFIG, accumulation_steps=4).notes)


def test_each_note_has_the_formula_of_what_was_changed():
    notes = diagnose.what_if({"batch_size": 64, "optimizer": "AdamW"}, accumulation_steps=4).notes
    assert any("lr is not told" in note and "B_eff = B·n" in note for note in notes)


@pytest.mark.parametrize(
    ("config", "length"),
    [
        ({"max_steps": -1, "num_train_epochs": 3}, ("epochs", 3)),
        ({"max_steps": 500, "num_train_epochs": 3}, ("steps", 500)),
        ({"total_steps": 1000, "epochs": 10, "batch_size": 100, "dataset_size": 10_000}, ("epochs", 10)),
    ],
)
def test_the_shorter_of_two_lengths_is_the_training_s(config, length):
    changes = settings(diagnose.what_if({**config, "lr": 0.1}, lr=0.05))
    name, told = length
    assert changes[name] > told and len({"epochs", "steps"} & set(changes)) == 1


def test_a_warmup_of_no_steps_hides_no_share():
    told = {"warmup_steps": 0, "warmup_ratio": 0.1, "max_steps": 1000, "lr": 0.1}
    assert "warmup_steps" not in settings(diagnose.what_if(told, lr=0.2))  # a tenth is warmed up already
    assert "warmup_steps" not in settings(diagnose.what_if({"warmup": 0.1, "max_steps": 1000, "lr": 0.1}, lr=0.2))


@pytest.mark.parametrize("config", [{"lr": None}, {"lr": "fast"}, {"lr": [1]}, {"lr": 10**400}, {"batch_size": -3},
                                    {"batch_size": 0, "lr": 0.1}, {"epochs": float("inf")}])  # fmt: skip
def test_odd_configs_are_taken_for_what_they_tell(config):
    assert settings(diagnose.what_if(config, batch_size=64)) == {"batch_size": 64}


def test_the_command_prints_text_markdown_and_json(capsys, tmp_path):
    present = tmp_path / "config.yaml"
    present.write_text("optim:\n  lr: 0.1\n  optimizer: SGD\nbatch_size: 256\n")
    arguments = ["what-if", "--config", str(present), "--set", "batch_size=512", "--momentum", "0.9"]
    assert main(arguments) == 0
    assert "lr  0.1 → 0.2" in capsys.readouterr().out
    assert main([*arguments, "--format", "md"]) == 0
    assert "(lr: 0.1 → 0.2)" in capsys.readouterr().out
    assert main([*arguments, "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [c["to"] for c in told["changes"] if c["setting"] == "lr"] == [0.2]


@pytest.mark.parametrize(
    "arguments", [["--set", "batch_size"], ["--set", "colour=3"], ["--set", "lr=1", "--config", "no.yaml"]]
)
def test_the_command_refuses_what_it_cannot_use(capsys, arguments):
    assert main(["what-if", *arguments]) == 2
    assert capsys.readouterr().err.startswith("diagnose: ")


@pytest.mark.parametrize("number", ["1e308", "1e19", "1e-320"])
@pytest.mark.parametrize("name", ["lr", "batch_size", "epochs", "warmup_steps", "max_norm", "width"])
def test_a_number_beyond_all_sense_is_refused_or_left_out_and_breaks_nothing(name, number):
    config = {"lr": 0.1, "batch_size": 1, "dataset_size": number, "epochs": number, "warmup_epochs": 5, "max_norm": 1}
    told = settings(diagnose.what_if(config, batch_size=2)).values()
    assert all(isfinite(value) for value in told if isinstance(value, int | float))
    with pytest.raises(InvalidArgumentError):
        diagnose.what_if(config, **{name: number})


TOLD = {"lr": 3e-4, "batch_size": 256, "width": 512, "optimizer": "AdamW", "steps": 20_000, "weight_decay": 0.1}


def test_a_setting_that_two_changes_pull_moves_by_both():
    both = settings(diagnose.what_if(TOLD, batch_size=1024, width=2048))
    for_batch, for_width = (settings(diagnose.what_if(TOLD, **{name: both[name]})) for name in ("batch_size", "width"))
    assert both["lr"] == pytest.approx(for_batch["lr"] * for_width["lr"] / TOLD["lr"])


def test_one_thing_told_by_two_settings_is_counted_once():
    once = settings(diagnose.what_if(TOLD, batch_size=2048))
    parts = settings(diagnose.what_if(TOLD, batch_size=1024, accumulation_steps=2))
    assert (once["lr"], once["steps"]) == (parts["lr"], parts["steps"])


CHOICES = {
    "batch_size": 1024, "accumulation_steps": 4, "width": 2048, "lr": 1e-4, "optimizer": "SGD", "epochs": 20,
    "steps": 9_000, "augmentation": "strong", "label_smoothing": 0.1, "depth": 12, "scheduler": "OneCycleLR",
    "model": "another",
}  # fmt: skip


@given(st.lists(st.sampled_from(sorted(CHOICES)), min_size=2, max_size=4, unique=True))
def test_the_order_in_which_changes_are_named_is_of_no_matter(names):
    told = {**TOLD, "epochs": 10, "decay_steps": 20_000, "depth": 8, "dropout": 0.2}
    answers = [diagnose.what_if(told, **{name: CHOICES[name] for name in order}) for order in (names, names[::-1])]
    ways = [sorted((c.setting, str(c.after), c.because) for c in answer.changes) for answer in answers]
    assert ways[0] == ways[1]
