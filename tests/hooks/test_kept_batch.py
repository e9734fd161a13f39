"""The batch that broke is on disk, whole and alone, and nothing else is held."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from diagnose.hooks.kept_batch import MOST_PENDING, BatchKeeper
from diagnose.hooks.loader_indices import LoaderTap


@pytest.fixture
def keeper(tmp_path):
    return BatchKeeper(tmp_path, lambda: [4, 2])


def kept(run_dir: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(run_dir / f"nonfinite-batch-step{step}.safetensors")


def metadata(run_dir: Path, step: int) -> dict[str, str]:
    with safe_open(run_dir / f"nonfinite-batch-step{step}.safetensors", "pt") as file:
        return file.metadata()


def broken(keeper: BatchKeeper, *args: object, **kwargs: object) -> None:
    keeper.saw(1, args, kwargs)
    keeper.verdict(1, True)


def test_a_training_that_turns_nan_leaves_the_batch_that_did_it(tmp_path):
    torch.manual_seed(0)
    rows = torch.randn(40, 3)
    rows[17, 1] = float("inf")
    loader = DataLoader(TensorDataset(rows), batch_size=4, shuffle=True)
    model = nn.Linear(3, 1)
    tap = LoaderTap()
    keeper = BatchKeeper(tmp_path, tap.latest)
    for step, (batch,) in enumerate(loader, start=1):
        keeper.saw(step, (batch,), {})
        loss = model(batch).square().mean()
        keeper.verdict(step, not loss.isfinite())
    tap.close()
    [path] = tmp_path.iterdir()
    file = load_file(path)
    assert 17 in file["indices"]
    assert torch.equal(file["args.0"], rows[file["indices"]])


def test_all_micro_batches_of_the_step_are_kept_in_order(tmp_path):
    draws = iter([[0], [1], None])
    keeper = BatchKeeper(tmp_path, lambda: next(draws))
    for value in range(3):
        keeper.saw(5, (torch.tensor(value), "word"), {})
    keeper.verdict(5, True)
    file = kept(tmp_path, 5)
    assert [file[f"micro{number}.args.0"].item() for number in range(3)] == [0, 1, 2]
    assert file["micro1.indices"].tolist() == [1]
    assert "micro2.indices" not in file
    assert metadata(tmp_path, 5)["micro_batches"] == "3"
    assert json.loads(metadata(tmp_path, 5)["values"])["micro2.args.1"] == "word"


def test_the_verdict_may_come_steps_later(keeper, tmp_path):
    for step in range(1, 6):
        keeper.saw(step, (torch.tensor(step),), {})
    keeper.verdict(1, False)
    keeper.verdict(2, False)
    keeper.verdict(3, True)
    assert [path.name for path in tmp_path.iterdir()] == ["nonfinite-batch-step3.safetensors"]
    assert kept(tmp_path, 3)["args.0"].item() == 3
    assert metadata(tmp_path, 3)["step"] == "3"
    assert metadata(tmp_path, 3)["format"] == "diagnose-batch-1"


def steps_in_memory(keeper: BatchKeeper, steps: range) -> Callable[[], list[int]]:
    """Show the keeper one batch per step and tell, when asked, for which steps their memory is still there."""
    memories = {}
    for step in steps:
        rows = np.ones(3, dtype=np.float32)
        memories[step] = weakref.ref(rows)
        keeper.saw(step, (torch.from_numpy(rows),), {})
    del rows
    return lambda: [step for step, memory in memories.items() if memory() is not None]


def test_only_the_first_broken_batch_is_written_and_nothing_is_held_after_it(keeper, tmp_path):
    before = steps_in_memory(keeper, range(1, 4))
    assert before() == [1, 2, 3]
    keeper.verdict(1, True)
    after = steps_in_memory(keeper, range(4, 6))
    keeper.verdict(2, True)
    keeper.verdict(4, True)
    assert before() == after() == []
    assert [path.name for path in tmp_path.iterdir()] == ["nonfinite-batch-step1.safetensors"]


def test_a_sound_verdict_forgets_the_step_and_those_before_it(keeper, tmp_path):
    held = steps_in_memory(keeper, range(1, 4))
    keeper.verdict(2, False)
    assert held() == [3]
    assert list(tmp_path.iterdir()) == []


def test_only_so_many_steps_are_held_and_a_verdict_that_comes_too_late_says_so(keeper, tmp_path, caplog):
    held = steps_in_memory(keeper, range(1, MOST_PENDING + 4))
    assert held() == list(range(4, MOST_PENDING + 4))
    with caplog.at_level(logging.WARNING, logger="diagnose"):
        keeper.verdict(2, True)
    assert "inputs of step 2" in caplog.text
    assert held() == []
    assert list(tmp_path.iterdir()) == []


def test_the_graph_that_made_an_input_is_not_held(keeper):
    rows = np.ones(3, dtype=np.float32)
    memory = weakref.ref(rows)
    saved_for_backward = torch.from_numpy(rows)
    generated = saved_for_backward * torch.ones(3, requires_grad=True)
    keeper.saw(1, (generated,), {})
    del rows, saved_for_backward, generated
    assert memory() is None


def test_a_closed_keeper_holds_and_writes_nothing(keeper, tmp_path):
    held = steps_in_memory(keeper, range(2))
    keeper.close()
    keeper.close()
    assert held() == []
    broken(keeper, torch.ones(1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow  # two processes more
def test_of_a_distributed_tensor_this_ranks_shard_is_kept(keeper, tmp_path):
    script = """
import sys, pathlib, torch, torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
from diagnose.hooks.kept_batch import BatchKeeper
store = dist.FileStore(sys.argv[1] + "/store", 2)
rank = int(sys.argv[2])
dist.init_process_group("gloo", rank=rank, world_size=2, store=store)
whole = distribute_tensor(torch.arange(4.0), init_device_mesh("cpu", (2,)), [Shard(0)])
keeper = BatchKeeper(pathlib.Path(sys.argv[1]), lambda: None)
keeper.saw(1, (whole,), {})
if rank == 1:
    keeper.verdict(1, True)  # alone: must not wait for the other rank
dist.barrier()
dist.destroy_process_group()
"""
    ranks = [subprocess.Popen([sys.executable, "-c", script, tmp_path, str(rank)]) for rank in range(2)]
    assert [rank.wait(120) for rank in ranks] == [0, 0]
    name = "nonfinite-batch-step1-rank1.safetensors"
    assert load_file(tmp_path / name)["args.0"].tolist() == [2.0, 3.0]
    with safe_open(tmp_path / name, "pt") as file:
        assert "shard" in file.metadata()["notes"]
        assert file.metadata()["rank"] == "1"


def test_a_directory_that_is_gone_is_an_os_error(tmp_path):
    keeper = BatchKeeper(tmp_path / "gone", lambda: None)
    keeper.saw(1, (torch.ones(1),), {})
    with pytest.raises(FileNotFoundError):
        keeper.verdict(1, True)
    assert steps_in_memory(keeper, range(2, 4))() == []
