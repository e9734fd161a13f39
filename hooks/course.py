"""The course of a step: what looks when, from the first forward pass to the end of the optimizer's step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from diagnose.hooks.blackbox import Origin
from diagnose.hooks.cadence import Timetable
from diagnose.hooks.guard import Guard
from diagnose.hooks.layers import ForwardOrder, LayerTable, device_of, first_tensor, is_being_captured, is_compiled
from diagnose.hooks.probes.activations import ActivationProbe
from diagnose.hooks.probes.curvature import CurvatureProbe
from diagnose.hooks.probes.gradients import GradientProbe
from diagnose.hooks.probes.losses import LossProbe
from diagnose.hooks.probes.noise import NoiseProbe
from diagnose.hooks.probes.precision import PrecisionProbe
from diagnose.hooks.probes.updates import UpdateProbe
from diagnose.hooks.pulse import Band, Beat, Pulse
from diagnose.hooks.stream import Stream
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
        describe: Callable[[], None],
    ) -> None:
        self.step = 0  # the step that is open, or was completed last; the first is 1
        self.noise_source = ""
        self.optimizers: list[Optimizer] = []  # those that train the model, in the order of their discovery
        self._turns = Turns()
        self._open = False
        self._samples = 0  # of the open step, all its micro-batches together
        self._micro_batches = 0
        self._altered = False  # the open step's gradients were clipped
        self._model = model
        self._layers = layers
        self._stream = stream
        self._guard = guard
        self._timetable = timetable
        self._told_batch_size = batch_size
        self._describe = describe
        self._compiled = is_compiled(model)  # its layers' hooks would not run
        self._order: ForwardOrder | None = None
        self._gradients = GradientProbe(layers, stream)
        self._activations = ActivationProbe(layers, stream, guard)
        self._updates = UpdateProbe(layers, stream)
        self._noise = NoiseProbe(layers, stream, 1 if self._compiled else ranks, self._noise_told)
        self._curvature = CurvatureProbe(layers.model, stream, self._lr)
        self._losses = LossProbe(model, stream, self.open_step, lambda: max(self.step, 1))
        self._precision = (
            PrecisionProbe(scaler, self._first_optimizer, stream, self._skipped_step)
            if isinstance(scaler, GradScaler)
            else None
        )
        self._pulse, self._norm_band, self._loss_band = Pulse(), Band(), Band()
        self._origin = Origin(layers, stream)

    # --- what happens in a step, in this order ----------------------------------------------------

    def open_step(self) -> int:
        """Begin the next step unless one is open; returns its number."""
        if not self._open:
            if is_being_captured():
                self._guard.stop(CAPTURED)
            self.step += 1
            self._open, self._altered = True, False
            self._samples = self._micro_batches = 0
            if self.step == 1:
                self._stream.place_on(device_of(self._model))
            self._stream.step_done(self.step)
        return self.step

    def before_forward(self, _model: nn.Module, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> None:
        """The model is about to run; in training it opens a step or adds a micro-batch to it."""
        if not (self._model.training and torch.is_grad_enabled()):
            return
        step = self.open_step()
        self._micro_batches += 1
        batch = first_tensor((arguments, keywords))
        if batch is not None and batch.dim():
            self._samples += batch.shape[0]
        if self._micro_batches == 1:
            self._begin(step)
        elif self._micro_batches == 2 and self._timetable.due("noise", step):
            self._look("noise", self._noise.second_forward)
        if batch is not None:
            self._origin.saw_forward(arguments, keywords, batch.device)

    def after_forward(
        self, _model: nn.Module, arguments: tuple[Any, ...], keywords: Mapping[str, Any], output: Any
    ) -> None:
        """The model has run, in training or not."""
        self.finish_forward()
        if self._model.training and torch.is_grad_enabled():
            self._curvature.objective.saw_forward(arguments, keywords, output)
        self._losses.from_output((arguments, keywords), output)

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
        self._curvature.objective.saw_criterion(criterion, arguments, keywords)
        self._losses.from_criterion(arguments, output)

    def clipped(self, norm: Tensor) -> None:
        """Gradients are about to be clipped: their norm as it was, the first time in a step."""
        self.open_step()
        if not self._altered:
            self._altered = True
            self._stream.add(self.step, "grad_norm_unclipped", norm)

    def adopt(self, optimizer: Optimizer) -> None:
        """Another optimizer trains the model: from its first step on, a step of training takes its step too."""
        self.optimizers.append(optimizer)

    def before_step(self, optimizer: Optimizer) -> None:
        """An optimizer is about to step: the gradients are what it will see."""
        if self._turns.again(optimizer):
            self._end_step()
        # One that steps right after a step's end, with nothing in between, still belongs to it.
        step = self.step if not self._open and self._turns.stray(optimizer) else self.open_step()
        if self._timetable.due("gradients", step):
            self._guard.run("gradients", self._measure_gradients, step, optimizer)
        if not self._turns.began:
            self._before_first_update(step)
        if self._precision is not None:
            self._guard.run("precision", self._precision.measure, step, optimizer)
        first_group = sum(len(o.param_groups) for o in self.optimizers[: self.optimizers.index(optimizer)])
        for number, group in enumerate(optimizer.param_groups, first_group):
            self._stream.add(step, f"lr/group{number}", group["lr"])

    def after_step(self, optimizer: Optimizer) -> None:
        """An optimizer has stepped, or the scaler has left its step out; the last of them ends the step."""
        if self._turns.stepped(optimizer, within=self._open):
            self._end_step()

    def close(self) -> None:
        """Leave no hook behind and let go of all that was held."""
        self.finish_forward()
        self._noise.forget()
        self._origin.forget()
        self._curvature.objective.forget()
        if self._precision is not None:
            self._precision.close()

    # --- what serves it ---------------------------------------------------------------------------

    def _begin(self, step: int) -> None:
        """The first micro-batch of a step begins: whoever is due gets ready."""
        due = self._timetable.due
        if not self._compiled:
            if step == 1:
                self._order = ForwardOrder(self._layers.model)
            if due("activations", step):
                with self._timetable.timed("activations"):
                    self._activations.begin()
        if due("noise", step):
            self._look("noise", self._noise.begin)
        if due("curvature", step):
            self._curvature.objective.begin()

    def _before_first_update(self, step: int) -> None:
        """The parameters are still as the forward pass saw them."""
        due = self._timetable.due
        # What one of several optimizers is about to use may be mixed with another's gradients.
        if len(self.optimizers) == 1 and (self._noise.waits_for_second or due("noise", step)):
            self._look("noise", self._measure_noise, step)
            if not self._noise.waits_for_second:
                self._look_done("noise")
        if due("updates", step):
            self._look("updates", self._updates.before)

    def _end_step(self) -> None:
        """All optimizers have stepped."""
        step, due = self.step, self._timetable.due
        if due("updates", step):
            self._look("updates", self._updates.after, step)
            self._look_done("updates")
        if due("curvature", step):
            self._look("curvature", self._curvature.measure, step)
            self._curvature.objective.forget()
            self._look_done("curvature")
        self._origin.forget()
        self._timetable.step_done(step)
        self._open = False
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
        norms = self._gradients.measure(step, optimizer, self._share_of(optimizer))
        if norms is None:
            return
        self._pulse.send(step, self._stream.latest(step, TRAIN_LOSS), norms)
        for beat in self._pulse.beats():
            self._feel(beat)

    def _feel(self, beat: Beat) -> None:
        """Trouble that begins is looked at closely; where numbers break, their origin is looked for at once."""
        if not beat.broken:
            wild = self._norm_band.leaves(beat.grad_norm)
            wild |= beat.loss is not None and self._loss_band.leaves(beat.loss)
            if wild:
                self._timetable.zoom(beat.step)
            return
        scaled = self._precision is not None and (beat.loss is None or math.isfinite(beat.loss))
        if beat.step == self.step and not scaled:  # later, the weights are no longer those of the broken step
            self._guard.run("black box", self._origin.trace, beat.step, self._micro_batches)

    def _measure_noise(self, step: int) -> None:
        altered = self._altered or self._precision is not None
        self._noise.measure(step, samples=self._batch(), micro_batches=self._micro_batches, altered=altered)

    def _noise_told(self, source: str) -> None:
        self.noise_source = source
        self._describe()

    def _skipped_step(self) -> None:
        """The gradient scaler has left the optimizer's step out: it counts as a step all the same."""
        if self.optimizers:
            self.before_step(self.optimizers[0])
            self.after_step(self.optimizers[0])

    def _batch(self) -> float:
        """Samples of the open step as the model's forward saw them, else as the config tells, else NaN."""
        return float(self._samples or self._told_batch_size or math.nan)

    def _share_of(self, optimizer: Optimizer) -> frozenset[int] | None:
        """The parameters, by id, whose gradients are this optimizer's to show; None where it has no other beside it.

        The first one also shows those that no optimizer holds.
        """
        if len(self.optimizers) == 1:
            return None
        held = {o: {id(p) for group in o.param_groups for p in group["params"]} for o in self.optimizers}
        if optimizer is not self.optimizers[0]:
            return frozenset(held[optimizer])
        others = set[int]().union(*(ids for o, ids in held.items() if o is not optimizer))
        return frozenset({id(p) for p in self._layers.parameters} - others)

    def _first_optimizer(self) -> Optimizer | None:
        return self.optimizers[0] if self.optimizers else None

    def _lr(self) -> Tensor | float:
        lr: Tensor | float = self.optimizers[0].param_groups[0]["lr"] if self.optimizers else math.nan
        return lr
