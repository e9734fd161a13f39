"""PyTorch Ignite: `DiagnoseHandler(model, optimizer).attach(trainer)`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sized
from typing import Any, Unpack

from ignite.engine import Engine, Events
from torch import Tensor, nn
from torch.optim import Optimizer

from diagnose.errors import TrainingHalted
from diagnose.findings import Finding
from diagnose.hooks.integrations.attaching import Options, Split, attached, checked, log
from diagnose.hooks.integrations.splits import without_split
from diagnose.hooks.integrations.versions import expect
from diagnose.hooks.monitor import Monitor

logger = logging.getLogger("diagnose")

TESTED = ("0.5",)


class DiagnoseHandler:
    """Watches a model while an Ignite engine trains it.

    Logged are the engine's output (a loss, or a mapping of named numbers), its metrics, and those of a validation
    engine. `halt_on` terminates the engine: the reason is logged and kept in `halted`. Takes what `diagnose.attach`
    takes, a `scheduler` and a `scaler` too.
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
        self.halted: TrainingHalted | None = None
        self._watched = (model, optimizer, scheduler, scaler)
        self._options = checked(options)

    def attach(self, trainer: Engine, validation: Engine | None = None) -> None:
        """Follow `trainer` from its start to its end, and the metrics of `validation` whenever it completes."""
        trainer.add_event_handler(Events.STARTED, self._begin)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._log_output)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self._log_metrics, "train")
        trainer.add_event_handler(Events.COMPLETED | Events.TERMINATE, self._close)
        trainer.add_event_handler(Events.EXCEPTION_RAISED, self._close_and_raise)
        if validation is not None:
            validation.add_event_handler(Events.COMPLETED, self._log_metrics, "validation")

    def _begin(self, engine: Engine) -> None:
        expect("pytorch-ignite", *TESTED)
        model, optimizer, scheduler, scaler = self._watched
        self.halted = None
        loader = engine.state.dataloader
        dataset = getattr(loader, "dataset", None)
        self.monitor = attached(
            model,
            optimizer,
            self._options,
            scheduler=scheduler,
            scaler=scaler,
            config={
                "batch_size": getattr(loader, "batch_size", None),
                "dataset_size": len(dataset) if isinstance(dataset, Sized) else None,
                "epochs": engine.state.max_epochs,
                "max_steps": engine.state.max_iters,
                "seed": engine.state.seed,
            },
        )
        self.monitor.go_on_after(engine.state.iteration)
        self.monitor.halt_with(lambda finding: self._halt(engine, finding))

    def _log_output(self, engine: Engine) -> None:
        output = engine.state.output
        if self.monitor is None or output is None:
            return
        values = output if isinstance(output, Mapping) else {"loss": output}
        for name, value in values.items():
            single = isinstance(value, int | float) or (isinstance(value, Tensor) and value.numel() == 1)
            if single and not (name == "loss" and "criterion" in self._options):
                log(self.monitor, "train", without_split(str(name)), value)

    def _log_metrics(self, engine: Engine, split: Split) -> None:
        for name, value in engine.state.metrics.items():
            if self.monitor is not None and isinstance(value, int | float | Tensor):
                log(self.monitor, split, without_split(name), value)

    def _halt(self, engine: Engine, finding: Finding) -> None:
        if self.halted is None and self.monitor is not None:
            self.halted = self.monitor.halted(finding)
            logger.warning("diagnose: %s", self.halted)
            engine.terminate()

    def _close(self, *_: Any) -> None:
        if self.monitor is not None:
            self.monitor.close()

    def _close_and_raise(self, engine: Engine, error: BaseException) -> None:
        """An engine leaves an exception to its handlers: without ours, and none of the user's, it would have raised."""
        self._close()
        if len(engine._event_handlers[Events.EXCEPTION_RAISED]) == 1:
            raise error
