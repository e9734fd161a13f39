"""`attach` and the Monitor: one line in a training script, and everything that follows from it."""

from __future__ import annotations

import operator
import os
import weakref
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from diagnose.errors import InvalidArgumentError, TrainingHalted
from diagnose.findings import Finding
from diagnose.hooks import arguments, closures
from diagnose.hooks.cadence import Cadence, Timetable, timetable_of
from diagnose.hooks.course import Course
from diagnose.hooks.description import setup_of
from diagnose.hooks.finder import optimizer_finder
from diagnose.hooks.guard import STEPS, Guard, Hook
from diagnose.hooks.halting import Halting, halted
from diagnose.hooks.kept_batch import BatchKeeper
from diagnose.hooks.layers import LayerTable, replicas, unwrapped
from diagnose.hooks.loader_indices import LoaderTap
from diagnose.hooks.optimizers import innermost
from diagnose.hooks.probes.clipping import ClippingTap
from diagnose.hooks.scripting import ScriptingTap
from diagnose.hooks.sharding import replicas_sharded
from diagnose.hooks.stream import Stream
from diagnose.hooks.termination import flush_on_sigterm, forget
from diagnose.hooks.watch import Watch
from diagnose.logs import setup_text
from diagnose.logs.storage import shown

if TYPE_CHECKING:
    from diagnose.hooks.mirror import Mirror


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
    keep_batch: bool = False,
) -> Monitor:
    """Watch a training run and write what an expert would look at to a TensorBoard event log.

    The optimizer is found at its first step where it is left out. `criterion`'s outputs are logged,
    training and evaluation apart; without it, log losses with `Monitor.log`, unless the model's output
    has a `.loss`. `config` is kept with the run: batch_size, epochs, dataset_size, num_classes,
    dataset_version, seed, task, augmentation, … `on_finding` is called from the training thread, between
    steps; a symptom named in `halt_on` raises `TrainingHalted` there. Nothing else of ours ever raises
    during training. `keep_batch` saves the inputs of the first step whose loss or gradients are not finite,
    and their indices in the dataset where a torch DataLoader drew them, beside the log in safetensors.

    `run_dir` may be a URL (`s3://bucket/run`): the log is then written on this machine and copied there in the
    background (`hooks/mirror.py`); training waits for the network only at `close`, for half a minute at most.

    One monitor follows one model. Every optimizer that steps any of its parameters is followed, and a step
    of training is one step of each; of a GAN in two modules, attach to each.

    Raises `InvalidArgumentError`, naming the argument, where one cannot be used: `model` is no module, a
    `halt_on` id is unknown, `run_dir` cannot be written.
    """
    arguments.check(model, optimizer, criterion, config, on_finding)
    optimizer = innermost(optimizer)
    halting = arguments.halting_ids(halt_on)
    timetable = timetable_of(cadence)
    if keep_batch:
        timetable.keep("gradients")
    mirror = arguments.mirror_to(run_dir)
    if mirror is not None:
        directory = mirror.spool
    else:
        directory = Path(run_dir) if run_dir is not None else arguments.default_run_dir(unwrapped(model))
    try:
        return Monitor(
            model,
            optimizer,
            criterion=criterion,
            described_by=(scheduler, scaler, dict(config or {}), criterion),
            run_dir=directory,
            mirror=mirror,
            timetable=timetable,
            on_finding=on_finding,
            halt_on=halting,
            keep_batch=keep_batch,
        )
    except OSError as error:
        raise InvalidArgumentError(
            f"attach(run_dir={os.fspath(directory)!r}): cannot be written ({error.strerror})."
        ) from error


class Monitor:
    """Watches one model and its optimizers until it is closed. Made by `attach`."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer | None,
        *,
        criterion: nn.Module | None,
        described_by: tuple[object, object, Mapping[str, Any], object],  # scheduler, scaler, config, criterion
        run_dir: Path,
        mirror: Mirror | None,
        timetable: Timetable,
        on_finding: Callable[[Finding], None] | None,
        halt_on: frozenset[str],
        keep_batch: bool,
    ) -> None:
        self.run_dir = run_dir if mirror is None else mirror.place
        self._model = model
        self._described_by = described_by
        self._on_finding = on_finding
        self._written_to = run_dir
        self._guard = Guard()
        self._layers = LayerTable(unwrapped(model))
        self._halting = Halting(halt_on, type(self._layers.model).__name__, self._guard)
        self._watch = Watch(shown(self.run_dir), halt_on)
        # The stream lives on a thread of its own and must not hold the monitor, and so the model, alive.
        observe = partial(self._guard.run, "live alerts", self._watch.observe)
        self._stream = Stream(run_dir, observe, mirror)
        self._loaders = LoaderTap() if keep_batch else None
        self._keeper = BatchKeeper(run_dir, self._loaders.latest) if self._loaders is not None else None
        _, scaler, config, _ = described_by
        self._ranks = max(replicas(model), replicas_sharded(self._layers.model))
        batch_size = config.get("batch_size")
        self._course = Course(
            model,
            self._layers,
            self._stream,
            self._guard,
            timetable,
            ranks=replicas(model),
            scaler=scaler,
            batch_size=batch_size if isinstance(batch_size, int | float) else None,
            keeper=self._keeper,
            describe=self._describe,
        )
        self._clipping = ClippingTap(self._layers, self._guard, self._course.clipped)
        self._scripting = ScriptingTap()
        self._handles: list[RemovableHandle] = []
        self._hook_model(criterion)
        if optimizer is not None:
            self._adopt(optimizer)
        self._handles.append(register_optimizer_step_pre_hook(optimizer_finder(self)))
        self._guard.run("set-up", self._describe)
        # Also at interpreter exit, and when the model is dropped without close().
        self._closing = weakref.finalize(self, Stream.close, self._stream)
        if mirror is not None:
            from diagnose.hooks.mirror import close_while_drivers_work

            close_while_drivers_work(self._closing)
        flush_on_sigterm(self._stream, self._tell_what_is_left)

    def log(
        self, *, split: Literal["train", "validation"] = "train", step: int | None = None, **values: Tensor | float
    ) -> None:
        """Log scalars under `name/split`, for the step at hand or for `step`.

        Tensors stay on their device until the next flush. Called before `optimizer.step()` or after it,
        the values land on that same step; what one step gets several times is averaged.
        """
        for name, value in values.items():
            self._guard.run(f"log({name}=…)", self._log_one, step, split, name, value)

    def go_on_after(self, step: int) -> None:
        """Training is resumed: its first step here is the one after `step`. To be called before it."""
        self._guard.run("resuming", self._course.go_on_after, operator.index(step))

    def halt_with(self, halt: Callable[[Finding], None]) -> None:
        """Call `halt(finding)` in place of raising, for a training loop that has its own way to stop."""
        self._halting.instead = halt

    def halted(self, finding: Finding) -> TrainingHalted:
        """Close, and return what says why training was halted and what to change."""
        self._close(TrainingHalted(finding))
        return halted(finding, self._written_to)

    def close(self) -> None:
        """Remove all hooks, write what is left, close the log and tell what that showed; safe to call twice.

        Called while an exception is on its way or being handled, the log says that this one ended the training.
        """
        self._close(None)

    def _close(self, error: BaseException | None) -> None:
        while self._handles:
            self._handles.pop().remove()
        self._clipping.close()
        self._scripting.close()
        if self._loaders is not None and self._keeper is not None:
            self._loaders.close()
            self._keeper.close()
        self._guard.run("closing", self._course.close)
        self._stream.end(error)
        self._closing.detach()
        forget(self._stream)
        self._tell_what_is_left()

    def _tell_what_is_left(self) -> None:
        while not self._watch.news.empty():
            self._tell()
        if callable(flush := getattr(self._on_finding, "flush", None)):  # of a receiver that sends in the background
            self._guard.run("on_finding", flush)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._close(error)

    # --- hooks ------------------------------------------------------------------------------------

    def _hook_model(self, criterion: nn.Module | None) -> None:
        before = self._hook(STEPS, self._course.before_forward)
        after = self._hook("forward", self._course.after_forward)
        self._handles.append(self._model.register_forward_pre_hook(before, with_kwargs=True))
        self._handles.append(self._model.register_forward_hook(after, with_kwargs=True))
        if criterion is not None:
            seen = self._hook("losses", self._course.after_criterion)
            self._handles.append(criterion.register_forward_hook(seen, with_kwargs=True))

    def _adopt(self, optimizer: Optimizer) -> None:
        self._course.adopt(optimizer)
        self._handles.append(optimizer.register_step_pre_hook(self._before_step))
        self._handles.append(optimizer.register_step_post_hook(self._after_step))

    def _before_step(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> closures.Arguments | None:
        if torch.compiler.is_compiling():
            return None
        if len(args) > 1 or kwargs:
            look = partial(self._guard.run, STEPS, self._course.before_step, optimizer)
            with_closure = closures.heard(args, kwargs, look)
            if with_closure is not None:
                return with_closure
        self._guard.run(STEPS, self._course.before_step, optimizer)
        return None

    def _after_step(self, optimizer: Optimizer, *_: Any) -> None:
        """An optimizer has stepped: tell what was found meanwhile. The only place that may raise."""
        if torch.compiler.is_compiling():
            return
        self._guard.run(STEPS, self._course.after_step, optimizer)
        while not self._watch.news.empty():
            self._halting.ask(self._tell(), self._course.step)
        due = self._halting.due(self._course.step)
        if due is not None:
            if self._halting.instead is None:
                raise self.halted(due)
            self._halting.instead(due)

    def _tell(self) -> Finding:
        finding = self._watch.news.get()
        if self._on_finding is not None:
            self._guard.run("on_finding", self._on_finding, finding)
        return finding

    def _hook(self, name: str, work: Callable[..., None]) -> Hook:
        return Hook(self._guard, name, work)

    # --- what goes to the log besides ---------------------------------------------------------------

    def _log_one(self, step: int | None, split: str, name: str, value: Tensor | float) -> None:
        if split not in {"train", "validation"}:
            raise ValueError(f"split is “train” or “validation”, not {split!r}")
        at = max(self._course.step, 1) if step is None else operator.index(step)
        if at < 0:
            raise ValueError(f"a step is 0 or more, not {at}")
        if isinstance(value, Tensor) and value.numel() != 1:
            raise ValueError(f"expected one number, got a tensor of shape {tuple(value.shape)}")
        number = value.detach().reshape(()) if isinstance(value, Tensor) else float(value)
        self._stream.add(at, f"{name}/{split}", number)

    def _describe(self) -> None:
        """Write the set-up: at attach, and again once the forward order, the optimizer or more is known."""
        (scheduler, scaler, config, criterion), course = self._described_by, self._course
        setup = setup_of(
            self._layers, course.optimizers, scheduler, scaler, config,
            criterion=criterion, noise_source=course.noise_source, autocast=course.autocast, ranks=self._ranks,
        )  # fmt: skip
        self._watch.learn(setup)
        self._stream.describe(setup_text.as_json(setup))
