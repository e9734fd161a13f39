"""What fuzzing found, each as small as it can be."""

from __future__ import annotations

from diagnose.prescriptions.doses import dose_of
from diagnose.run import Run, Setup


def test_twice_as_many_epochs_as_a_number_can_hold_are_not_advised():
    def longer(epochs):
        return dose_of("train_longer", Run("", Setup(config={"epochs": epochs})), [])

    assert (longer(10).before, longer(10).after) == (10, 20)
    assert longer(1e308) is None
