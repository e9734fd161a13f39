"""Lightning: `Trainer(callbacks=[DiagnoseCallback()])`, under either of its two names."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack

from torch import Tensor, nn

from diagnose.errors import TrainingHalted
from diagnose.hooks.integrations import unseen_forward
from diagnose.hooks.integrations.attaching import Options, attached, checked, size_of
from diagnose.hooks.integrations.halting import Halt
from diagnose.hooks.integrations.lightning_metrics import Metrics
from diagnose.hooks.integrations.versions import expect
from diagnose.hooks.layers import replicas
from diagnose.hooks.monitor import Monitor
from diagnose.signals import TRAIN_LOSS

if TYPE_CHECKING:
    from lightning.pytorch import Callback, LightningModule, Trainer
elif "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules:
    from pytorch_lightning import (
        Callback,
    )  # each name's trainer takes the other's callbacks, but both take long to load
else:
    try:
        from lightning.pytorch import Callback
    except ImportError:
        from pytorch_lightning import Callback

TESTED = ("2.6",)


class DiagnoseCallback(Callback):
    """Watches the module that the trainer trains, with its optimizers, schedules and precision.

    Logged are the loss that is trained on and whatever the module logs; the config is the trainer's and the
    module's `hparams`. `halt_on` stops the trainer (`trainer.should_stop`): the reason is logged and kept in
    `halted`. Takes what `diagnose.attach` takes: `run_dir`, `config`, `cadence`, `on_finding`, `halt_on`,
    `keep_batch`, and a `criterion` of the module where curvature is to be measured.

    A checkpoint remembers the run's folder: training that is resumed from it goes on in the same log.
    """

    def __init__(self, **options: Unpack[Options]) -> None:
        self.monitor: Monitor | None = None
        self.run_dir: str | os.PathLike[str] | None = None  # of the latest training
        self._options = checked(options)
        self._halt = Halt()
        self._goes_on_in: str | None = None  # the folder of the training whose checkpoint was loaded
        self._metrics: Metrics | None = None
        self._by_parts = False
        self._batch: Any = None

    @property
    def halted(self) -> TrainingHalted | None:
        """Why the latest training was halted; None where it was not."""
        return self._halt.reason

    # --- the trainer's hooks ----------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """A checkpoint that was loaded to test it is no training that goes on."""
        self._goes_on_in = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Attach: optimizers are there, a checkpoint is loaded, and the sanity check is over."""
        expect(type(pl_module.trainer).__module__.partition(".")[0].replace("_", "-"), *TESTED)
        optimizers, schedules = trainer.optimizers, trainer.lr_scheduler_configs
        wrapped = trainer.model is not pl_module
        self._halt = Halt()
        model = watched(pl_module, wrapped=wrapped)
        self._by_parts = all(model is not module for module in pl_module.modules())
        self.monitor = monitor = attached(
            model,
            optimizers[0] if optimizers else None,
            self._with_run_dir(),
            scheduler=schedules[0].scheduler if schedules else None,
            scaler=getattr(trainer.precision_plugin, "scaler", None),
            config=config_of(trainer, pl_module),
            ranks=replicas(trainer.model) if isinstance(trainer.model, nn.Module) else 1,
        )
        self.run_dir, self._goes_on_in = monitor.run_dir, None
        monitor.halt_with(self._halt.note)
        # With manual optimization the trainer counts each optimizer's steps.
        monitor.go_on_after(trainer.global_step // max(len(optimizers), 1))
        self._metrics = Metrics(monitor, knows_loss=self._sees_loss(pl_module))

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Raise where the trainer would not stop: its `min_epochs` or `min_steps` are not reached."""
        if self.halted is not None:
            raise self.halted
        if self.monitor is not None and self._by_parts:
            self._batch = batch
            unseen_forward.begins(self.monitor, batch)

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """The loss is there, on its device, before anything of it can break."""
        monitor = self.monitor
        if monitor is None:
            return
        if self._batch is not None:
            unseen_forward.ends(monitor, self._batch)
            self._batch = None
        elif unseen_forward.was_missed(monitor):
            self._by_parts = True
        if self._sees_loss(pl_module) and TRAIN_LOSS not in monitor._course._losses.seen:
            monitor._guard.run("losses", self._log_loss, trainer, pl_module, loss)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log what the training step has logged; halt between two steps."""
        if self.monitor is not None and self._metrics is not None:
            self.monitor._guard.run("metrics", self._metrics.of_step, trainer)
            if self._halt.is_due(self.monitor):
                trainer.should_stop = True
                self._close()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the validation's metrics."""
        if self.monitor is not None and self._metrics is not None:
            self.monitor._guard.run("metrics", self._metrics.of_epoch, trainer, "validation")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log what was averaged over the epoch."""
        if self.monitor is not None and self._metrics is not None:
            self.monitor._guard.run("metrics", self._metrics.of_epoch, trainer, "train")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log what the module logged at the last epoch's end."""
        if self.monitor is not None and self._metrics is not None:
            self.monitor._guard.run("metrics", self._metrics.late, trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Training is over."""
        self.on_train_epoch_start(trainer, pl_module)
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Training broke off, be it by Ctrl-C."""
        self._close()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {} if self.run_dir is None else {"run_dir": str(self.run_dir)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Training goes on from a checkpoint."""
        self._goes_on_in = state_dict.get("run_dir")

    # --- what serves them -------------------------------------------------------------------------

    def _with_run_dir(self) -> Options:
        if self._goes_on_in is None or "run_dir" in self._options:
            return self._options
        return {**self._options, "run_dir": self._goes_on_in}

    def _sees_loss(self, pl_module: LightningModule) -> bool:
        """Whether what is propagated backward is the one loss that is trained on; the two of a GAN are not."""
        return pl_module.automatic_optimization or len(pl_module.trainer.optimizers) == 1

    def _log_loss(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        value = loss.detach()
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        if pl_module.automatic_optimization:
            value = value * trainer.accumulate_grad_batches  # a share of the step's mean until here
        if scaler is not None and scaler.is_enabled():
            value = value / scaler._scale
        if self.monitor is not None:
            self.monitor.log(loss=value)

    def _close(self) -> None:
        if self.monitor is not None:
            self.monitor.close()
        self.monitor = self._metrics = self._batch = None


def watched(pl_module: LightningModule, *, wrapped: bool) -> nn.Module:
    """What to attach to: the one network of a module that has one, which is seen however it is called.

    Where a wrapper is called in the module's place, the module's own calls are the wrapper's: its parts are watched.
    """
    module: nn.Module = pl_module
    children = {name: child for name, child in module.named_children() if any(True for _ in child.parameters())}
    own = dict(module.named_parameters(recurse=False))
    if len(children) == 1 and not own:
        return next(iter(children.values()))
    if not wrapped:
        return module
    parts: nn.Module = type(type(module).__name__, (nn.Module,), {})()
    for name, child in children.items():
        parts.add_module(name, child)
    for name, parameter in own.items():
        parts.register_parameter(name, parameter)
    return parts


def config_of(trainer: Trainer, pl_module: LightningModule) -> Mapping[str, Any]:
    """The settings that trainer, data and module know of."""
    loader = trainer.train_dataloader
    limits = (trainer.max_epochs or -1, trainer.max_steps)
    told = {
        "batch_size": getattr(loader, "batch_size", None),
        "dataset_size": size_of(getattr(loader, "dataset", None)),
        "epochs": limits[0] if limits[0] > 0 else None,
        "max_steps": limits[1] if limits[1] > 0 else None,
        "accumulation_steps": trainer.accumulate_grad_batches,
        "max_norm": trainer.gradient_clip_val if trainer.gradient_clip_algorithm in {None, "norm"} else None,
        "precision": str(trainer.precision),
        "seed": os.environ.get("PL_GLOBAL_SEED"),
    }
    # What the trainer does not know, the size of a sampler's batches say, the module may.
    own = {str(name): value for name, value in getattr(pl_module, "hparams", {}).items()}
    return {**own, **{name: value for name, value in told.items() if value is not None}}
