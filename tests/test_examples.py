"""The examples of the manual run as they stand, and leave a run that can be examined."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import diagnose

pytestmark = pytest.mark.slow
EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
OWN_WAY = ("data", "distributed", "handed_on")  # started otherwise, or no training of their own


def run(folder, *arguments, **environment):
    """What the command prints; fails with all of it where it fails."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=folder, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem not in OWN_WAY))
def test_an_example_trains_and_is_diagnosed(name, tmp_path):
    said = run(tmp_path, EXAMPLES / f"{name}.py", tmp_path / "run")
    found = diagnose.load(tmp_path / "run")
    assert found.closed
    assert len(found.scalar("loss/train")) > 20 or "Halted by" in said
    assert found.per_layer("layers/grad_norm") is not None


@pytest.mark.parametrize("how", ["--ddp", "--fsdp"])
def test_two_ranks_are_one_run(how, tmp_path):
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    run(tmp_path, *launcher, EXAMPLES / "distributed.py", tmp_path / "run", how)
    found = diagnose.load(tmp_path / "run")
    assert found.scalar("loss/train").steps.tolist() == list(range(1, 81))
    assert found.setup.environment["data_parallel_ranks"] == 2
    assert found.closed


def test_accelerate_on_two_ranks_is_one_run(tmp_path):
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    run(tmp_path, *launcher, EXAMPLES / "accelerate_loop.py", tmp_path / "run", ACCELERATE_USE_CPU="true")
    found = diagnose.load(tmp_path / "run")
    assert found.setup.environment["data_parallel_ranks"] == 2
    assert found.scalar("loss/train").steps.tolist() == list(range(1, 41))


def test_a_diagnosis_is_handed_on(tmp_path):
    run(tmp_path, EXAMPLES / "plain.py", tmp_path / "run")
    run(tmp_path, EXAMPLES / "handed_on.py", tmp_path / "run")
    assert (tmp_path / "mlflow.db").exists()
    assert list(tmp_path.glob("wandb/offline-run-*"))
    assert list((tmp_path / "run").glob("*.diagnosis"))
