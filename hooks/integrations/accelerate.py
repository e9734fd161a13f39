"""Accelerate: a tracker, which `accelerator.log` and `accelerator.end_training` reach like any other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from accelerate import Accelerator
from accelerate.tracking import GeneralTracker

from diagnose.errors import InvalidArgumentError
from diagnose.hooks.integrations.attaching import Options, attached, checked, log, size_of
from diagnose.hooks.integrations.splits import split_of, without_split
from diagnose.hooks.integrations.versions import expect
from diagnose.hooks.monitor import Monitor

TESTED = ("1.15",)


class DiagnoseTracker(GeneralTracker):
    """Give it to `Accelerator(log_with=[tracker])`, and call `tracker.watch(accelerator)` once all is prepared.

    Watched is the first model that was prepared, with its optimizers, the first schedule and the gradient scaler. What
    is logged lands on the optimizer's step at hand: a `step` that is told may count batches, and is not used. A loss
    that a `criterion` or the model's own output gives is seen there, and not taken from what is logged as well. A halt
    raises `diagnose.TrainingHalted`, on all ranks at the same step. Takes what `diagnose.attach` takes.
    """

    name = "diagnose"
    requires_logging_directory = False
    main_process_only = False  # `watch` is for every rank, and each closes its own

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__()
        self.monitor: Monitor | None = None
        self._options = checked(options)
        self._config: Mapping[str, Any] = {}

    @property
    def tracker(self) -> Monitor | None:
        """The monitor, which Accelerate's `get_tracker(…, unwrap=True)` gives."""
        return self.monitor

    def watch(self, accelerator: Accelerator) -> Monitor:
        """Attach to what the accelerator has prepared; returns the monitor.

        Raises `InvalidArgumentError` where that holds no model.
        """
        expect("accelerate", *TESTED)
        if not accelerator._models:
            raise InvalidArgumentError("watch(accelerator): no model is prepared; call accelerator.prepare first.")
        optimizers, schedulers = accelerator._optimizers, accelerator._schedulers
        self.monitor = attached(
            accelerator._models[0],
            optimizers[0] if optimizers else None,
            self._options,
            scheduler=getattr(schedulers[0], "scheduler", schedulers[0]) if schedulers else None,
            scaler=accelerator.scaler,
            config={**config_of(accelerator), **self._config},
            # The accelerator keeps the model as it was before a wrapper averaged its gradients.
            ranks=accelerator.num_processes if str(accelerator.distributed_type.value).startswith("MULTI_") else 1,
        )
        return self.monitor

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        """What was given to `accelerator.init_trackers`."""
        self._config = values

    def log(self, values: dict[str, Any], step: int | None = None, **kwargs: Any) -> None:  # noqa: ARG002
        """What was given to `accelerator.log`."""
        for name, value in values.items():
            if self.monitor is not None and not isinstance(value, str):
                log(self.monitor, split_of(name), without_split(name), value)

    def finish(self) -> None:
        """`accelerator.end_training`."""
        if self.monitor is not None:
            self.monitor.close()


def config_of(accelerator: Accelerator) -> Mapping[str, Any]:
    """The settings that the accelerator knows of; `batch_size` is that of one rank."""
    loader = accelerator._dataloaders[0] if accelerator._dataloaders else None
    sampler = getattr(loader, "batch_sampler", None)
    return {
        "batch_size": getattr(loader, "batch_size", None) or getattr(sampler, "batch_size", None),
        "dataset_size": size_of(getattr(loader, "dataset", None)),
        "accumulation_steps": accelerator.gradient_accumulation_steps,
        "precision": str(accelerator.mixed_precision),
    }
