"""Real models behind `diagnose.attach`, and the set-ups that their logs tell."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np
import pytest
import torch
from torch import nn

import diagnose
from diagnose import setup_rules
from diagnose.findings import Finding, Severity
from diagnose.run import Run, Series, Setup


@pytest.fixture
def attached(tmp_path) -> Callable[..., Run]:
    """attached(model, optimizer, steps=…, inputs=…, **attach's) -> Run: trained for so many steps, and read again."""
    number = count()

    def train(model, optimizer=None, *, steps=0, inputs=None, scheduler=None, **told) -> Run:
        torch.manual_seed(0)
        directory = tmp_path / str(next(number))
        with diagnose.attach(model, optimizer, run_dir=directory, scheduler=scheduler, **told) as monitor:
            for _ in range(steps):
                optimizer.zero_grad()
                output = model(inputs)
                loss = (output[0] if isinstance(output, tuple) else output).float().square().mean()
                loss.backward()
                monitor.log(loss=loss)
                optimizer.step()
                if scheduler is not None:
                    scheduler.step()
        return diagnose.load(directory)

    return train


@pytest.fixture
def told() -> Callable[..., Run]:
    """told(config={…}, optimizer={…}, …) -> Run: a set-up by itself."""
    return lambda **parts: Run("r", Setup(**parts))


@pytest.fixture
def with_rates() -> Callable[..., Run]:
    """with_rates(values, closed=…, **set-up's) -> Run whose learning rate was logged at every step."""

    def run(values, *, closed=False, **parts) -> Run:
        steps = np.arange(1, len(values) + 1)
        scalars = {"lr/group0": Series(steps, np.asarray(values, float), np.zeros(len(steps)))}
        if closed:
            scalars["diagnose/closed"] = Series(steps[-1:], np.ones(1), np.ones(1))
        return Run("r", Setup(**parts), scalars)

    return run


@pytest.fixture
def breaks() -> Callable[[str, Run], Finding | None]:
    """breaks(rule, run) -> its finding, in the form that all have, or None."""

    def look(rule: str, run: Run) -> Finding | None:
        finding = setup_rules.rules()[rule](run)
        if finding is not None:
            assert (finding.id, finding.kind, finding.severity) == (rule, "setup_rule", Severity.INFO)
            assert finding.summary.endswith(".") and 0 < finding.confidence <= 1
        return finding

    return look


@pytest.fixture
def mlp() -> Callable[..., nn.Sequential]:
    """mlp(depth, activation, width=…, between=…) -> as many linear layers, the activation behind all but the last."""

    def build(depth=2, activation=nn.ReLU, width=32, between=None) -> nn.Sequential:
        torch.manual_seed(0)
        parts: list[nn.Module] = []
        for _ in range(depth - 1):
            parts += [nn.Linear(width, width), *([between(width)] if between else []), activation()]
        return nn.Sequential(*parts, nn.Linear(width, width))

    return build
