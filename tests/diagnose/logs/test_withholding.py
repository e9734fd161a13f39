"""What a setting's name calls a secret is neither written into a log nor read out of one."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

import diagnose
from diagnose.logs.withholding import WITHHELD, withheld
from diagnose.logs.writing import EventFile

SECRET = "s3cr3t-of-mine"


@pytest.mark.parametrize(
    "name",
    [
        "api_key", "apiKey", "API_KEY", "OPENAI_API_KEY", "wandb-api-key", "aws_access_key_id", "aws_secret_access_key",
        "password", "db.password", "DbPassword", "token", "hf_token", "accessToken", "client_secret", "webhook_url",
    ],
)  # fmt: skip
def test_a_text_whose_name_says_so_is_withheld_at_any_depth(name):
    assert withheld({"data": [{name: SECRET}], name: SECRET}) == {"data": [{name: WITHHELD}], name: WITHHELD}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pad_token", "<pad>"), ("eos_token", "</s>"), ("max_tokens", "512"), ("tokenizer", "gpt2"), ("keys", "qkv"),
        ("partition_key", "day"), ("sort_key", "length"), ("monkey", "yes"), ("api_key", ""), ("token", 7),
        ("password", None), ("hub_model_id", "me/mine"), ("", "x"), ("_", "x"), ("url", "file.csv"), ("key", "loss"),
    ],
)  # fmt: skip
def test_a_setting_of_the_model_or_no_text_is_kept(name, value):
    assert withheld({name: value, "deep": {name: value}}) == {name: value, "deep": {name: value}}


def test_a_watched_training_writes_none_and_keeps_the_config_as_it_was(tmp_path):
    model = nn.Linear(2, 1)
    config = {"batch_size": 4, "logger": {"api_key": SECRET}}
    with diagnose.attach(model, torch.optim.SGD(model.parameters(), 0.1), run_dir=tmp_path, config=config):
        model(torch.ones(4, 2)).sum().backward()
    assert not any(SECRET.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert diagnose.load(tmp_path).setup.config == {"batch_size": 4, "logger": {"api_key": WITHHELD}}
    assert config["logger"] == {"api_key": SECRET}


def test_what_another_tool_wrote_is_not_shown(tmp_path):
    with EventFile(tmp_path) as log:
        log.write_step(1, time.time(), [("loss/train", 1.0)], {})
    (tmp_path / "hparams.yaml").write_text(f"lr: 0.1\nhf_token: {SECRET}\n")
    run = diagnose.load(tmp_path)
    assert run.setup.config == {"lr": 0.1, "hf_token": WITHHELD}
    assert SECRET not in str(diagnose.examine(run).to_dict())
