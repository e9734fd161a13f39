"""`attach` and the Monitor: one line in a training script, and everything that follows from it."""

from __future__ import annotations

import math
import operator
import os
import queue
import weakref
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from diagnose.errors import InvalidArgumentError, TrainingHalted
from diagnose.findings import Finding
from diagnose.hooks import arguments
from diagnose.hooks.cadence import Cadence, Timetable, timetable_of
from diagnose.hooks.description import setup_of
from diagnose.hooks.guard import Guard, Hook
from diagnose.hooks.layers import ForwardOrder, LayerTable, device_of, first_tensor, is_compiled, unwrapped
from diagnose.hooks.probes.activations import ActivationProbe
from diagnose.hooks.probes.clipping import ClippingTap
from diagnose.hooks.probes.gradients import GradientProbe
from diagnose.hooks.probes.losses import LossProbe
from diagnose.hooks.probes.noise import NoiseProbe
from diagnose.hooks.probes.precision import PrecisionProbe
from diagnose.hooks.probes.updates import UpdateProbe
from diagnose.hooks.stream import Stream
from diagnose.hooks.termination import flush_on_sigterm, forget
from diagnose.hooks.watch import Watch
from diagnose.logs import layout, setup_text


def attach(
    model: nn.Module,
    optimizer: Optimizer | None = None,
    *,
    criterion: nn.Module | None = None,
    scheduler: object | None = None,
    scaler: object | None = None,
    run_dir: str | os.PathLike[str] | None = None,
    config: Mapping[str, Any] | None = None,
    cadence: Cadence | Literal["auto"] = "auto",
    on_finding: Callable[[Finding], None] | None = None,
    halt_on: Iterable[str] = (),
) -> Monitor:
    """Watch a training run and write what an expert would look at to a TensorBoard event log.

    The optimizer is found at its first step where it is left out. `criterion`'s outputs are logged,
    training and evaluation apart; without it, log losses with `Monitor.log`, unless the model's output
    has a `.loss`. `config` is kept with the run: batch_size, epochs, dataset_size, num_classes,
    dataset_version, seed, task, augmentation, … `on_finding` is called from the training thread, between
    steps; a symptom named in `halt_on` raises `TrainingHalted` there. Nothing else of ours ever raises
    during training.

    Raises `InvalidArgumentError`, naming the argument, where one cannot be used: `model` is no module, a
    `halt_on` id is unknown, `run_dir` cannot be written.
    """
    arguments.check(model, optimizer, criterion, config, on_finding)
    halting = arguments.halting_ids(halt_on)
    directory = Path(run_dir) if run_dir is not None else arguments.default_run_dir(unwrapped(model))
    try:
        return Monitor(
            model,
            optimizer,
            criterion=criterion,
            described_by=(scheduler, scaler, dict(config or {})),
            run_dir=directory,
            timetable=timetable_of(cadence),
            on_finding=on_finding,
            halt_on=halting,
        )
    except OSError as error:
        raise InvalidArgumentError(
            f"attach(run_dir={os.fspath(directory)!r}): cannot be written ({error.strerror})."
        ) from error


class Monitor:
    """Watches one model and its optimizer until it is closed. Made by `attach`."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer | None,
        *,
        criterion: nn.Module | None,
        described_by: tuple[object, object, Mapping[str, Any]],  # scheduler, scaler, config
        run_dir: Path,
        timetable: Timetable,
        on_finding: Callable[[Finding], None] | None,
        halt_on: frozenset[str],
    ) -> None:
        self.run_dir = run_dir
        self._model = model
        self._optimizer: Optimizer | None = None
        self._described_by = described_by
        self._timetable = timetable
        self._on_finding = on_finding
        self._halt_on = halt_on
        self._step = 0  # the step that is open, or was completed last; the first is 1
        self._step_open = False
        self._samples = 0  # of the open step, all its micro-batches together
        self._order: ForwardOrder | None = None
        self._guard = Guard()
        self._compiled = is_compiled(model)  # its layers' hooks would not run
        self._layers = LayerTable(unwrapped(model))
        self._watch = Watch(os.fspath(run_dir), halt_on)
        # The stream lives on a thread of its own and must not hold the monitor, and so the model, alive.
        observe = partial(self._guard.run, "live alerts", self._watch.observe)
        self._stream = Stream(run_dir, device_of(model), observe)
        self._gradients = GradientProbe(self._layers, self._stream)
        self._activations = ActivationProbe(self._layers, self._stream, self._guard)
        self._updates = UpdateProbe(self._layers, self._stream)
        self._noise = NoiseProbe(self._layers, self._stream, self._batch_size)
        self._losses = LossProbe(model, self._stream, self._open_step, self._current_step)
        self._precision = self._precision_probe(described_by[1])
        self._clipping = ClippingTap(self._layers, partial(self._guard.run, "clipping", self._clipped))
        self._handles: list[RemovableHandle] = []
        self._hook_model(criterion)
        if optimizer is not None:
            self._adopt(optimizer)
        else:
            self._handles.append(register_optimizer_step_pre_hook(_optimizer_finder(self)))
        self._guard.run("set-up", self._describe)
        # Also at interpreter exit, and when the model is dropped without close().
        self._closing = weakref.finalize(self, Stream.close, self._stream)
        flush_on_sigterm(self._stream)

    def log(
        self, *, split: Literal["train", "validation"] = "train", step: int | None = None, **values: Tensor | float
    ) -> None:
        """Log scalars under `name/split`, for the step at hand or for `step`.

        Tensors stay on their device until the next flush. Called before `optimizer.step()` or after it,
        the values land on that same step; what one step gets several times is averaged.
        """
        for name, value in values.items():
            self._guard.run(f"log({name}=…)", self._log_one, step, split, name, value)

    def close(self) -> None:
        """Remove all hooks, write what is left and close the log; safe to call twice."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._clipping.close()
        if self._precision is not None:
            self._precision.close()
        self._guard.run("closing", self._finish_forward)
        self._closing()
        forget(self._stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- the course of a step -------------------------------------------------------------------

    def _hook_model(self, criterion: nn.Module | None) -> None:
        self._handles.append(self._model.register_forward_pre_hook(self._hook("steps", self._before_forward)))
        self._handles.append(self._model.register_forward_hook(self._hook("forward", self._after_forward)))
        if criterion is not None:
            self._handles.append(criterion.register_forward_hook(self._hook("losses", self._losses.from_criterion)))

    def _adopt(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self._handles.append(optimizer.register_step_pre_hook(self._hook("gradients", self._before_step)))
        self._handles.append(optimizer.register_step_post_hook(self._close_step))

    def _before_forward(self, _model: nn.Module, inputs: tuple[Any, ...]) -> None:
        if not (self._model.training and torch.is_grad_enabled()):
            return
        first_micro_batch = not self._step_open
        self._open_step()
        if first_micro_batch and not self._compiled:
            if self._step == 1:
                self._order = ForwardOrder(self._layers.model)
            if self._timetable.due("activations", self._step):
                with self._timetable.timed("activations"):
                    self._activations.begin()
        batch = first_tensor(inputs)
        self._samples += batch.shape[0] if batch is not None and batch.dim() else 0

    def _after_forward(self, _model: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        self._finish_forward()
        self._losses.from_output(inputs, output)

    def _finish_forward(self) -> None:
        if self._activations.watching:
            with self._timetable.timed("activations"):
                self._activations.end()
        if self._order is not None:
            calls, self._order = self._order.finish(), None
            self._layers.reorder(calls)
            self._describe()
        if self._activations.seen:
            with self._timetable.timed("activations"):
                self._activations.write(self._step)
            self._look_done("activations")

    def _before_step(self, *_: Any) -> None:
        self._open_step()  # where the model was not called through its own forward
        step, due, timed = self._step, self._timetable.due, self._timetable.timed
        if due("gradients", step):
            self._gradients.measure(step, self._optimizer)
        if self._noise.waits_for_second:
            with timed("noise"):
                self._guard.run("noise scale", self._noise.second, step)
            self._look_done("noise")
        elif due("noise", step):
            with timed("noise"):
                self._guard.run("noise scale", self._noise.first)
        if due("updates", step):
            with timed("updates"):
                self._guard.run("updates", self._updates.before)
        if self._precision is not None and self._optimizer is not None:
            self._guard.run("precision", self._precision.measure, step, self._optimizer)
        for number, group in enumerate(self._optimizer.param_groups if self._optimizer else ()):
            self._stream.add(self._step, f"lr/group{number}", group["lr"])

    def _open_step(self) -> int:
        """Begin the next step unless one is open: whatever comes first of forward, loss, clipping and step."""
        if not self._step_open:
            self._step += 1
            self._step_open = True
            self._samples = 0
            self._stream.step_done(self._step)
        return self._step

    def _close_step(self, *_: Any) -> None:
        """The optimizer has stepped: tell what was found meanwhile. The only place that may raise."""
        if self._timetable.due("updates", self._step):
            with self._timetable.timed("updates"):
                self._guard.run("updates", self._updates.after, self._step)
            self._look_done("updates")
        self._timetable.step_done(self._step)
        self._step_open = False
        while True:
            try:
                finding = self._watch.news.get_nowait()
            except queue.Empty:
                return
            if self._on_finding is not None:
                self._guard.run("on_finding", self._on_finding, finding)
            if finding.id in self._halt_on:
                self.close()
                raise TrainingHalted(finding)

    def _look_done(self, probe: str) -> None:
        """A probe has looked: its next look's distance follows from what this one cost; the log keeps it."""
        self._timetable.look_done(probe)
        self._stream.add(self._step, layout.CADENCE_TAG + probe, float(self._timetable.periods[probe]))

    def _skipped_step(self) -> None:
        """The gradient scaler has left the optimizer's step out: it counts as a step all the same."""
        self._guard.run("gradients", self._before_step)
        self._close_step()

    def _clipped(self, total_norm: Tensor) -> None:
        self._open_step()
        self._stream.add(self._step, "grad_norm_unclipped", total_norm.reshape(()))

    # --- what the parts ask of the whole ----------------------------------------------------------

    def _hook(self, name: str, work: Callable[..., None]) -> Hook:
        return Hook(self._guard, name, work)

    def _precision_probe(self, scaler: object) -> PrecisionProbe | None:
        if not isinstance(scaler, GradScaler):
            return None
        return PrecisionProbe(scaler, lambda: self._optimizer, self._stream, self._skipped_step)

    def _batch_size(self) -> float:
        """Samples of the open step as the model's forward saw them, else as the config tells, else NaN."""
        told = self._described_by[2].get("batch_size")
        return float(self._samples or (told if isinstance(told, int | float) else math.nan))

    def _current_step(self) -> int:
        return max(self._step, 1)

    def _log_one(self, step: int | None, split: str, name: str, value: Tensor | float) -> None:
        if split not in {"train", "validation"}:
            raise ValueError(f"split is “train” or “validation”, not {split!r}")
        at = self._current_step() if step is None else operator.index(step)
        if at < 0:
            raise ValueError(f"a step is 0 or more, not {at}")
        if isinstance(value, Tensor) and value.numel() != 1:
            raise ValueError(f"expected one number, got a tensor of shape {tuple(value.shape)}")
        number = value.detach().reshape(()) if isinstance(value, Tensor) else float(value)
        self._stream.add(at, f"{name}/{split}", number)

    def _describe(self) -> None:
        """Write the set-up: at attach, and again once the forward order or the optimizer is known."""
        scheduler, scaler, config = self._described_by
        setup = setup_of(self._layers, self._optimizer, scheduler, scaler, config)
        self._watch.setup = setup
        self._stream.describe(setup_text.as_json(setup))


def _optimizer_finder(monitor: Monitor) -> Callable[..., None]:
    """A hook on every optimizer's step that adopts the first one that trains the monitor's model."""
    watching = weakref.ref(monitor)
    own = {id(p) for p in monitor._layers.parameters}

    def find(optimizer: Optimizer, *_: Any) -> None:
        monitor = watching()
        if monitor is None or monitor._optimizer is not None:
            return
        if any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
            # Its own hooks run right after this one, so its first step is seen already.
            monitor._adopt(optimizer)
            monitor._guard.run("set-up", monitor._describe)

    return find
