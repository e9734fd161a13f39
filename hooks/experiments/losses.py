"""The loss of a batch, however training states it: inputs and targets, a mapping, or a function of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from torch import Tensor, nn

from diagnose.errors import InvalidArgumentError

LossOf = Callable[[nn.Module, Any], Tensor]
TARGETS: Final = ("labels", "label", "targets", "target", "y")  # under which a mapping holds them


def loss_of(criterion: Callable[..., Tensor] | None, step: LossOf | None = None) -> LossOf:
    """A function of model and batch that gives the batch's loss, a scalar.

    `step(model, batch)` where it is given; else `criterion(model(inputs), targets)`, the targets being a tuple's last
    entry or a mapping's "labels" (or "label", "targets", "target", "y"); and without a criterion the model's own
    loss, `model(**batch).loss`, as Transformers' models give it.
    """
    for name, given in (("criterion", criterion), ("step", step)):
        if given is not None and not callable(given):
            raise InvalidArgumentError(f"{name}={given!r:.80}: expected a function or None.")

    def compute(model: nn.Module, batch: Any) -> Tensor:
        if step is not None:
            return _scalar(step(model, batch))
        if criterion is None:
            return _scalar(_own_loss(model_output(model, batch)))
        inputs, targets = inputs_and_targets(batch)
        return _scalar(criterion(logits_in(model_output(model, inputs)), targets))

    return compute


def inputs_and_targets(batch: Any) -> tuple[Any, Any]:
    """What the model is given and what it is asked for; raises `InvalidArgumentError` where the batch does not tell."""
    if isinstance(batch, Mapping):
        name = next((name for name in TARGETS if name in batch), None)
        if name is not None:
            return {other: value for other, value in batch.items() if other != name}, batch[name]
    elif isinstance(batch, list | tuple) and len(batch) > 1:
        return tuple(batch[:-1]), batch[-1]
    raise InvalidArgumentError(
        f"A batch of {type(batch).__name__} does not tell inputs from targets: expected (inputs, targets), a mapping "
        f"with one of {', '.join(TARGETS)}, or step=lambda model, batch: … that returns the loss."
    )


def logits_in(output: Any) -> Any:
    """The output's `.logits` where it has them, else the output."""
    return getattr(output, "logits", output)


def model_output(model: nn.Module, inputs: Any) -> Any:
    """The model called with a tuple's entries, a mapping's names, or the one thing it is given."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, list | tuple) else model(inputs)


def _own_loss(output: Any) -> Any:
    own = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
    if own is None:
        raise InvalidArgumentError(
            f"The model's output ({type(output).__name__}) has no loss: pass criterion=…, or "
            "step=lambda model, batch: … that returns the loss of a batch."
        )
    return own


def _scalar(loss: Any) -> Tensor:
    if not isinstance(loss, Tensor) or loss.numel() == 0:
        raise InvalidArgumentError(f"The loss of a batch is a tensor with one number, not {loss!r:.60}.")
    return loss.mean()
