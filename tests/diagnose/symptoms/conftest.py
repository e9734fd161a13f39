"""Curves for near misses that no small training gives on demand."""

from __future__ import annotations

import numpy as np
import pytest

from diagnose.run import Run, Series


def series(values) -> Series:
    values = np.asarray(values, float)
    return Series(np.arange(1, len(values) + 1), values, np.zeros(len(values)))


@pytest.fixture
def run_with():
    """run_with(**{"loss/train": values, …}) -> Run"""
    return lambda **signals: Run("a run", scalars={k: series(v) for k, v in signals.items()})


@pytest.fixture
def rng():
    return np.random.default_rng(0)
