"""The batch that broke is on disk, whole and alone, and nothing else is held."""

from __future__ import annotations

import json
import logging
import resource
import signal
import stat
import subprocess
import sys
import weakref
from collections import UserDict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from diagnose.hooks import batch_file
from diagnose.hooks.kept_batch import MOST_PENDING, BatchKeeper
from diagnose.hooks.loader_indices import LoaderTap


@pytest.fixture
def keeper(tmp_path):
    return BatchKeeper(tmp_path, lambda: [4, 2])


class Pair(NamedTuple):
    left: torch.Tensor
    right: torch.Tensor


def kept(run_dir: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(run_dir / f"nonfinite-batch-step{step}.safetensors")


def metadata(run_dir: Path, step: int) -> dict[str, str]:
    with safe_open(run_dir / f"nonfinite-batch-step{step}.safetensors", "pt") as file:
        return file.metadata()


def notes(run_dir: Path, step: int = 1) -> dict[str, str]:
    return json.loads(metadata(run_dir, step)["notes"])


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


def test_nested_inputs_keep_readable_names(keeper, tmp_path):
    pair = Pair(torch.ones(1), torch.zeros(1))
    broken(keeper, {"image": torch.ones(2, 3), "boxes": [torch.ones(4)]}, pair, input_ids=UserDict(a=torch.arange(3)))
    assert set(kept(tmp_path, 1)) == {
        "args.0.image", "args.0.boxes.0", "args.1.left", "args.1.right", "kwargs.input_ids.a", "indices",
    }  # fmt: skip
    assert kept(tmp_path, 1)["indices"].tolist() == [4, 2]
    assert kept(tmp_path, 1)["indices"].dtype == torch.int64


def test_two_keys_that_spell_one_name_lose_nothing(keeper, tmp_path):
    broken(keeper, {"a.b": torch.zeros(1), "a": {"b": torch.ones(1)}})
    assert kept(tmp_path, 1)["args.0.a.b"].item() == 0
    assert kept(tmp_path, 1)["args.0.a.b'"].item() == 1


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


def test_tensors_of_every_make_come_back_as_they_were(keeper, tmp_path):
    whole = torch.arange(12.0).reshape(3, 4)
    inputs = {
        "transposed": whole.t(),
        "row": whole[1],
        "again": whole,
        "expanded": torch.ones(1, 1).expand(2, 3),
        "brain": torch.tensor([1.5, float("nan")], dtype=torch.bfloat16),
        "empty": torch.empty(0, 7),
        "scalar": torch.tensor(3),
        "unsigned": torch.tensor([65535], dtype=torch.uint16),
        "eight_bits": torch.tensor([0.5]).to(torch.float8_e4m3fn),
        "parameter": nn.Parameter(torch.ones(2)),
    }
    broken(keeper, inputs)
    file = kept(tmp_path, 1)
    for name, tensor in inputs.items():
        came_back = file[f"args.0.{name}"]
        assert came_back.dtype == tensor.dtype and came_back.shape == tensor.shape
        assert torch.equal(came_back.double().nan_to_num(9), tensor.detach().double().nan_to_num(9)), name
    assert notes(tmp_path) == {}


def test_sparse_and_complex_tensors_are_converted_with_a_note(keeper, tmp_path):
    wave = torch.tensor([1 + 2j, 3 - 1j])
    broken(keeper, torch.eye(3).to_sparse(), torch.eye(2).to_sparse_csr(), wave.conj())
    file = kept(tmp_path, 1)
    assert torch.equal(file["args.0"], torch.eye(3))
    assert torch.equal(file["args.1"], torch.eye(2))
    assert torch.equal(torch.view_as_complex(file["args.2"]), wave.conj())
    assert "sparse_coo" in notes(tmp_path)["args.0"]
    assert "sparse_csr" in notes(tmp_path)["args.1"]
    assert "view_as_complex" in notes(tmp_path)["args.2"]


def test_what_no_file_can_hold_is_left_out_with_a_note_and_the_rest_kept(keeper, tmp_path):
    huge = torch.sparse_coo_tensor(torch.zeros(2, 1, dtype=torch.long), torch.ones(1), (2**20, 2**20))
    nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)
    quantized = torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)
    broken(keeper, huge, nested, quantized, torch.ones(2, device="meta"), object(), torch.ones(2))
    assert set(kept(tmp_path, 1)) == {"args.5", "indices"}
    assert set(notes(tmp_path)) == {f"args.{place}" for place in range(5)}
    assert all(note.startswith("left out") for note in notes(tmp_path).values())


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


def test_plain_values_go_into_the_metadata_at_bounded_length(keeper, tmp_path):
    broken(keeper, 3, "x" * 5_000, None, True, float("nan"), ["word " * 100] * 1_000, scale=0.5)
    text = metadata(tmp_path, 1)["values"]
    values = json.loads(text, parse_constant=pytest.fail)
    assert (values["args.0"], values["args.2"], values["args.3"], values["args.4"]) == (3, None, True, "nan")
    assert len(values["args.1"]) == batch_file.MOST_TEXT + 1
    assert len(text) < batch_file.MOST_JSON + 1_000
    assert "left out" in values["…"]


def test_a_list_without_end_in_sight_is_cut_with_a_note(keeper, tmp_path):
    broken(keeper, torch.ones(1), list(range(50_000)))
    assert "args.0" in kept(tmp_path, 1)
    assert str(batch_file.MOST_LEAVES) in notes(tmp_path)["…"]


def test_an_input_overwritten_since_is_marked(keeper, tmp_path):
    reused, untouched = torch.ones(2), torch.ones(2)
    keeper.saw(1, (reused, untouched), {})
    reused.add_(1)
    keeper.verdict(1, True)
    assert set(notes(tmp_path)) == {"args.0"}
    assert "in place" in notes(tmp_path)["args.0"]


def test_inputs_made_in_inference_mode_are_kept(keeper, tmp_path):
    with torch.inference_mode():
        batch = torch.ones(2)
    broken(keeper, batch)
    assert kept(tmp_path, 1)["args.0"].tolist() == [1, 1]
    assert notes(tmp_path) == {}


def test_inputs_without_any_tensor_make_a_file_too(tmp_path):
    keeper = BatchKeeper(tmp_path, lambda: None)
    broken(keeper, "a prompt")
    assert kept(tmp_path, 1) == {}
    assert json.loads(metadata(tmp_path, 1)["values"]) == {"args.0": "a prompt"}


def test_the_file_is_as_readable_as_any_other_beside_it(keeper, tmp_path):
    broken(keeper, torch.ones(1))
    (tmp_path / "log").touch()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_a_directory_that_is_gone_is_an_os_error(tmp_path):
    keeper = BatchKeeper(tmp_path / "gone", lambda: None)
    keeper.saw(1, (torch.ones(1),), {})
    with pytest.raises(FileNotFoundError):
        keeper.verdict(1, True)
    assert steps_in_memory(keeper, range(2, 4))() == []


def test_a_disk_that_takes_no_more_is_an_os_error_and_leaves_no_half_file(keeper, tmp_path):
    keeper.saw(1, (torch.ones(100_000),), {})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OSError, match="nonfinite-batch-step1"):
            keeper.verdict(1, True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []
