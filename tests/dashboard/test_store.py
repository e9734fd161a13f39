"""The live store: what it finds, reads again, and refuses."""

import time

import numpy as np
import pytest

from diagnose.dashboard import store as store_module
from diagnose.dashboard.activity import FINISHED_S, LIVE_S, activity
from diagnose.dashboard.store import Store
from diagnose.errors import NoRunError
from diagnose.logs.writing import EventFile
from diagnose.signals import TRAIN_LOSS


@pytest.fixture(autouse=True)
def _list_at_every_look(monkeypatch):
    monkeypatch.setattr(store_module, "LISTING_S", -1.0)


def _names(store):
    return {entry.name for entry in store.entries(budget_s=30)}


def test_runs_are_named_by_their_path_below_the_root(samples):
    assert {"ill", "nets/sound", "damaged"} <= _names(Store(samples))


def test_a_root_that_is_a_run_itself_is_listed(tmp_path, write_run):
    write_run(tmp_path, ".")
    assert _names(Store(tmp_path)) == {"."}


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "../ill",
        "nets/../ill",
        "/etc",
        "ill/",
        "./ill",
        "%2e%2e/ill",
        "..%2fill",
        "ill\0",
        "",
        "nets\\sound",
        "ILL/../ill",
    ],
)
def test_a_name_that_was_not_found_below_the_root_leads_nowhere(samples, name):
    assert Store(samples).entry(name) is None


def test_an_absolute_path_is_no_name(samples):
    assert Store(samples).entry(str(samples / "ill")) is None


def test_a_folder_outside_is_not_reached_through_a_link(samples, tmp_path):
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "linked").symlink_to(samples / "ill")
    assert _names(Store(tmp_path / "inside")) == set()


def test_an_event_file_that_links_outside_is_named_but_not_read(samples, tmp_path):
    run = tmp_path / "root" / "linked"
    run.mkdir(parents=True)
    secret = next((samples / "ill").glob("events*"))
    (run / secret.name).symlink_to(secret)
    entry = Store(tmp_path / "root").entry("linked")
    assert entry is not None
    assert entry.diagnosis is None
    assert "outside" in entry.problem


def test_a_run_that_cannot_be_read_is_listed_with_the_reason(samples):
    entry = Store(samples).entry("damaged")
    assert entry is not None
    assert "not TensorBoard event files" in entry.problem


def test_a_failing_examination_is_told_and_hides_no_other_run(samples, monkeypatch):
    examine = store_module.examine

    def failing(run):
        if run.path.endswith("ill"):
            raise ZeroDivisionError("no noise")
        return examine(run)

    monkeypatch.setattr(store_module, "examine", failing)
    entries = {entry.name: entry for entry in Store(samples).entries(budget_s=30)}
    assert "ZeroDivisionError: no noise" in entries["ill"].problem
    assert entries["nets/sound"].diagnosis is not None


def test_only_a_run_whose_files_changed_is_examined_again(tmp_path, write_run, monkeypatch):
    write_run(tmp_path, "still", steps=20)
    write_run(tmp_path, "growing", steps=20)
    examined = []
    examine = store_module.examine
    monkeypatch.setattr(store_module, "examine", lambda run: examined.append(run.path) or examine(run))
    store = Store(tmp_path)
    store.entries(budget_s=30)
    examined.clear()
    with EventFile(tmp_path / "growing") as log:
        log.write_step(99, time.time(), [(TRAIN_LOSS, 0.5)], {})
    growing = {entry.name: entry for entry in store.entries(budget_s=30)}["growing"]
    assert examined == [str(tmp_path / "growing")]
    assert growing.diagnosis is not None
    assert growing.diagnosis.run.steps == 99


def test_a_look_that_runs_out_of_time_shows_the_rest_as_unread_and_reads_it_at_the_next(tmp_path, write_run):
    write_run(tmp_path, "one", steps=20)
    store = Store(tmp_path)
    (unread,) = store.entries(budget_s=-1)
    assert (unread.diagnosis, unread.problem) == (None, "")
    (read,) = store.entries(budget_s=30)
    assert read.diagnosis is not None


def test_a_deleted_run_leaves_the_list(tmp_path, write_run):
    path = write_run(tmp_path, "one", steps=20)
    store = Store(tmp_path)
    assert _names(store) == {"one"}
    path.unlink()
    assert _names(store) == set()


def test_a_root_that_is_no_folder_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(NoRunError, match="No folder at"):
        Store(tmp_path / "nothing")


def test_a_run_is_live_then_stalled_then_finished():
    now = 1_000_000.0
    ages = [0, LIVE_S, LIVE_S + 1, FINISHED_S, FINISHED_S + 1]
    assert [activity(now - age, now) for age in ages] == ["live", "live", "stalled", "stalled", "finished"]


def test_a_run_that_writes_once_in_ten_minutes_is_not_stalled_after_two():
    assert activity(0.0, 120.0, pause_s=600.0) == "live"


def test_many_threads_may_ask_at_once(samples):
    from concurrent.futures import ThreadPoolExecutor

    store = Store(samples)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: store.entry("ill"), range(16)))
    assert len({id(entry.diagnosis) for entry in found if entry}) == 1
    assert np.all([entry.diagnosis is not None for entry in found if entry])
