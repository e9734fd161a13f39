"""What a LightningModule logs with `self.log`, handed on without waiting for the device."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from diagnose.hooks.integrations.attaching import Split, log
from diagnose.hooks.integrations.splits import split_of, without_split
from diagnose.hooks.monitor import Monitor


class Metrics:
    """Follows the trainer's own collection of what was logged.

    Its public door (`trainer.callback_metrics`) copies what the progress bar shows to the host each time it is
    opened: fit for an epoch's end, not for a step.
    """

    def __init__(self, monitor: Monitor, *, knows_loss: bool) -> None:
        self._monitor = monitor
        self._knows_loss = knows_loss  # the whole training loss is logged already
        self._latest: dict[str, Tensor] = {}  # of each metric of a step: one that is not logged anew is an old one
        self._taken: set[str] = set()
        self._late: dict[str, Tensor] = {}

    def of_step(self, trainer: Any) -> None:
        """Log what the training step has logged."""
        for key, metric in trainer._results.items():
            value = metric._forward_cache
            if metric.meta.on_step and isinstance(value, Tensor) and value is not self._latest.get(key):
                self._latest[key] = value
                self._log("train", metric.meta.name, value)

    def of_epoch(self, trainer: Any, split: Split) -> None:
        """Log what is known only at the end of an epoch, or of a validation."""
        for metric in trainer._results.values():
            meta = metric.meta
            if metric.has_reset or not meta.on_epoch or (meta.on_step and split == "train"):
                continue
            number = meta.dataloader_idx if meta.add_dataloader_idx else None
            known_as = meta.name + (f"/dataloader_idx_{number}" if number is not None else "")
            value = trainer.callback_metrics.get(known_as)
            if isinstance(value, Tensor):
                self._taken.add(known_as)
                self._log(split, meta.name if not number else known_as, value)

    def late(self, trainer: Any) -> None:
        """Log what the module itself has logged at the end of an epoch, after its callbacks were asked."""
        seen = self._taken | {metric.meta.name for metric in trainer._results.values() if not metric.has_reset}
        for name, value in trainer.callback_metrics.items():
            plain = re.sub("_(step|epoch)$", "", name)
            known = name in seen or plain in self._steps or value is self._late.get(name)
            if not known and isinstance(value, Tensor):
                self._late[name] = value
                self._log(split_of(name), plain, value)

    @property
    def _steps(self) -> set[str]:
        return {key.partition(".")[2] for key in self._latest}

    def _log(self, split: Split, name: str, value: Tensor) -> None:
        bare = without_split(name)
        if not (split == "train" and bare == "loss" and self._knows_loss):
            log(self._monitor, split, bare, value)
