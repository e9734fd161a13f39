"""Whatever a model is given comes back from the file, or the file says why it does not."""

from __future__ import annotations

import json
import resource
import signal
import stat
from collections import UserDict
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from diagnose.hooks import batch_file
from diagnose.hooks.batch_file import inputs_of, write_batch

NAME = "batch.safetensors"


class Pair(NamedTuple):
    left: torch.Tensor
    right: torch.Tensor


def write(run_dir: Path, *args: object, **kwargs: object) -> None:
    write_batch(run_dir / NAME, [inputs_of(args, kwargs, [4, 2])], {})


def kept(run_dir: Path) -> dict[str, torch.Tensor]:
    return load_file(run_dir / NAME)


def metadata(run_dir: Path) -> dict[str, str]:
    with safe_open(run_dir / NAME, "pt") as file:
        return file.metadata()


def notes(run_dir: Path) -> dict[str, str]:
    return json.loads(metadata(run_dir)["notes"])


def test_nested_inputs_keep_readable_names(tmp_path):
    pair = Pair(torch.ones(1), torch.zeros(1))
    write(tmp_path, {"image": torch.ones(2, 3), "boxes": [torch.ones(4)]}, pair, input_ids=UserDict(a=torch.arange(3)))
    assert set(kept(tmp_path)) == {
        "args.0.image", "args.0.boxes.0", "args.1.left", "args.1.right", "kwargs.input_ids.a", "indices",
    }  # fmt: skip
    assert kept(tmp_path)["indices"].tolist() == [4, 2]
    assert kept(tmp_path)["indices"].dtype == torch.int64


def test_two_keys_that_spell_one_name_lose_nothing(tmp_path):
    write(tmp_path, {"a.b": torch.zeros(1), "a": {"b": torch.ones(1)}})
    assert kept(tmp_path)["args.0.a.b"].item() == 0
    assert kept(tmp_path)["args.0.a.b'"].item() == 1


def test_tensors_of_every_make_come_back_as_they_were(tmp_path):
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
    write(tmp_path, inputs)
    file = kept(tmp_path)
    for name, tensor in inputs.items():
        came_back = file[f"args.0.{name}"]
        assert came_back.dtype == tensor.dtype and came_back.shape == tensor.shape
        assert torch.equal(came_back.double().nan_to_num(9), tensor.detach().double().nan_to_num(9)), name
    assert notes(tmp_path) == {}


def test_sparse_and_complex_tensors_are_converted_with_a_note(tmp_path):
    wave = torch.tensor([1 + 2j, 3 - 1j])
    write(tmp_path, torch.eye(3).to_sparse(), torch.eye(2).to_sparse_csr(), wave.conj())
    file = kept(tmp_path)
    assert torch.equal(file["args.0"], torch.eye(3))
    assert torch.equal(file["args.1"], torch.eye(2))
    assert torch.equal(torch.view_as_complex(file["args.2"]), wave.conj())
    assert "sparse_coo" in notes(tmp_path)["args.0"]
    assert "sparse_csr" in notes(tmp_path)["args.1"]
    assert "view_as_complex" in notes(tmp_path)["args.2"]


def test_what_no_file_can_hold_is_left_out_with_a_note_and_the_rest_kept(tmp_path):
    huge = torch.sparse_coo_tensor(torch.zeros(2, 1, dtype=torch.long), torch.ones(1), (2**20, 2**20))
    nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)
    quantized = torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)
    write(tmp_path, huge, nested, quantized, torch.ones(2, device="meta"), object(), torch.ones(2))
    assert set(kept(tmp_path)) == {"args.5", "indices"}
    assert set(notes(tmp_path)) == {f"args.{place}" for place in range(5)}
    assert all(note.startswith("left out") for note in notes(tmp_path).values())
    assert "too large" in notes(tmp_path)["args.0"]


def test_plain_values_go_into_the_metadata_at_bounded_length(tmp_path):
    write(tmp_path, 3, "x" * 5_000, None, True, float("nan"), ["word " * 100] * 1_000, scale=0.5)
    text = metadata(tmp_path)["values"]
    values = json.loads(text, parse_constant=pytest.fail)
    assert (values["args.0"], values["args.2"], values["args.3"], values["args.4"]) == (3, None, True, "nan")
    assert len(values["args.1"]) == batch_file.MOST_TEXT + 1
    assert len(text) < batch_file.MOST_JSON + 1_000
    assert "left out" in values["…"]


def test_a_list_without_end_in_sight_is_cut_with_a_note(tmp_path):
    write(tmp_path, torch.ones(1), list(range(50_000)))
    assert "args.0" in kept(tmp_path)
    assert str(batch_file.MOST_LEAVES) in notes(tmp_path)["…"]


def test_an_input_overwritten_since_is_marked(tmp_path):
    reused, untouched = torch.ones(2), torch.ones(2)
    inputs = inputs_of((reused, untouched), {}, None)
    reused.add_(1)
    write_batch(tmp_path / NAME, [inputs], {})
    assert set(notes(tmp_path)) == {"args.0"}
    assert "in place" in notes(tmp_path)["args.0"]


def test_inputs_made_in_inference_mode_are_kept(tmp_path):
    with torch.inference_mode():
        batch = torch.ones(2)
    write(tmp_path, batch)
    assert kept(tmp_path)["args.0"].tolist() == [1, 1]
    assert notes(tmp_path) == {}


def test_inputs_without_any_tensor_make_a_file_too(tmp_path):
    write_batch(tmp_path / NAME, [inputs_of(("a prompt",), {}, None)], {})
    assert kept(tmp_path) == {}
    assert json.loads(metadata(tmp_path)["values"]) == {"args.0": "a prompt"}


def test_the_file_is_as_readable_as_any_other_beside_it(tmp_path):
    write(tmp_path, torch.ones(1))
    (tmp_path / "log").touch()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_a_disk_that_takes_no_more_is_an_os_error_and_leaves_no_half_file(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OSError, match=NAME):
            write(tmp_path, torch.ones(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []
