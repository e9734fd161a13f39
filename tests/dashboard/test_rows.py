"""What a row of the table of runs tells."""

import base64
import json
import time

import numpy as np
import pytest

from diagnose.dashboard.plan import in_words
from diagnose.dashboard.rows import row_of
from diagnose.dashboard.sparks import spark
from diagnose.dashboard.store import Store
from diagnose.logs.writing import EventFile
from diagnose.run import Series
from diagnose.signals import TRAIN_LOSS


def test_progress_and_time_left_are_told_where_settings_and_wall_times_tell_them(tmp_path):
    def written(name, logged, second_s=1.0, **config):
        begun = time.time() - logged * second_s
        with EventFile(tmp_path / name) as log:
            told = {"schema": 1, "config": config, "optimizer": {"type": "SGD", "groups": [{"lr": 0.1}]}}
            log.write_setup(json.dumps(told), begun)
            for step in range(logged):
                log.write_step(step, begun + step * second_s, [(TRAIN_LOSS, 2.0 / (1 + step))], {})

    written("half", 500, steps=1000)
    written("epochs", 500, epochs=10, dataset_size=12_800, batch_size=128)
    written("done", 500, steps=500)
    written("beyond", 500, steps=100)
    written("untold", 500, batch_size=128)
    written("clockless", 500, second_s=0.0, steps=1000)
    rows = {entry.name: row_of(entry) for entry in Store(tmp_path).entries(budget_s=30)}
    assert (rows["half"]["progress"], rows["half"]["left"]) == (pytest.approx(0.5, abs=0.01), "8 min left")
    assert rows["epochs"]["progress"] == pytest.approx(0.5, abs=0.01)
    assert (rows["done"]["activity"], rows["done"]["progress"]) == ("finished", 1.0)
    assert "left" not in rows["done"]
    assert [("progress" in rows[name], "left" in rows[name]) for name in ("beyond", "untold")] == [(False, False)] * 2
    assert rows["untold"]["progress_text"] == "499 steps"
    assert ("progress" in rows["clockless"], "left" in rows["clockless"]) == (True, False)


def test_a_span_of_time_is_said_as_a_person_would():
    spans = [0.2, 40, 100, 3599, 3 * 3600 + 1200, 86_400 * 2 + 4 * 3600]
    assert [in_words(span) for span in spans] == ["1 s", "40 s", "2 min", "1 h", "3 h 20 min", "2 d 4 h"]


def test_a_curve_in_a_cell_keeps_its_ends_and_its_highest_point():
    steps = np.arange(1000)
    values = np.where(steps == 999, 100.0, 1.0 + steps / 1000)
    told = np.frombuffer(base64.b64decode(spark(Series(steps, values, steps * 1.0))), np.uint8).reshape(-1, 2)
    assert len(told) <= 49
    assert (told[0, 0], told[-1, 0], told[:, 1].min(), told[:, 1].max()) == (0, 255, 0, 255)


def test_a_curve_that_is_no_number_anywhere_has_no_picture():
    steps = np.arange(5)
    assert spark(Series(steps, np.full(5, np.nan), steps * 1.0)) == ""


def test_a_row_holds_the_settings_under_our_names_but_no_novel(tmp_path):
    with EventFile(tmp_path / "one") as log:
        config = {
            "learning_rate": 0.1,
            "note": "x" * 5000,
            "big": 2**80,
            "nested": {"a": 1},
            **{f"p{n}": n for n in range(500)},
        }
        log.write_setup(json.dumps({"schema": 1, "config": config, "optimizer": {}}), time.time())
        for step in range(20):
            log.write_step(step, time.time(), [(TRAIN_LOSS, 1.0)], {})
    (entry,) = Store(tmp_path).entries(budget_s=30)
    row = row_of(entry)
    assert row["settings"]["lr"] == 0.1
    assert len(row["settings"]["note"]) == 60
    assert isinstance(row["settings"]["big"], float | str)
    assert len(json.dumps(row)) < 3000
