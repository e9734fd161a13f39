"""A halted run says in one message what was found, where, and what to change with numbers."""

from __future__ import annotations

import pickle

import pytest

import diagnose


@pytest.fixture
def halted(new_training, tmp_path):
    training = new_training(lr=60.0)
    diagnose.attach(
        training.model,
        training.optimizer,
        criterion=training.criterion,
        run_dir=tmp_path,
        config={"batch_size": 32, "epochs": 10, "dataset_size": 3_200},
        halt_on=["nan_loss", "divergence"],
    )
    with pytest.raises(diagnose.TrainingHalted) as raised:
        training.run(10_000)
    return raised.value


def test_the_message_says_what_where_and_which_numbers_to_change(halted, tmp_path):
    message = str(halted)
    first, last = halted.finding.window
    assert message.startswith(f"Halted by {halted.finding.id}: ")
    assert f"steps {first}–{last}" in message
    assert halted.finding.summary.rstrip(".") in message
    (lr,) = [change for change in halted.diagnosis.prescription.changes if change.setting == "lr"]
    assert f"To change: lr 60 → {lr.after:g}" in message
    assert f"diagnose report {tmp_path}" in message
    assert "\n" not in message


def test_another_process_is_sent_the_whole_of_it(halted):
    sent = pickle.loads(pickle.dumps(halted))
    assert str(sent) == str(halted)
    assert sent.finding == halted.finding


def test_layers_are_named(tmp_path):
    finding = diagnose.Finding(
        "nan_loss", diagnose.Severity.CRITICAL, 1.0, (7, 7), "It stops being a number.", layers=("stem", "head")
    )
    assert str(diagnose.TrainingHalted(finding)) == (
        "Halted by nan_loss: NaN loss at step 7, layers stem, head (critical, 100 % sure). It stops being a number."
    )


def test_a_training_loop_may_halt_in_its_own_way(training, tmp_path):
    asked = []
    monitor = diagnose.attach(
        training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path, halt_on=["nan_loss"]
    )
    monitor.halt_with(asked.append)
    training.x[:] = float("nan")
    training.run(120)
    assert [finding.id for finding in asked] == ["nan_loss"]
    assert "check the batches" in str(monitor.halted(asked[0]))


def test_a_training_that_goes_on_counts_on(training, tmp_path):
    options = {"criterion": training.criterion, "run_dir": tmp_path, "cadence": diagnose.Cadence(activations=1)}
    with diagnose.attach(training.model, training.optimizer, **options):
        training.run(30)
    with diagnose.attach(training.model, training.optimizer, **options) as monitor:
        monitor.go_on_after(20)
        training.run(30)
    run = diagnose.load(tmp_path)
    assert list(run.scalar("loss/train").steps) == list(range(1, 51))
    assert list(run.per_layer("layers/activation_variance").steps) == list(range(1, 51))
