"""Transformers: a callback watches what the Trainer trains, and leaves it as it would be without."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

import diagnose

pytestmark = pytest.mark.slow
SEQUENCES, LENGTH, WORDS = 48, 12, 40


@pytest.fixture
def hf(framework, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return framework("transformers")


@pytest.fixture
def callback(hf):
    from diagnose.hooks.integrations.transformers import DiagnoseCallback

    return DiagnoseCallback


class Sentences(torch.utils.data.Dataset):
    """Each word follows from the one before it."""

    def __len__(self):
        return SEQUENCES

    def __getitem__(self, index):
        words = (index + 3 * torch.arange(LENGTH)) % WORDS
        return {"input_ids": words, "labels": words.clone()}


def language_model(hf):
    config = hf.GPT2Config(
        vocab_size=WORDS, n_positions=LENGTH, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    torch.manual_seed(0)
    return hf.GPT2LMHeadModel(config)


def trainer(hf, folder, *callbacks, resume=None, train=True, **arguments):
    told = {
        "output_dir": str(folder), "per_device_train_batch_size": 8, "num_train_epochs": 4, "learning_rate": 0.01,
        "report_to": [], "use_cpu": True, "logging_steps": 5, "eval_strategy": "epoch", "save_strategy": "no",
        "disable_tqdm": True, "seed": 3, "max_grad_norm": 0.5, "warmup_steps": 4,
    }  # fmt: skip
    one = hf.Trainer(
        language_model(hf),
        hf.TrainingArguments(**{**told, **arguments}),
        train_dataset=Sentences(),
        eval_dataset=Sentences(),
        callbacks=[*callbacks],
    )
    one.train(resume_from_checkpoint=resume)
    return one


def test_what_the_trainer_knows_is_in_the_log(hf, callback, tmp_path):
    done = trainer(hf, tmp_path / "out", callback(run_dir=tmp_path / "run"))
    run = diagnose.load(tmp_path / "run")
    losses = run.scalar("loss/train")
    assert losses.steps.tolist() == list(range(1, 25))
    told = [entry["loss"] for entry in done.state.log_history if "loss" in entry]
    assert [losses.values[at : at + 5].mean() for at in range(0, 20, 5)] == pytest.approx(told[:4], rel=1e-3)
    validation = [entry["eval_loss"] for entry in done.state.log_history if "eval_loss" in entry]
    assert run.scalar("loss/validation").values.tolist() == pytest.approx(validation, rel=1e-3)
    assert run.scalar("loss/validation").steps.tolist() == [6, 12, 18, 24]
    config = run.setup.config
    assert (config["batch_size"], config["dataset_size"], config["epochs"], config["seed"]) == (8, 48, 4, 3)
    assert (config["warmup_steps"], config["max_norm"], config["precision"]) == (4, 0.5, "fp32")
    assert run.setup.optimizer["type"] == "AdamW"
    assert run.scalar("grad_norm_unclipped") is not None
    assert run.per_layer("layers/activation_variance") is not None
    assert not [name for name in run.scalars if "runtime" in name or "flos" in name]
    assert run.closed


def test_training_is_the_same_bit_for_bit(hf, callback, tmp_path):
    def trained(*callbacks):
        done = trainer(hf, tmp_path / "out", *callbacks, gradient_accumulation_steps=4, logging_steps=1)
        losses = [entry["loss"] for entry in done.state.log_history if "loss" in entry]
        return losses, [*done.model.state_dict().values(), torch.get_rng_state()]

    losses, state = trained()
    watched, watched_state = trained(callback(run_dir=tmp_path / "run", cadence=diagnose.Cadence(1, 1, 1, 1, 1)))
    assert watched == losses
    assert all(torch.equal(one, other) for one, other in zip(state, watched_state, strict=True))
    # An epoch of six batches ends with a step of two: what the parts sum up to is the trainer's own loss.
    run = diagnose.load(tmp_path / "run")
    assert run.scalar("loss/train").values.tolist() == pytest.approx(losses, rel=1e-3)
    assert run.setup.config["accumulation_steps"] == 4


def test_a_loss_that_the_model_does_not_compute_is_taken_from_the_logs(hf, callback, tmp_path):
    done = trainer(
        hf, tmp_path / "out", callback(run_dir=tmp_path / "run"), label_smoothing_factor=0.1, logging_steps=2
    )
    told = [entry["loss"] for entry in done.state.log_history if "loss" in entry]
    run = diagnose.load(tmp_path / "run")
    assert run.scalar("loss/train").values.tolist() == pytest.approx(told)
    assert run.setup.config["label_smoothing"] == 0.1


def test_a_halt_stops_the_trainer_and_says_why(hf, callback, tmp_path, caplog):
    watching = callback(run_dir=tmp_path / "run", halt_on=["nan_loss"])
    done = trainer(hf, tmp_path / "out", watching, learning_rate=1e30, max_grad_norm=0, num_train_epochs=1_000)
    assert done.state.global_step < 5_000
    assert watching.halted.finding.id == "nan_loss"
    assert "Halted by nan_loss" in caplog.text
    assert diagnose.load(tmp_path / "run").closed


def test_a_resumed_training_counts_on(hf, callback, tmp_path):
    options = {"save_strategy": "steps", "save_steps": 12, "save_total_limit": 5}
    trainer(hf, tmp_path / "out", callback(run_dir=tmp_path / "run"), **options)
    trainer(
        hf,
        tmp_path / "out",
        callback(run_dir=tmp_path / "run"),
        resume=str(tmp_path / "out" / "checkpoint-12"),
        **options,
    )
    run = diagnose.load(tmp_path / "run")
    assert run.scalar("loss/train").steps.tolist() == list(range(1, 25))


ON_RANKS = """
import json, sys
import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments
from diagnose.hooks.integrations.transformers import DiagnoseCallback

class Breaks(TrainerCallback):
    def on_step_begin(self, args, state, control, model=None, **given):
        if state.global_step >= 10:
            with torch.no_grad():
                model.transformer.wte.weight.fill_(torch.nan)

torch.manual_seed(0)
model = GPT2LMHeadModel(
    GPT2Config(vocab_size=40, n_positions=12, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0,
               attn_pdrop=0.0, resid_pdrop=0.0, embd_pdrop=0.0)
)
words = (3 * torch.arange(12)) % 40  # the same on both ranks, and so is the loss
told = {"report_to": [], "use_cpu": True, "logging_steps": 1, "save_strategy": "no", "disable_tqdm": True}
arguments = TrainingArguments(
    sys.argv[1], per_device_train_batch_size=4, max_steps=2_000, learning_rate=1e-2, gradient_accumulation_steps=2,
    ddp_backend="gloo", logging_nan_inf_filter=False, **told,
)
watching = DiagnoseCallback(run_dir=sys.argv[2], halt_on=["nan_loss"])
data = [{"input_ids": words, "labels": words.clone()}] * 64
trainer = Trainer(model, arguments, train_dataset=data, callbacks=[Breaks(), watching])
trainer.train()
losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
print(flush=True)  # both ranks write to one pipe: what is told goes in one piece, on a line of its own
told = [arguments.process_index, trainer.state.global_step, losses[:10], str(watching.halted)]
print("\\nRANK", json.dumps(told), flush=True)
"""


def test_two_ranks_are_one_run_with_the_trainers_loss_and_halt_together(hf, tmp_path):
    script = tmp_path / "train.py"
    script.write_text(ON_RANKS)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, str(script), str(tmp_path / "out"), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line.partition("RANK ")[2]) for line in done.stdout.splitlines() if "RANK " in line]
    (_, step, losses, halted), (_, other_step, *_) = sorted(told)
    assert step == other_step
    assert step < 2_000
    assert "Halted by nan_loss" in halted
    run = diagnose.load(tmp_path / "run")
    assert run.scalar("loss/train").values[:10].tolist() == pytest.approx(losses, rel=1e-3)
    assert run.setup.environment["data_parallel_ranks"] == 2
