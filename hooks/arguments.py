"""What attach is given: checked at once, with messages that name the argument."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn
from torch.optim import Optimizer

from diagnose import symptoms
from diagnose.errors import InvalidArgumentError
from diagnose.hooks.layers import is_being_captured
from diagnose.hooks.sharding import plain_type

if TYPE_CHECKING:
    from diagnose.hooks.mirror import Mirror


def check(model: object, optimizer: object, criterion: object, config: object, on_finding: object) -> None:
    """Raise `InvalidArgumentError` for the first argument that is not what attach expects."""
    wanted = (
        ("model", model, isinstance(model, nn.Module), "a torch.nn.Module"),
        ("optimizer", optimizer, optimizer is None or isinstance(optimizer, Optimizer),
         "a torch.optim.Optimizer or None"),
        ("criterion", criterion, criterion is None or isinstance(criterion, nn.Module),
         "a loss module or None; a plain loss function is logged by monitor.log(loss=loss)"),
        ("config", config, config is None or isinstance(config, Mapping), "a mapping or None"),
        ("on_finding", on_finding, on_finding is None or callable(on_finding),
         "a function of one Finding or None; a webhook's address belongs into diagnose.hooks.receivers.Webhook"),
    )  # fmt: skip
    if is_being_captured():
        raise InvalidArgumentError(
            "attach(): a CUDA graph is being captured, and would replay the steps without any hook running; "
            "attach before and leave the optimizer's step out of the graph."
        )
    for name, value, fits, expected in wanted:
        if not fits:
            # A webhook's address is a secret.
            shown = type(value).__name__ if name == "on_finding" else f"{value!r:.80}"
            raise InvalidArgumentError(f"attach({name}={shown}): expected {expected}.")


def halting_ids(halt_on: Iterable[str]) -> frozenset[str]:
    """The ids as a set; raises `InvalidArgumentError` for one that no symptom has."""
    asked = frozenset([halt_on] if isinstance(halt_on, str) else halt_on)
    unknown = sorted(asked - set(symptoms.ids()))
    if unknown:
        raise InvalidArgumentError(
            f"attach(halt_on=…): no symptom is called {', '.join(map(repr, unknown))}; "
            f"known are {', '.join(symptoms.ids())}."
        )
    return asked


def mirror_to(run_dir: str | os.PathLike[str] | None) -> Mirror | None:
    """What copies the log to a `run_dir` that is a URL, None for a folder of this machine.

    Raises `InvalidArgumentError` where the URL cannot be used.
    """
    if "://" not in str(run_dir):
        return None
    from diagnose.hooks.mirror import Mirror

    return Mirror(str(run_dir))


def default_run_dir(model: nn.Module) -> Path:
    """`runs/<time>-<model's class>`, with a number behind where that exists."""
    base = Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{plain_type(model).__name__}"
    number = 2
    directory = base
    while directory.exists():
        directory = base.with_name(f"{base.name}-{number}")
        number += 1
    return directory
