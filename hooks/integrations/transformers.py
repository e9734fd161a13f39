"""Hugging Face Transformers: `Trainer(callbacks=[DiagnoseCallback()])`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack

from transformers import TrainerCallback

from diagnose.errors import TrainingHalted
from diagnose.hooks.integrations.attaching import Options, attached, checked, log, size_of
from diagnose.hooks.integrations.halting import Halt
from diagnose.hooks.integrations.splits import split_of, without_split
from diagnose.hooks.integrations.versions import expect
from diagnose.hooks.monitor import Monitor

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments

TESTED = ("5.24",)
ABOUT_THE_TRAINER = ("epoch", "flos", "runtime", "per_second", "learning_rate", "grad_norm", "tokens")  # not the model


class DiagnoseCallback(TrainerCallback):
    """Watches the trainer's model, optimizer and schedule.

    Every step's loss is taken from the model's output; the trainer's own logs average over `logging_steps`, and
    leave out what is not finite (`logging_nan_inf_filter`). Where the model computes none (label smoothing, a loss
    function of your own) the logs' is taken. Evaluation metrics and the `TrainingArguments` are logged. `halt_on` stops
    the trainer (`control.should_training_stop`): the reason is logged and kept in `halted`. Takes what
    `diagnose.attach` takes: `run_dir`, `config`, `cadence`, `on_finding`, `halt_on`, `keep_batch`, `criterion`.
    """

    def __init__(self, **options: Unpack[Options]) -> None:
        self.monitor: Monitor | None = None
        self.run_dir: str | os.PathLike[str] | None = None  # of the latest training
        self._options = checked(options)
        self._halt = Halt()

    @property
    def halted(self) -> TrainingHalted | None:
        """Why the latest training was halted; None where it was not."""
        return self._halt.reason

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Attach: optimizer and schedule are there, a checkpoint is loaded."""
        expect("transformers", *TESTED)
        self._close()  # of a training that broke off: no callback hears of that
        self._halt = Halt()
        self.monitor = attached(
            given["model"],
            given.get("optimizer"),
            self._options,
            scheduler=given.get("lr_scheduler"),
            scaler=getattr(given.get("optimizer"), "scaler", None),
            config=config_of(args, state, given.get("train_dataloader")),
            ranks=args.world_size,
        )
        if not args.average_tokens_across_devices:
            self.monitor._course._losses.ranks = 1  # each divides by its own tokens
        self.run_dir = self.monitor.run_dir
        self.monitor.halt_with(self._halt.note)
        self.monitor.go_on_after(state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        """Stop between two steps for what was found."""
        if self._halt.is_due(self.monitor):
            control.should_training_stop = True
            self._close()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **given: Any,
    ) -> None:
        """Log what the trainer logs, but for what is known at every step."""
        if self.monitor is None:
            return
        for name, value in (logs or {}).items():
            about_trainer = name == "train_loss" or any(word in name for word in ABOUT_THE_TRAINER)
            if isinstance(value, int | float) and not about_trainer:
                log(self.monitor, split_of(name), without_split(name), value)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        """Training is over."""
        self._close()

    def _close(self) -> None:
        if self.monitor is not None:
            self.monitor.close()
        self.monitor = None


def config_of(args: TrainingArguments, state: TrainerState, loader: Any) -> Mapping[str, Any]:
    """The settings that bear on how training goes; paths, hubs and loggers are left out."""
    return {
        "batch_size": args.train_batch_size,
        "accumulation_steps": args.gradient_accumulation_steps,
        "dataset_size": size_of(getattr(loader, "dataset", None)),
        "epochs": args.num_train_epochs if args.max_steps <= 0 else None,
        "max_steps": state.max_steps,
        "lr": args.learning_rate,
        "weight_decay": args.weight_decay,
        "warmup_steps": args.get_warmup_steps(state.max_steps),
        "scheduler": str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type)),
        "max_norm": args.max_grad_norm,
        "label_smoothing": args.label_smoothing_factor,
        "precision": "bf16" if args.bf16 else "fp16" if args.fp16 else "fp32",
        "seed": args.seed,
        "optimizer": str(getattr(args.optim, "value", args.optim)),
    }
