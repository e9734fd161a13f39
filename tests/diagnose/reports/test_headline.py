"""The sentence on top: true for the whole run, whatever was logged."""

from __future__ import annotations

import numpy as np
import pytest

from diagnose.diagnosis import Diagnosis
from diagnose.reports.headline import headline
from diagnose.run import Run, Series


def logged(values, steps):
    return Series(np.asarray(steps), np.asarray(values, float), np.zeros(len(steps)))


SHORT = logged([32.0, 5.0], [1, 99])
LONG = logged([30.0, 0.3], [1, 57_390])


@pytest.mark.parametrize(
    ("scalars", "said"),
    [
        ({"loss/train": LONG, "loss/validation": LONG}, "The training loss fell from 30 to 0.3 over 57,390 steps."),
        ({"loss/train": SHORT, "loss/validation": LONG}, "The validation loss fell from 30 to 0.3 over 57,390 steps."),
        ({"loss/train": SHORT, "lr/group0": LONG}, "The training loss fell from 32 to 5 up to step 99 of 57,390."),
        ({"loss/train": logged([1.0, 2.0], [1, 9])}, "The training loss went from 1 to 2 over 9 steps."),
        ({"loss/train": logged([np.nan], [1])}, "No symptom was found."),
    ],
    ids=["both", "training loss ends early", "no loss to the end", "rising", "no finite loss"],
)
def test_a_healthy_run_is_told_by_a_loss_that_speaks_for_all_of_it(scalars, said):
    assert headline(Diagnosis(Run("r", scalars=scalars))) == f"{said} Nothing has to change."
