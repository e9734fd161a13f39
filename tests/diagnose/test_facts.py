"""What a set-up tells: the samples of a step, and the optimizer's kind."""

from __future__ import annotations

import pytest

from diagnose import facts
from diagnose.optimizer_names import kind_of
from diagnose.prescriptions.settings import settings_of
from diagnose.run import Run, Setup


@pytest.mark.parametrize(
    ("config", "ranks", "samples"),
    [
        ({"batch_size": 32}, None, 32),
        ({"batch_size": 32, "gradient_accumulation_steps": 4}, None, 128),
        ({"batch_size": 32, "accumulation_steps": 4}, 8, 1024),
        ({"batch_size": 0}, 8, None),
        ({}, 8, None),
        ({"batch_size": 32}, "many", 32),
        ({"batch_size": 32}, -1, 32),
    ],
)
def test_a_step_sees_every_rank_s_every_micro_batch(config, ranks, samples):
    setup = Setup(config=config, environment={} if ranks is None else {"data_parallel_ranks": ranks})
    assert facts.effective_batch_size(setup) == samples
    assert settings_of(Run("r", setup)).batch == samples


@pytest.mark.parametrize(
    ("name", "kind"),
    [("", "untold"), ("AdamW", "adaptive"), ("torch.optim.SGD", "sgd"), ("DAdaptAdam", "other"), ("Adagrad", "other"),
     ("adamw_bnb_8bit", "adaptive"), ("schedule_free_sgd", "other"),
     ("<class 'torch.optim.adam.Adam'>", "adaptive"), ("SGD(lr=0.1)", "sgd"), ("SGDP", "other"),
     ("SparseAdam", "adaptive"), ("AdamW (\nParameter Group 0\n    lr: 0.001\n)", "adaptive"),
     ("SGD with momentum", "sgd"), ("Nesterov SGD", "sgd")],
)  # fmt: skip
def test_an_optimizer_is_of_the_kind_that_its_name_says(name, kind):
    assert kind_of(name) == kind


@pytest.mark.parametrize(
    "config", [{"disable_mixup": True}, {"without_cutmix": True}, {"mixup": 0.0, "mixup_prob": 1.0}]
)
def test_a_strong_augmentation_that_is_off_is_none(config):
    assert facts.strong_augmentation(Setup(config=config)) == ""
