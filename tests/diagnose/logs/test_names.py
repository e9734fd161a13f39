"""Other loggers' names are found, and nothing is taken for what it is not."""

from __future__ import annotations

import pytest

from diagnose.logs.names import mapped, signal_of


@pytest.mark.parametrize(
    ("tag", "signal"),
    [
        ("loss", "loss/train"),
        ("train_loss", "loss/train"),
        ("train/loss", "loss/train"),
        ("Loss/train", "loss/train"),
        ("train_loss_step", "loss/train"),
        ("trainLoss", "loss/train"),
        ("train/epoch_loss", "loss/train"),
        ("train/ctc_loss", "loss/train"),
        ("val_loss", "loss/validation"),
        ("eval/loss", "loss/validation"),
        ("validation/epoch_loss", "loss/validation"),
        ("valid_loss", "loss/validation"),
        ("val_acc", "accuracy/validation"),
        ("epoch_accuracy", "accuracy/train"),
        ("learning_rate", "lr/group0"),
        ("train/learning_rate", "lr/group0"),
        ("lr", "lr/group0"),
        ("lr-AdamW", "lr/group0"),
        ("lr-SGD/pg2", "lr/group1"),
        ("lr/group3", "lr/group3"),
        ("train/grad_norm", "grad_norm"),
        ("gradient_norm", "grad_norm"),
    ],
)
def test_a_known_name_is_mapped(tag, signal):
    assert signal_of(tag) == signal


@pytest.mark.parametrize(
    "tag",
    [
        "global_step",
        "discriminator_loss",
        "loss_scale_factor",
        "time/fps",
        "epoch",
        "weight_norm",
        "lr_schedule_kind_name",
    ],
)
def test_another_quantity_is_left_alone(tag):
    assert signal_of(tag) is None


def test_the_finer_of_two_names_for_one_signal_is_taken():
    assert mapped({"train_loss_epoch": 10, "train_loss_step": 500}) == {"loss/train": "train_loss_step"}


def test_our_own_name_wins_over_a_longer_series():
    assert mapped({"loss/train": 10, "train_loss": 500}) == {"loss/train": "loss/train"}
