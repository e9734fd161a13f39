"""Training is left as it was: the same losses, copies, pickles and no hook left behind."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import time
import weakref

import pytest
import torch
from torch import nn
from torch.nn.utils import clip_grad

import diagnose
from diagnose.hooks.probes.clipping import INNER


def test_losses_and_weights_are_the_same_bit_for_bit_with_and_without_us(new_training, tmp_path):
    plain, watched = new_training(), new_training()
    expected = plain.run(60)
    state = torch.get_rng_state()
    torch.manual_seed(1)  # attaching itself must not draw from the generator either
    watched = new_training()
    with diagnose.attach(watched.model, watched.optimizer, criterion=watched.criterion, run_dir=tmp_path):
        assert watched.run(60) == expected
    assert torch.equal(torch.get_rng_state(), state)
    for a, b in zip(plain.model.parameters(), watched.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_close_removes_every_hook_and_may_be_called_twice(training, tmp_path):
    before = copy.deepcopy(training.model.state_dict())
    monitor = diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path)
    training.run(12)
    monitor.close()
    monitor.close()
    for module in (*training.model.modules(), training.criterion):
        assert not module._forward_hooks and not module._forward_pre_hooks
    assert not training.optimizer._optimizer_step_pre_hooks and not training.optimizer._optimizer_step_post_hooks
    assert training.model.state_dict().keys() == before.keys()
    assert not [t for t in threading.enumerate() if t.name == "diagnose-writer"]


def test_a_model_being_watched_copies_and_pickles_as_ever(training, tmp_path):
    with diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path):
        training.run(3)
        twin = copy.deepcopy(training.model)
        again = pickle.loads(pickle.dumps(training.model))
        torch.optim.SGD(twin.parameters(), lr=0.1).step()
        assert torch.equal(twin(training.x), again(training.x))
    assert diagnose.load(tmp_path).steps == 3


def test_a_dropped_model_takes_its_monitor_along_and_leaves_a_whole_log(new_training, tmp_path):
    training = new_training()
    alive = weakref.ref(training.model)
    diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path)
    training.run(7)
    del training
    gc.collect()
    assert alive() is None
    assert len(diagnose.load(tmp_path).scalars["loss/train"]) == 7


def test_a_forward_that_fails_in_the_middle_leaves_no_hook_behind(tmp_path):
    class Fails(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.broken = nn.Linear(4, 4), True

        def forward(self, x):
            x = self.layer(x)
            if self.broken:
                raise RuntimeError("the user's own")
            return x

    model = Fails()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with diagnose.attach(model, optimizer, run_dir=tmp_path, cadence=diagnose.Cadence()):
        with pytest.raises(RuntimeError, match="the user's own"):
            model(torch.randn(2, 4))
        model.broken = False
        for _ in range(12):
            optimizer.zero_grad()
            model(torch.randn(6, 4)).sum().backward()
            optimizer.step()
        assert not model.layer._forward_hooks
    assert len(diagnose.load(tmp_path).scalars["grad_norm"]) == 12


def test_a_model_being_watched_scripts_and_traces_as_ever(training, tmp_path):
    plain = torch.jit.trace(training.model, training.x).code
    training.model[1].register_forward_hook(a_hook_that_scripts)
    with diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path):
        training.run(2)
        hooks = list(training.model._forward_hooks)
        scripted, traced = torch.jit.script(training.model), torch.jit.trace(training.model, training.x)
        assert torch.allclose(scripted(training.x), training.model(training.x))
        assert traced.code == plain
        assert list(training.model._forward_hooks) == hooks
        training.run(2)
    assert diagnose.load(tmp_path).steps == 4


def a_hook_that_scripts(self, input: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:  # noqa: A002
    """A forward hook as torch.jit.script asks for."""
    return output


def test_taps_on_torch_are_put_back_when_the_last_monitor_closes(new_training, tmp_path):
    from torch.jit import _recursive

    original = _recursive.create_script_module
    first, second = (
        diagnose.attach(t.model, t.optimizer, run_dir=tmp_path / name)
        for name, t in (("a", new_training()), ("b", new_training()))
    )
    first.close()
    first.close()
    assert _recursive.create_script_module is not original
    second.close()
    assert _recursive.create_script_module is original


def test_taps_on_torch_are_put_back_where_the_model_is_dropped_without_a_close(new_training, tmp_path):
    originals = [getattr(clip_grad, name) for name in INNER]
    dropped = new_training()
    monitor = diagnose.attach(dropped.model, dropped.optimizer, run_dir=tmp_path)
    dropped.run(2)
    assert [getattr(clip_grad, name) for name in INNER] != originals
    del dropped, monitor
    gc.collect()
    assert [getattr(clip_grad, name) for name in INNER] == originals


def test_a_model_under_torch_func_is_left_alone(training, tmp_path, caplog):
    from torch.func import functional_call, grad, vmap

    weights = {name: p.detach() for name, p in training.model.named_parameters()}

    def loss(weights, x, y):
        return training.criterion(functional_call(training.model, weights, x[None]), y[None])

    expected = vmap(grad(loss), (None, 0, 0))(weights, training.x, training.y)
    with diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path):
        seen = vmap(grad(loss), (None, 0, 0))(weights, training.x, training.y)
        training.run(2)
    assert all(torch.equal(seen[name], expected[name]) for name in weights)
    assert diagnose.load(tmp_path).scalars["loss/train"].steps.tolist() == [1, 2]
    assert not caplog.records


def tensor_bytes() -> int:
    """Bytes of all tensors alive, each storage counted once."""
    gc.collect()
    storages = {}
    for thing in gc.get_objects():
        if type(thing) in {torch.Tensor, nn.Parameter}:
            storage = thing.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


@pytest.mark.parametrize(("width", "depth"), [pytest.param(768, 6, marks=pytest.mark.slow), (16, 40)])
def test_memory_grows_by_a_hundredth_and_a_few_thousand_floats_a_layer_at_most(tmp_path, width, depth):
    model = nn.Sequential(*(nn.Linear(width, width) for _ in range(depth)))
    optimizer = torch.optim.AdamW(model.parameters())
    criterion = nn.MSELoss()

    def train(steps):
        for _ in range(steps):
            optimizer.zero_grad()
            criterion(model(torch.randn(16, width)), torch.zeros(16, width)).backward()
            optimizer.step()

    train(2)
    before = tensor_bytes()
    with diagnose.attach(
        model, optimizer, criterion=criterion, run_dir=tmp_path, cadence=diagnose.Cadence(curvature=5)
    ):
        train(26)
        after = tensor_bytes()
    assert "noise_scale" in diagnose.load(tmp_path).scalars
    assert after - before <= 0.01 * before + depth * 4 * 5_000


@pytest.mark.slow  # half a minute of training
def test_thousands_of_steps_leave_nothing_behind(new_training, tmp_path):
    training = new_training()
    with diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path):
        training.run(300)
        before, objects = tensor_bytes(), len(gc.get_objects())
        training.run(1500)
        deadline = time.monotonic() + 20  # what is still on its way to the disk is gone by then
        while tensor_bytes() > before + 10_000 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert tensor_bytes() <= before + 10_000
        assert len(gc.get_objects()) < objects + 5_000


def test_a_probe_that_fails_takes_no_other_with_it(new_training, tmp_path, caplog, monkeypatch):
    from diagnose.hooks import course

    monkeypatch.setattr(course.GradientProbe, "measure", None)
    monkeypatch.setattr(course.UpdateProbe, "before", None)
    monkeypatch.setattr(course.CurvatureProbe, "measure", None)
    plain, training = new_training(), new_training()
    expected = plain.run(30)
    training = new_training()
    with diagnose.attach(
        training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path, cadence=diagnose.Cadence()
    ):
        assert training.run(30) == expected
    run = diagnose.load(tmp_path)
    assert len(run.scalars["loss/train"]) == len(run.scalars["lr/group0"]) == 30
    assert "noise_scale" in run.scalars and "layers/activation_variance" in run.layer_signals
    for name in ("gradients", "updates", "curvature"):
        assert sum(f"{name} is switched off" in record.getMessage() for record in caplog.records) == 1


def test_a_graph_capture_is_refused_at_attach_and_ends_the_watching_later(training, tmp_path, monkeypatch, caplog):
    # Capturing needs a GPU; what torch, and the model's device, would answer during one stands in for it.
    captures = [False]
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: captures[0])
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    with diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path) as monitor:
        training.run(3)
        captures[0], monitor._course._device_type = True, "cuda"
        training.run(5)
    assert diagnose.load(tmp_path).steps == 3
    assert ["CUDA graph" in r.getMessage() for r in caplog.records] == [True]
    with pytest.raises(diagnose.InvalidArgumentError, match="CUDA graph"):
        diagnose.attach(training.model, training.optimizer, run_dir=tmp_path / "again")
