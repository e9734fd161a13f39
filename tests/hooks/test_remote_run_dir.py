"""`run_dir` as a URL: the log arrives while training runs, and training never waits for it."""

from __future__ import annotations

import logging
import subprocess
import sys
import time

import fsspec
import pytest

import diagnose
from diagnose.hooks import mirror

PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def brisk(monkeypatch, tmp_path):
    monkeypatch.setattr(mirror, "UPLOAD_S", 0.05)
    monkeypatch.setattr(mirror, "LAST_PAUSES_S", (0.0, 0.0))
    monkeypatch.setattr(mirror.tempfile, "tempdir", str(tmp_path))


def attach(training, url):
    return diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=url)


def until(holds):
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "never came true"
        time.sleep(0.02)


def spools(tmp_path):
    return [path for path in tmp_path.iterdir() if path.name.startswith("diagnose-")]


def test_the_log_arrives_and_is_the_whole_run(bucket, training, tmp_path):
    with attach(training, f"{bucket.url}/runs/a") as monitor:
        losses = training.run(60)
    assert str(monitor.run_dir) == f"{bucket.url}/runs/a"
    run = diagnose.load(str(monitor.run_dir))
    assert run.scalars["loss/train"].values.tolist() == pytest.approx(losses, rel=1e-6)
    assert run.closed and not run.notes and run.setup.optimizer
    assert spools(tmp_path) == []


def test_it_can_be_followed_while_training_runs(bucket, training):
    with attach(training, f"{bucket.url}/a"):
        training.run(60)
        until(lambda: any(map(bucket.get, bucket.keys())))
        until(lambda: "loss/train" in diagnose.load(f"{bucket.url}/a").scalars)


def test_a_long_log_goes_up_in_parts_that_read_as_one(bucket, training, monkeypatch):
    monkeypatch.setattr(mirror, "PART_BYTES", 20_000)
    with attach(training, f"{bucket.url}/a"):
        losses = training.run(400)
    assert len(bucket.keys()) > 1
    run = diagnose.load(f"{bucket.url}/a")
    assert run.scalars["loss/train"].values.tolist() == pytest.approx(losses, rel=1e-6)
    assert run.scalars["loss/train"].steps.tolist() == list(range(1, 401))
    assert not run.notes and run.closed and run.setup.optimizer


def test_a_store_that_is_down_fails_nothing_and_the_log_is_kept(bucket, training, tmp_path, caplog):
    bucket.line.down = True
    with caplog.at_level(logging.WARNING, "diagnose"), attach(training, f"{bucket.url}/a"):
        losses = training.run(60)
        until(lambda: "tried again" in caplog.text)
    (spool,) = spools(tmp_path)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2 and f"it is kept in {spool}." in told[1]
    assert "secret" not in caplog.text
    assert diagnose.load(spool).scalars["loss/train"].values.tolist() == pytest.approx(losses, rel=1e-6)


def test_a_store_that_was_down_for_a_while_gets_all_of_it(bucket, training, tmp_path, caplog):
    bucket.line.down = True
    with attach(training, f"{bucket.url}/a"):
        training.run(60)
        until(lambda: "tried again" in caplog.text)
        bucket.line.down = False
    assert len(diagnose.load(f"{bucket.url}/a").scalars["loss/train"].steps) == 60
    assert spools(tmp_path) == []


def test_in_memory(training):
    with attach(training, "memory://trained/a"):
        training.run(20)
    assert len(diagnose.load("memory://trained/a").scalars["loss/train"].steps) == 20
    fsspec.filesystem("memory").rm("/trained", recursive=True)


def test_a_url_that_cannot_be_used_is_told_at_once(training, tmp_path):
    with pytest.raises(diagnose.InvalidArgumentError, match="no driver takes zork://"):
        attach(training, "zork://bucket/run")
    assert spools(tmp_path) == []


@pytest.mark.slow  # another process
def test_a_program_that_never_closes_leaves_its_log_too(bucket):
    program = (
        "import torch, diagnose; from torch import nn; model = nn.Linear(4, 1);"
        "optimizer = torch.optim.SGD(model.parameters(), 0.1); criterion = nn.MSELoss();"
        f"diagnose.attach(model, optimizer, criterion=criterion, run_dir='{bucket.url}/a')\n"
        "for _ in range(10): optimizer.zero_grad(); criterion(model(torch.ones(2, 4)), torch.ones(2, 1)).backward();"
        " optimizer.step()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert bucket.keys(), done.stderr
    assert len(diagnose.load(f"{bucket.url}/a").scalars["loss/train"].steps) == 10
