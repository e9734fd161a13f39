"""A doctor for PyTorch training runs.

`diagnose.attach(model, optimizer)` streams what an expert would look at to a TensorBoard event log;
`diagnose.examine(path)` reads that log, or any other, and says what is wrong and what to change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from diagnose.comparing import Comparison, compare
from diagnose.diagnosis import Diagnosis
from diagnose.errors import DiagnoseError, InvalidArgumentError, NoRunError, TrainingHalted
from diagnose.examination import examine
from diagnose.findings import Finding, Severity
from diagnose.logs.discovery import find_runs
from diagnose.logs.loading import load
from diagnose.prescriptions.consequences import what_if
from diagnose.prescriptions.treatment import Treatment, treat
from diagnose.run import Run

__version__ = "0.1.0"

__all__ = [
    "Cadence",
    "Comparison",
    "DiagnoseError",
    "Diagnosis",
    "Finding",
    "InvalidArgumentError",
    "Monitor",
    "NoRunError",
    "Run",
    "Severity",
    "TrainingHalted",
    "Treatment",
    "attach",
    "compare",
    "examine",
    "find_runs",
    "load",
    "loss_landscape",
    "lr_range_test",
    "temperature_scaling",
    "treat",
    "what_if",
]

if TYPE_CHECKING:
    from diagnose.hooks.cadence import Cadence
    from diagnose.hooks.demo import train_demo_runs as train_demo_runs
    from diagnose.hooks.experiments.calibration import temperature_scaling
    from diagnose.hooks.experiments.landscape import loss_landscape
    from diagnose.hooks.experiments.range_test import lr_range_test
    from diagnose.hooks.monitor import Monitor, attach
else:
    # The torch side is opened when first asked for, so that reading and reporting work fast, and
    # work where torch is broken or absent.
    _TORCH_SIDE = {
        "attach": "diagnose.hooks.monitor",
        "Monitor": "diagnose.hooks.monitor",
        "Cadence": "diagnose.hooks.cadence",
        "temperature_scaling": "diagnose.hooks.experiments.calibration",
        "loss_landscape": "diagnose.hooks.experiments.landscape",
        "lr_range_test": "diagnose.hooks.experiments.range_test",
        "train_demo_runs": "diagnose.hooks.demo",  # for the command `diagnose demo`
    }

    def __getattr__(name: str) -> object:
        if name not in _TORCH_SIDE:
            raise AttributeError(f"module 'diagnose' has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(_TORCH_SIDE[name]), name)

    def __dir__() -> list[str]:
        return __all__
