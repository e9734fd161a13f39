"""What is left of a run, as far as its settings and wall times tell."""

import json
import time

import pytest

from diagnose.dashboard.rows import row_of
from diagnose.dashboard.store import Store
from diagnose.logs.writing import EventFile
from diagnose.signals import TRAIN_LOSS


def _row(folder, logged, times=None, **config):
    """The row of a run that logged its loss at these steps, the last one just now."""
    times = range(-len(logged), 0) if times is None else times
    with EventFile(folder / "run") as log:
        told = {"schema": 1, "config": config, "optimizer": {"type": "SGD", "groups": [{"lr": 0.1}]}}
        log.write_setup(json.dumps(told), time.time() + times[0])
        for step, since in zip(logged, times, strict=True):
            log.write_step(step, time.time() + since, [(TRAIN_LOSS, 2.0 / (1 + step))], {})
    (entry,) = Store(folder).entries(budget_s=30)
    return row_of(entry)


def test_a_run_that_logs_once_an_epoch_is_not_done_before_its_last_epoch(tmp_path):
    row = _row(tmp_path, [1000, 2000, 3000], epochs=4, dataset_size=128_000, batch_size=128)
    assert (row["activity"], row["progress"]) == ("live", 0.75)


@pytest.mark.parametrize(
    "steps", [range(1, 1001), range(1000), range(0, 1000, 10), range(10, 1001, 10), range(49, 1000, 50)]
)
def test_a_run_is_done_with_its_last_value_however_it_counts(tmp_path, steps):
    row = _row(tmp_path, steps, steps=1000)
    assert (row["activity"], row["progress"]) == ("finished", 1.0)


@pytest.mark.parametrize("steps", [range(1, 1000), range(999), range(10, 991, 10), range(0, 751, 250)])
def test_a_run_is_not_done_while_a_value_is_to_come(tmp_path, steps):
    row = _row(tmp_path, steps, steps=1000)
    assert (row["activity"], row["progress"] < 1) == ("live", True)


def test_a_pause_of_two_days_is_no_part_of_the_pace(tmp_path):
    before, after = range(-200_000, -199_100), range(-100, 0)
    row = _row(tmp_path, range(1000), [*before, *after], steps=2000)
    assert row["left"] == "17 min left"


def test_what_a_validation_takes_is_part_of_the_pace(tmp_path):
    times = [step + 20 * (step // 50) for step in range(1000)]
    row = _row(tmp_path, range(1000), [time - times[-1] for time in times], steps=2000)
    assert row["left_s"] == pytest.approx(1400, rel=0.1)
