"""The closed loop on real trainings: cured, left to a person, out of rounds, and never over another run."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import diagnose
from diagnose.diagnosis import Change
from diagnose.errors import InvalidArgumentError
from diagnose.prescriptions.titration import further, has_just_begun, is_overdone
from diagnose.prescriptions.treatment import Round, Treatment, _better, _end, _following, _times_longer, _why_stop
from diagnose.reports.treatment import line
from diagnose.run import Series

SOUND = Path(__file__).parents[3] / "fixtures" / "runs" / "plain-classification-0"

CONFIG = {"lr": 0.05, "batch_size": 32, "steps": 150, "warmup_steps": 0, "max_norm": None, "width": 32, "seed": 0}


@pytest.fixture
def train(tmp_path):
    """`train(config) -> run_dir` as a user writes it."""
    calls = []

    def trained(config):
        run_dir = tmp_path / str(len(calls))
        calls.append(config)
        torch.manual_seed(config["seed"])
        data = load_digits()
        x, y = torch.tensor(data.data / 16, dtype=torch.float32), torch.tensor(data.target)
        model = nn.Sequential(nn.Linear(64, config["width"]), nn.ReLU(), nn.Linear(config["width"], 10))
        optimizer = torch.optim.SGD(model.parameters(), lr=config["lr"], momentum=0.9)
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min(1.0, (step + 1) / max(config["warmup_steps"], 1))
        )
        criterion = nn.CrossEntropyLoss()
        told = {"batch_size": config["batch_size"], "num_classes": 10, "dataset_size": 1500}
        with diagnose.attach(model, optimizer, criterion=criterion, run_dir=run_dir, config=told) as monitor:
            for step in range(config["steps"]):
                rows = torch.randint(0, 1500, (config["batch_size"],))
                optimizer.zero_grad()
                criterion(model(x[rows]), y[rows]).backward()
                optimizer.step()
                scheduler.step()
                if step % 10 == 9:
                    with torch.no_grad():
                        monitor.log(split="validation", loss=nn.functional.cross_entropy(model(x[1500:]), y[1500:]))
        return run_dir

    trained.calls = calls
    return trained


def test_a_healthy_training_is_left_as_it_is(train):
    treatment = diagnose.treat(train, CONFIG)
    assert len(treatment.rounds) == 1 and treatment.stopped == "healthy" and not treatment.cured
    assert treatment.rounds[0].made == ()


def test_a_rate_far_too_high_is_cured(train, capsys):
    treatment = diagnose.treat(train, {**CONFIG, "lr": 20.0})
    first, second, *_ = treatment.rounds
    assert not first.diagnosis.healthy and {change.setting for change in first.made} >= {"lr"}
    assert second.config["lr"] < 1 and treatment.cured and treatment.best.diagnosis.healthy
    assert [dict(call)["seed"] for call in train.calls] == [0] * len(train.calls)
    assert "Next: lr" in capsys.readouterr().err


def test_before_and_after_stand_in_its_report(train):
    report = diagnose.treat(train, {**CONFIG, "lr": 20.0}, rounds=1, on_round=lambda _: None).to_markdown()
    assert report.startswith("# Cured after 1 further training") and "## Before and after" in report
    assert "after, in round 1 |" in report
    assert "| verdict | Critical | Healthy |" in report and "| `lr` | 20.0 |" in report.replace("\\", "")


def test_the_user_s_config_is_never_changed(train):
    config = {**CONFIG, "lr": 20.0}
    diagnose.treat(train, config, rounds=1, on_round=lambda _: None)
    assert config == {**CONFIG, "lr": 20.0}


def test_what_no_setting_mends_is_left_to_a_person(train):
    def without_places(config):
        return train({**CONFIG, "lr": 20.0, **config})

    treatment = diagnose.treat(without_places, {"seed": 0}, on_round=lambda _: None)
    assert treatment.stopped == "nothing left to change" and len(treatment.rounds) == 1 and not treatment.cured
    assert "lr" in {change.setting for change in treatment.rounds[0].left}


def test_rounds_and_budget_end_it(train):
    ill = {**CONFIG, "lr": 20.0}
    assert len(diagnose.treat(train, ill, rounds=0, on_round=lambda _: None).rounds) == 1
    treatment = diagnose.treat(train, ill, budget=0.0, on_round=lambda _: None)
    assert len(treatment.rounds) == 1 and treatment.stopped == "budget used up"


def test_a_run_that_would_be_written_over_is_refused(train):
    first = train({**CONFIG, "lr": 20.0})
    with pytest.raises(InvalidArgumentError, match="second time"):
        diagnose.treat(lambda _: first, {**CONFIG, "lr": 20.0}, on_round=lambda _: None)


def test_a_lower_loss_is_better_below_zero_too():
    assert _better(-2.0, -1.9) and not _better(-1.9, -2.0) and not _better(-1.905, -1.9)
    assert _better(0.5, 0.6) and not _better(0.598, 0.6)


def _with_adamw(diagnosis):
    setup = replace(diagnosis.run.setup, optimizer={**diagnosis.run.setup.optimizer, "type": "AdamW"})
    return replace(diagnosis, run=replace(diagnosis.run, setup=setup))


def _with_accuracy(one, end):
    told = {name: series for name, series in one.diagnosis.run.scalars.items() if name != "accuracy/validation"}
    if end is not None:
        told["accuracy/validation"] = Series(np.array([1, 2, 3]), np.array([0.1, end or 0.1, end]), np.zeros(3))
    return replace(one, diagnosis=replace(one.diagnosis, run=replace(one.diagnosis.run, scalars=told)))


def _three_rounds():
    """A rate lowered, then taken back up without any gain."""
    sound = sorted(map(diagnose.examine, SOUND.parent.glob("plain-classification-*")), key=lambda d: _end(Round({}, d)))
    ill = diagnose.examine(SOUND.parent / "lr_far_too_high-classification-0")
    lowered, raised = (Change("lower_lr", "", "lr", *rates, "", ()) for rates in ((5.0, 0.05), (0.05, 0.5)))
    config = {**CONFIG, "scheduler": None, "optimizer": "SGD"}
    return [
        Round({**config, "lr": 5.0}, ill, made=(lowered,)),
        Round({**config, "lr": 0.05}, sound[0], made=(raised,), origin=0),
        Round({**config, "lr": 0.5}, sound[-1], origin=1),
    ]


def test_after_a_dose_that_did_not_help_the_best_round_goes_on_with_another():
    done = _three_rounds()
    at, following = _following(done)
    assert at == 1 and following.made
    assert following.config not in [one.config for one in done]
    _, after = _following([*done, Round(following.config, done[2].diagnosis, origin=1)])
    assert after.made and after.config not in [one.config for one in done] + [following.config]


def test_a_change_that_made_an_ill_run_worse_is_undone_and_another_tried():
    short, thrown = "too_few_epochs-classification-0", "lr_far_too_high-classification-0"
    ill, worse = (diagnose.examine(SOUND.parent / name) for name in (short, thrown))
    assert not ill.healthy and not worse.healthy
    config = {**CONFIG, "scheduler": None, "optimizer": "SGD", "epochs": 2}
    first = _following([Round(config, ill)])[1]
    done = [Round(config, ill, made=first.made), Round(first.config, worse, origin=0)]
    at, following = _following(done)
    assert at == 0 and following.made
    assert following.config not in (config, first.config)
    assert following.config["lr"] == config["lr"] != first.config["lr"]
    as_ill = Round({**first.config, "lr": 0.05}, ill, origin=0)
    assert _following([done[0], as_ill])[0] == 1


def test_a_round_that_goes_back_says_so_in_the_report():
    done = _three_rounds()
    at, following = _following(done)
    again = Round(following.config, done[2].diagnosis, origin=at)
    assert "## Round 3, from round 1 again: " in Treatment((*done, again), "healthy").to_markdown()
    assert "Next, from round 1 again: " in line(replace(done[2], made=following.made, back_to=at))


def test_a_training_that_would_end_beyond_the_budget_is_not_begun():
    twice = Change("train_longer", "", "steps", 100, 200, "", ())
    done = [Round(CONFIG, _three_rounds()[0].diagnosis, made=(twice,), seconds=1000.0)]
    assert _why_stop(done, {}, 3, time.monotonic() + 2500) is None
    assert _why_stop(done, {}, 3, time.monotonic() + 1500) == "budget used up"


@pytest.mark.parametrize(
    ("changes", "longer"),
    [
        ({"lr": (1.0, 0.1)}, 1), ({"steps": (100, 300)}, 3), ({"epochs": (2, 4), "batch_size": (64, 16)}, 2),
        ({"batch_size": (32, 128)}, 4), ({"batch_size": (32, 16), "accumulation_steps": (1, 2)}, 1),
        ({"width": (64, 128)}, 4), ({"depth": (2, 4), "steps": (100, 200)}, 4),
    ],
)  # fmt: skip
def test_a_training_takes_as_much_longer_as_it_has_to_compute(changes, longer):
    made = [Change("", "", setting, before, after, "", ()) for setting, (before, after) in changes.items()]
    assert _times_longer(made) == pytest.approx(longer)


def test_a_rate_that_goes_further_up_gets_its_decay_with_it():
    constant = diagnose.examine(SOUND.parent / "missing_decay-classification-0")
    assert "rate_never_decays" in {finding.id for finding in constant.findings}
    raised = Change("raise_lr", "", "lr", 1e-4, 0.05, "", ())
    first, *_ = further(constant, [raised])
    assert {change.setting: change.after for change in first}.items() >= {"lr": 0.15, "scheduler": "cosine"}.items()


def test_a_run_that_only_became_too_slow_is_ill_of_its_dose():
    slow, lowered = diagnose.examine(SOUND.parent / "lr_too_low-classification-0"), (50.0, 0.01)
    made = [Change("lower_lr", "", "lr", *lowered, "", ())]
    assert is_overdone(slow, made)
    assert not is_overdone(slow, [Change("lower_lr", "", "lr", 0.03, 0.01, "", ())])
    assert not is_overdone(diagnose.examine(SOUND.parent / "lr_too_high-classification-0"), made)
    assert not is_overdone(diagnose.examine(SOUND), made)


def test_a_clip_threshold_that_made_a_run_healthy_is_tightened_and_never_loosened():
    diagnosis = diagnose.examine(SOUND)
    added = Change("clip_gradients", "", "max_norm", None, 1.0, "", ())
    assert next(further(diagnosis, [added]))[0].after == pytest.approx(1 / 3, rel=0.01)


def test_taking_a_batch_further_leaves_the_rate_that_its_remedy_holds():
    diagnosis = diagnose.examine(SOUND)
    shrunk = Change("shrink_batch", "", "batch_size", 256, 64, "", ())
    first = next(further(diagnosis, [shrunk]))
    assert first[0].setting == "batch_size" and "lr" not in [change.setting for change in first]


def test_after_a_rate_that_was_off_by_decades_comes_an_optimizer_whose_start_suits_at_once():
    diagnosis = diagnose.examine(SOUND)
    lowered = Change("lower_lr", "", "lr", 100.0, 0.03, "", ())
    first, *_ = further(diagnosis, [lowered])
    assert {change.setting: change.after for change in first} == {"optimizer": "AdamW", "lr": 1e-3}
    switched = _with_adamw(diagnosis)
    again, *_ = further(switched, first)
    assert (again[0].setting, again[0].before, again[0].after) == ("lr", 1e-3, pytest.approx(1e-2))
    assert again[0].remedy == "raise_lr" and "usual start" in again[0].because
    further_up, *_ = further(switched, again)
    assert (further_up[0].before, further_up[0].after) == (1e-2, pytest.approx(3e-2))


def test_a_rate_decades_above_the_usual_ones_was_no_measure_of_anything():
    diagnosis = diagnose.examine(SOUND)
    for before, switches in ((50.0, True), (20.0, False)):
        (first, *_), *_ = further(diagnosis, [Change("lower_lr", "", "lr", before, 2.0, "", ())])
        assert (first.setting == "optimizer") == switches


def test_a_rate_that_was_raised_from_next_to_nothing_is_judged_after_it_was_moved():
    raised = Change("raise_lr", "", "lr", 1e-9, 1e-3, "", ())
    slow = diagnose.examine(SOUND.parent / "lr_too_low-classification-0")
    assert has_just_begun(slow, [raised]) and has_just_begun(diagnose.examine(SOUND), [raised])
    assert not has_just_begun(slow, [replace(raised, before=5e-4)])
    assert not has_just_begun(diagnose.examine(SOUND.parent / "lr_too_high-classification-0"), [raised])
    assert next(further(slow, [raised]))[0].after == pytest.approx(3e-3)
    assert next(further(_with_adamw(slow), [raised]))[0].after == pytest.approx(1e-2)


def test_another_optimizer_is_judged_after_its_rate_was_moved():
    done = _three_rounds()
    switched = (
        Change("use_adamw", "", "optimizer", "SGD", "AdamW", "", ()),
        Change("lower_lr", "", "lr", 0.05, 1e-3, "", (), coupled_to="use_adamw"),
    )
    config = {**CONFIG, "optimizer": "AdamW", "lr": 1e-3}
    after = Round(config, _with_adamw(done[2].diagnosis))
    done = [*done[:2], Round(done[1].config, done[1].diagnosis, made=switched), after]
    assert _end(done[3]) > _end(done[1])
    at, following = _following(done)
    assert at == 3 and following.config["optimizer"] == "AdamW" and following.config["lr"] == 1e-2
    ill = diagnose.examine(SOUND.parent / "lr_too_high-classification-0")
    assert _following([*done[:3], replace(done[3], diagnosis=ill)])[0] != 3


@pytest.mark.parametrize(
    ("accuracies", "better"),
    [
        ((0.7, 0.8), 1), ((0.79, 0.8), 0), ((0.7, np.nan), 0), ((None, 0.8), 0), ((70.0, 80.0), 1),
    ],
)  # fmt: skip
def test_the_best_of_equals_is_clearly_the_most_accurate_else_that_of_lowest_loss(accuracies, better):
    equals = [Round(CONFIG, each.diagnosis) for each in _three_rounds()[1:]]
    assert _end(equals[0]) < _end(equals[1])
    rounds = tuple(_with_accuracy(one, end) for one, end in zip(equals, accuracies, strict=True))
    assert Treatment(rounds, "healthy").best is rounds[better]


def test_where_a_loss_ends_is_a_level_and_no_single_value():
    one = _three_rounds()[1]
    loss = one.diagnosis.run.scalar("loss/train")
    assert loss is not None
    values = np.where(loss.steps == loss.steps[-1], 50.0, loss.values)
    run = replace(one.diagnosis.run, scalars={"loss/train": Series(loss.steps, values, loss.wall_times)})
    assert _end(replace(one, diagnosis=replace(one.diagnosis, run=run))) < 1


def test_a_last_round_leaves_nothing_of_what_could_have_followed_once_one_was_healthy(train):
    treatment = diagnose.treat(train, {**CONFIG, "lr": 20.0}, rounds=1, on_round=lambda _: None)
    assert treatment.cured and treatment.rounds[-1].left == () == treatment.rounds[-1].made
    ill = diagnose.treat(train, {**CONFIG, "lr": 20.0}, rounds=0, on_round=lambda _: None).rounds[-1]
    assert ill.left == ill.diagnosis.prescription.changes and "lr" in {change.setting for change in ill.left}


def test_a_lowered_rate_goes_back_no_further_than_the_curvature_bears():
    diagnosis = diagnose.examine(SOUND)
    product, rates = diagnosis.run.scalar("lr_sharpness"), diagnosis.run.scalar("lr/group0")
    assert product is not None and rates is not None
    used = np.interp(product.steps, rates.steps, rates.values)
    assert used[0] > 2 * used[-1]  # a rate that goes down
    high = used > 0.5 * used[0]
    lowered = Change("lower_lr", "", "lr", 9.0, 0.1, "", ())
    bears = 2 * 1.9 / (product.values[high] / used[high]).max()
    (dose, *_), *_ = further(diagnosis, [lowered])
    assert dose.setting == "lr" and dose.after == pytest.approx((0.1 * min(9.0, max(bears, 0.1))) ** 0.5, rel=0.01)


def test_a_negative_number_of_rounds_is_refused(train):
    with pytest.raises(InvalidArgumentError, match="rounds"):
        diagnose.treat(train, CONFIG, rounds=-1)


def test_what_the_training_raises_passes_through():
    def broken(_):
        raise RuntimeError("no data")

    with pytest.raises(RuntimeError, match="no data"):
        diagnose.treat(broken, CONFIG)
