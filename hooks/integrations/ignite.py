"""PyTorch Ignite: `DiagnoseHandler(model, optimizer).attach(trainer)`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from ignite.engine import Engine, Events
from torch import Tensor, nn
from torch.optim import Optimizer

from diagnose.errors import TrainingHalted
from diagnose.hooks.integrations.attaching import Options, Split, attached, checked, log, size_of
from diagnose.hooks.integrations.halting import Halt
from diagnose.hooks.integrations.splits import without_split
from diagnose.hooks.integrations.versions import expect
from diagnose.hooks.monitor import Monitor

TESTED = ("0.5",)


class DiagnoseHandler:
    """Watches a model while an Ignite engine trains it.

    Logged are the engine's output (a loss, or a mapping of named numbers), its metrics, and those of a validation
    engine. `halt_on` terminates the engine: the reason is logged and kept in `halted`. Takes what `diagnose.attach`
    takes, a `scheduler` and a `scaler` too. Where several iterations make a step, `config` must say so
    (`accumulation_steps`): an engine does not know.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer | None = None,
        *,
        scheduler: object | None = None,
        scaler: object | None = None,
        **options: Unpack[Options],
    ) -> None:
        self.monitor: Monitor | None = None
        self._watched = (model, optimizer, scheduler, scaler)
        self._options = checked(options)
        self._halt = Halt()
        self._knows_loss = False  # from the engine's output

    @property
    def halted(self) -> TrainingHalted | None:
        """Why the latest training was halted; None where it was not."""
        return self._halt.reason

    def attach(self, trainer: Engine, validation: Engine | None = None) -> None:
        """Follow `trainer` from its start to its end, and the metrics of `validation` whenever it completes."""
        trainer.add_event_handler(Events.STARTED, self._begin)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._log_output)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._stop_if_found)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self._log_metrics, "train")
        trainer.add_event_handler(Events.COMPLETED | Events.TERMINATE, self._close)
        trainer.add_event_handler(Events.EXCEPTION_RAISED, self._close_and_raise)
        if validation is not None:
            validation.add_event_handler(Events.COMPLETED, self._log_metrics, "validation")

    def _begin(self, engine: Engine) -> None:
        expect("pytorch-ignite", *TESTED)
        model, optimizer, scheduler, scaler = self._watched
        self._halt = Halt()
        self._knows_loss = False
        iterations = self._options.get("config", {}).get("accumulation_steps") or 1
        loader = engine.state.dataloader
        self.monitor = attached(
            model,
            optimizer,
            self._options,
            scheduler=scheduler,
            scaler=scaler,
            config={
                "batch_size": getattr(loader, "batch_size", None),
                "dataset_size": size_of(getattr(loader, "dataset", None)),
                "epochs": engine.state.max_epochs,
                "max_steps": engine.state.max_iters and engine.state.max_iters // iterations,
                "seed": engine.state.seed,
            },
        )
        self.monitor.go_on_after(engine.state.iteration // iterations)
        self.monitor.halt_with(self._halt.note)

    def _log_output(self, engine: Engine) -> None:
        output = engine.state.output
        if self.monitor is None or output is None:
            return
        values = output if isinstance(output, Mapping) else {"loss": output}
        for name, value in values.items():
            if isinstance(value, int | float) or (isinstance(value, Tensor) and value.numel() == 1):
                bare = without_split(str(name))
                self._knows_loss |= bare == "loss"
                log(self.monitor, "train", bare, value)

    def _log_metrics(self, engine: Engine, split: Split) -> None:
        for name, value in engine.state.metrics.items():
            bare = without_split(name)
            averaged = split == "train" and bare == "loss" and self._knows_loss  # of what is logged at every step
            if self.monitor is not None and isinstance(value, int | float | Tensor) and not averaged:
                log(self.monitor, split, bare, value)

    def _stop_if_found(self, engine: Engine) -> None:
        if self._halt.is_due(self.monitor):
            engine.terminate()

    def _close(self, *_: Any) -> None:
        if self.monitor is not None:
            self.monitor.close()

    def _close_and_raise(self, engine: Engine, error: BaseException) -> None:
        """An engine leaves an exception to its handlers: without ours, and none of the user's, it would have raised."""
        self._close()
        handlers = [handler for handler, *_ in engine._event_handlers[Events.EXCEPTION_RAISED]]
        only_ours = all(isinstance(getattr(handler, "__self__", None), DiagnoseHandler) for handler in handlers)
        if only_ours and handlers[-1] == self._close_and_raise:  # of several of ours each closes its own
            raise error
