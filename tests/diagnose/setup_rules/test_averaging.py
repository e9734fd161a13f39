"""The rule on averaged weights."""

import pytest

SET_UP = {"batch_size": 50, "dataset_size": 5000, "epochs": 30}


@pytest.mark.parametrize(
    ("decay", "told_of"), [(0.9999, "10,000 steps, 100 epochs, of 3,000"), (0.5, "2 steps"), (0.99, ""), (0.999, "")]
)
def test_a_window_beside_the_run_is_told_in_steps_and_epochs(told, breaks, decay, told_of):
    finding = breaks("averaging_window_beside_run", told(config={**SET_UP, "ema_decay": decay}))
    assert finding is None if not told_of else told_of in finding.summary


def test_nothing_is_told_where_length_or_decay_are_not_known(told, breaks):
    assert breaks("averaging_window_beside_run", told(config={"ema_decay": 0.9999})) is None
    assert breaks("averaging_window_beside_run", told(config=SET_UP)) is None
    assert breaks("averaging_window_beside_run", told(config={**SET_UP, "ema_decay": 1.0})) is None
