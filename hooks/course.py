"""The course of a step: what looks when, from the first forward pass to the end of the optimizer's step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from diagnose.hooks.blackbox import Origin
from diagnose.hooks.cadence import Timetable
from diagnose.hooks.guard import Guard
from diagnose.hooks.kept_batch import BatchKeeper
from diagnose.hooks.layers import ForwardOrder, LayerTable, device_of, is_being_captured, is_compiled
from diagnose.hooks.optimizers import Optimizers, share_parameters
from diagnose.hooks.probes.activations import ActivationProbe
from diagnose.hooks.probes.curvature import CurvatureProbe
from diagnose.hooks.probes.gradients import GradientProbe
from diagnose.hooks.probes.losses import LossProbe
from diagnose.hooks.probes.noise import NoiseProbe
from diagnose.hooks.probes.precision import PrecisionProbe
from diagnose.hooks.probes.updates import UpdateProbe
from diagnose.hooks.replay import autocast_type
from diagnose.hooks.sharding import number_in, shards_of
from diagnose.hooks.stream import Stream
from diagnose.hooks.trouble import Trouble
from diagnose.hooks.turns import Turns
from diagnose.logs import layout
from diagnose.signals import TRAIN_LOSS

CAPTURED = "its steps are captured in a CUDA graph, which replays them without any hook"


class Course:
    """Follows one model's training step by step and has each probe look when the timetable says.

    A step opens with whatever comes first of forward pass, loss, clipping and optimizer, and ends when the
    optimizer has stepped. `describe` is called when more is known of the set-up.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: LayerTable,
        stream: Stream,
        guard: Guard,
        timetable: Timetable,
        *,
        ranks: int,
        scaler: object,
        batch_size: float | None,
        keeper: BatchKeeper | None,
        describe: Callable[[], None],
    ) -> None:
        self.step = 0  # the step that is open, or was completed last
        self._first = 1  # the first step here: another one where a training goes on
        self.noise_source = ""
        self.autocast: torch.dtype | None = None  # that mixed precision computes in, as far as was looked
        self.optimizers = Optimizers(layers)
        self._turns: Turns | None = None  # where there are several optimizers
        self._device_type = ""
        self._open, self._forwards = False, 0  # forward passes begun in the open step
        self._looking = False  # something other than the gradients looks at the open step
        self._altered = False  # the open step's gradients were clipped
        self._model = model
        self._layers = layers
        self._stream = stream
        self._guard, self._keeper = guard, keeper
        self._timetable = timetable
        self._told_batch_size = batch_size
        self._describe = describe
        self._compiled = is_compiled(model)  # its layers' hooks would not run
        self._order: ForwardOrder | None = None
        shards = shards_of(layers.parameters)
        # Where all ranks must look together, one rank's loss decides nothing.
        self._follows_loss = shards is None and timetable.ever("gradients")
        if shards is not None:
            timetable.keep_in_step()
            guard.keep("steps", "gradients", "updates")
        self._gradients = GradientProbe(layers, stream, shards)
        self._activations = ActivationProbe(layers, stream, guard, partial(timetable.timed, "activations"))
        self._updates = UpdateProbe(layers, stream, shards)
        self._noise = NoiseProbe(layers, stream, model, ranks, self._noise_told)
        self._curvature = CurvatureProbe(layers.model, stream, lambda: self.optimizers.lr)
        self._losses = LossProbe(model, stream, self.open_step, lambda: max(self.step, 1))
        self._precision = (
            PrecisionProbe(scaler, self.optimizers, stream, guard, self._skipped_step)
            if isinstance(scaler, GradScaler)
            else None
        )
        self._origin = Origin(layers, stream)
        self._trouble = Trouble(self._origin, guard, timetable, scaled=self._precision is not None, keeper=keeper)

    def go_on_after(self, step: int) -> None:
        """The first step is the one after `step`, of a training that goes on."""
        if self.step < self._first:
            self.step, self._first = step, step + 1

    # --- what happens in a step, in this order ----------------------------------------------------

    def open_step(self) -> int:
        """Begin the next step unless one is open; returns its number."""
        if not self._open:
            if self._device_type != "cpu" and is_being_captured():
                self._guard.stop(CAPTURED)
            self.step += 1
            self._open, self._altered = True, False
            self._forwards = 0
            if self.step == self._first:
                device = device_of(self._model)
                self._device_type = device.type
                self._stream.place_on(device)
            self._stream.step_done(self.step)
        return self.step

    def before_forward(self, _model: nn.Module, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> None:
        """The model is about to run; in training it opens a step or is another of it."""
        if not (self._model.training and torch.is_grad_enabled()):
            return
        step = self.step if self._open else self.open_step()
        self._forwards += 1
        if self._forwards == 1:
            self._looking = step == self._first or self._noise.waits_for_second or step >= self._timetable.earliest
            if self._looking:
                self._origin.autocast = self.autocast = autocast_type(self._device_type)
                self._begin(step)
        elif self._noise.counting:
            self._look("noise", self._noise.next_forward)
        self._origin.inputs = arguments, keywords
        if self._keeper is not None:
            self._guard.run("keep_batch", self._keeper.saw, step, arguments, keywords)

    def after_forward(
        self, _model: nn.Module, arguments: tuple[Any, ...], keywords: Mapping[str, Any], output: Any
    ) -> None:
        """The model has run, in training or not."""
        if not self._looking and type(output) is Tensor:
            return  # most steps
        if self._activations.watching or self._order is not None:
            self.finish_forward()
        if self._curvature.objective.watching and self._model.training and torch.is_grad_enabled():
            self._curvature.objective.saw_forward(arguments, keywords, output)
        if self._noise.counting and self._model.training and torch.is_grad_enabled():
            self._look("noise", self._noise.saw_forward, arguments, keywords)
        if not isinstance(output, Tensor):
            self._losses.from_output(arguments, keywords, output)

    def finish_forward(self) -> None:
        """Take the layers' hooks away and write what they saw."""
        if self._activations.watching:
            with self._timetable.timed("activations"):
                self._activations.end()
        if self._order is not None:
            calls, self._order = self._order.finish(), None
            self._layers.reorder(calls)
            self._describe()
        if self._activations.seen:
            self._look("activations", self._activations.write, self.step)
            self._look_done("activations")

    def after_criterion(
        self, criterion: nn.Module, arguments: tuple[Any, ...], keywords: Mapping[str, Any], output: Any
    ) -> None:
        """The loss module has run."""
        if self._curvature.objective.watching:
            self._curvature.objective.saw_criterion(criterion, arguments, keywords)
        self._losses.from_criterion(arguments, output)

    def clipped(self, norm: Tensor) -> None:
        """Gradients are about to be clipped: their norm as it was, the first time in a step."""
        self.open_step()
        if not self._altered:
            self._altered = True
            number = number_in(norm)
            if number is not None:
                self._stream.add(self.step, "grad_norm_unclipped", number)

    def adopt(self, optimizer: Optimizer) -> None:
        """Another optimizer trains the model: from its first step on, a step of training takes its step too."""
        first = self.optimizers.first
        if first is not None and self._turns is None:
            self._turns = Turns(first, awaited=not share_parameters(first, optimizer))
            self._noise.forget()
        self.optimizers.add(optimizer)

    def before_step(self, optimizer: Optimizer) -> None:
        """An optimizer is about to step: the gradients are what it will see."""
        turns = self._turns
        if turns is not None and turns.again(optimizer):
            self._end_step()
        # One that steps right after a step's end, with nothing in between, still belongs to it.
        stray = turns is not None and not self._open and self.step >= self._first and turns.stray(optimizer)
        step = self.step if stray or self._open else self.open_step()
        if self._timetable.due("gradients", step) or (self._follows_loss and self._loss_is_broken(step)):
            self._guard.run("gradients", self._measure_gradients, step, optimizer)
        if self._noise.waits_for_second or step >= self._timetable.earliest:
            self._before_update(step)
        if self._precision is not None:
            self._guard.run("precision", self._precision.measure, step, optimizer)
        for name, rate in self.optimizers.rates(optimizer):
            self._stream.add(step, name, rate)

    def after_step(self, optimizer: Optimizer) -> None:
        """An optimizer has stepped, or the scaler has left its step out; the last of them ends the step."""
        if self._turns is None or self._turns.stepped(optimizer, within=self._open):
            self._end_step()

    def close(self) -> None:
        """Leave no hook behind and let go of all that was held."""
        self.finish_forward()
        self._noise.forget()
        self._origin.inputs = None
        self._curvature.objective.forget()
        if self._precision is not None:
            self._precision.close()

    # --- what serves it ---------------------------------------------------------------------------

    def _begin(self, step: int) -> None:
        """The first micro-batch of a step begins: whoever is due gets ready."""
        due = self._timetable.due
        if not self._compiled:
            if step == self._first:
                self._order = ForwardOrder(self._layers.model)
            if due("activations", step):
                with self._timetable.timed("activations"):
                    self._activations.begin()
        if self._turns is None and (self._noise.waits_for_second or due("noise", step)):
            self._look("noise", self._noise.begin)
        if due("curvature", step):
            self._curvature.objective.begin()

    def _before_update(self, step: int) -> None:
        """The parameters are still as the forward pass saw them, unless another optimizer has stepped already."""
        due = self._timetable.due
        # What one of several optimizers is about to use may be mixed with another's gradients.
        if self._turns is None and (self._noise.waits_for_second or due("noise", step)):
            self._look("noise", self._measure_noise, step)
            if not self._noise.waits_for_second:
                self._look_done("noise")
        if due("updates", step) and not (self._turns is not None and self._turns.began):
            self._look("updates", self._updates.before)

    def _end_step(self) -> None:
        """All optimizers have stepped."""
        step, due = self.step, self._timetable.due
        if step >= self._timetable.earliest:
            if due("updates", step):
                self._look("updates", self._updates.after, step)
                self._look_done("updates")
            if due("curvature", step):
                self._look("curvature", self._curvature.measure, step)
                self._curvature.objective.forget()
                self._look_done("curvature")
        self._origin.inputs = None
        self._timetable.step_done(step)
        self._open = False
        if self._turns is not None:
            self._turns.ended()

    def _look(self, probe: str, work: Callable[..., None], *arguments: Any) -> None:
        """A part of a probe's look: what it costs is counted, and what it raises stays here."""
        with self._timetable.timed(probe):
            self._guard.run(probe, work, *arguments)

    def _look_done(self, probe: str) -> None:
        """A probe has looked: its next look's distance follows from what this one cost; the log keeps it."""
        self._timetable.look_done(probe)
        self._stream.add(self.step, layout.CADENCE_TAG + probe, float(self._timetable.period(probe, self.step)))

    def _measure_gradients(self, step: int, optimizer: Optimizer) -> None:
        with self._timetable.timed("gradients"):
            norms = self._gradients.measure(step, optimizer, self.optimizers.share_of(optimizer))
            if norms is not None:
                self._trouble.feel(step, self._stream.latest(step, TRAIN_LOSS), norms, self._forwards)
        self._timetable.look_done("gradients")

    def _loss_is_broken(self, step: int) -> bool:
        """Whether the step's loss is known on the host to be no finite number: its gradients are worth a look then."""
        loss = self._stream.latest(step, TRAIN_LOSS)
        return isinstance(loss, float) and not math.isfinite(loss)

    def _measure_noise(self, step: int) -> None:
        altered = self._altered or self._precision is not None
        self._noise.measure(step, told_batch=self._told_batch_size, altered=altered)

    def _noise_told(self, source: str) -> None:
        self.noise_source = source
        self._describe()

    def _skipped_step(self, optimizer: Optimizer) -> None:
        """The gradient scaler has left the optimizer's step out: it counts as a step all the same."""
        self.before_step(optimizer)
        self.after_step(optimizer)
