"""The live store: what it finds, reads again, and refuses."""

import gc
import os
import sqlite3
import time
import weakref
from contextlib import closing

import numpy as np
import pytest

from diagnose.dashboard import examined as examined_module
from diagnose.dashboard import kept, places
from diagnose.dashboard import store as store_module
from diagnose.dashboard.activity import FINISHED_S, LIVE_S, activity
from diagnose.dashboard.store import Store
from diagnose.errors import NoRunError
from diagnose.logs.cache import cache_folder
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


@pytest.mark.parametrize("name", [None, [], {"a": 1}, 7])
def test_a_name_that_is_no_text_leads_nowhere(samples, name):
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
    examine = examined_module.examine

    def failing(run):
        if run.path.endswith("ill"):
            raise ZeroDivisionError("no noise")
        return examine(run)

    monkeypatch.setattr(examined_module, "examine", failing)
    entries = {entry.name: entry for entry in Store(samples).entries(budget_s=30)}
    assert "ZeroDivisionError: no noise" in entries["ill"].problem
    assert entries["nets/sound"].summary is not None


def test_only_a_run_whose_files_changed_is_examined_again(tmp_path, write_run, monkeypatch):
    write_run(tmp_path, "still", steps=20)
    write_run(tmp_path, "growing", steps=20)
    examined = []
    examine = examined_module.examine
    monkeypatch.setattr(examined_module, "examine", lambda run: examined.append(run.path) or examine(run))
    store = Store(tmp_path)
    store.entries(budget_s=30)
    examined.clear()
    with EventFile(tmp_path / "growing") as log:
        log.write_step(99, time.time(), [(TRAIN_LOSS, 0.5)], {})
    growing = {entry.name: entry for entry in store.entries(budget_s=30)}["growing"]
    assert examined == [str(tmp_path / "growing")]
    assert growing.summary is not None
    assert growing.summary["steps"] == 99


def test_a_look_that_runs_out_of_time_shows_the_rest_as_unread_and_reads_it_at_the_next(tmp_path, write_run):
    write_run(tmp_path, "one", steps=20)
    store = Store(tmp_path)
    (unread,) = store.entries(budget_s=-1)
    assert (unread.summary, unread.problem) == (None, "")
    assert store.unread
    (read,) = store.entries(budget_s=30)
    assert read.summary is not None
    assert not store.unread


def test_a_deleted_run_leaves_the_list(tmp_path, write_run):
    path = write_run(tmp_path, "one", steps=20)
    store = Store(tmp_path)
    assert _names(store) == {"one"}
    path.unlink()
    assert _names(store) == set()


def test_a_root_that_is_no_folder_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(NoRunError, match="No folder at"):
        Store(tmp_path / "nothing")


def test_of_a_log_that_marks_no_end_nothing_is_claimed_but_that_it_is_silent():
    now = 1_000_000.0
    ages = [0, LIVE_S, LIVE_S + 1, FINISHED_S, FINISHED_S + 1]
    assert [activity(now - age, now) for age in ages] == ["live", "live", "stalled", "stalled", "silent"]


def test_a_log_of_ours_that_was_never_closed_stays_stalled():
    assert activity(0.0, 1_000_000.0, marks_its_end=True) == "stalled"


def test_a_run_that_has_ended_is_what_its_log_says_however_fresh_its_last_write():
    assert activity(100.0, 101.0, ended="finished", marks_its_end=True) == "finished"
    assert activity(100.0, 101.0, ended="crashed", marks_its_end=True) == "crashed"


def test_a_run_that_writes_once_in_ten_minutes_is_not_stalled_after_two():
    assert activity(0.0, 120.0, pause_s=600.0) == "live"


def test_a_write_that_is_dated_years_ahead_does_not_make_a_run_live_for_so_long():
    now, years = 1_000_000.0, 1e8
    assert [activity(now + ahead, now) for ahead in (60, years)] == ["live", "silent"]
    assert activity(now + years, now, marks_its_end=True) == "stalled"


def test_many_threads_may_ask_at_once(samples):
    from concurrent.futures import ThreadPoolExecutor

    store = Store(samples)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: store.entry("ill"), range(16)))
    assert len({id(entry.diagnosis) for entry in found if entry}) == 1
    assert np.all([entry.diagnosis is not None for entry in found if entry])


def _grow(run, step, loss=0.5):
    with EventFile(run) as log:
        log.write_step(step, time.time(), [(TRAIN_LOSS, loss)], {})


def test_a_page_is_told_what_came_what_changed_and_what_is_gone_and_nothing_else(tmp_path, write_run):
    leaving = write_run(tmp_path, "leaving", steps=20)
    write_run(tmp_path, "still", steps=20)
    store = Store(tmp_path)
    first = store.changes(budget_s=30)
    assert first.whole
    assert {entry.name for entry in first.changed} == {"leaving", "still"}
    assert not store.changes(first.revision, budget_s=30).any
    leaving.unlink()
    write_run(tmp_path, "new", steps=20)
    second = store.changes(first.revision, budget_s=30)
    assert ([entry.name for entry in second.changed], second.gone, second.whole) == (["new"], ["leaving"], False)
    _grow(tmp_path / "still", 99)
    third = store.changes(second.revision, budget_s=30)
    assert [entry.name for entry in third.changed] == ["still"]


def test_a_page_that_outlived_its_server_is_told_everything_anew(tmp_path, write_run):
    write_run(tmp_path, "one", steps=20)
    old = Store(tmp_path).changes(budget_s=30).revision
    told = Store(tmp_path).changes(old, budget_s=30)
    assert told.whole
    assert [entry.name for entry in told.changed] == ["one"]


def test_a_second_start_knows_the_rows_without_reading_a_run(tmp_path, write_run, monkeypatch):
    write_run(tmp_path, "one", "diverging")
    (before,) = Store(tmp_path).entries(budget_s=30)
    monkeypatch.setattr(examined_module, "examine", lambda run: pytest.fail("read again"))
    (recalled,) = Store(tmp_path).entries(budget_s=-1)
    assert recalled.summary == before.summary
    assert recalled.summary["finding"] == "Divergence"


def test_a_remembered_row_does_not_outlive_a_change_of_the_log_or_of_the_settings_beside_it(tmp_path, write_run):
    write_run(tmp_path, "grown", steps=20)
    write_run(tmp_path, "told", steps=20)
    Store(tmp_path).entries(budget_s=30)
    _grow(tmp_path / "grown", 99)
    (tmp_path / "told" / "config.yaml").write_text("epochs: 3\n")
    assert {entry.name for entry in Store(tmp_path).entries(budget_s=-1) if entry.summary} == set()


def test_rows_of_another_version_are_not_believed(tmp_path, write_run, monkeypatch):
    write_run(tmp_path, "one", steps=20)
    Store(tmp_path).entries(budget_s=30)
    monkeypatch.setattr(kept.diagnose, "__version__", "0.0.0")
    (entry,) = Store(tmp_path).entries(budget_s=-1)
    assert entry.summary is None


def test_rows_are_remembered_of_a_root_whose_name_is_no_utf8(tmp_path, write_run):
    root = tmp_path / os.fsdecode(b"runs\xff")
    write_run(root, "one", steps=20)
    Store(root).entries(budget_s=30)
    (recalled,) = Store(root).entries(budget_s=-1)
    assert recalled.summary is not None


@pytest.mark.parametrize("damage", [b"", b"no database at all" * 100])
def test_a_damaged_cache_is_ignored_and_begun_anew(tmp_path, write_run, damage):
    write_run(tmp_path, "one", steps=20)
    Store(tmp_path).entries(budget_s=30)
    file = cache_folder() / kept.NAME
    file.write_bytes(damage)
    (unread,) = Store(tmp_path).entries(budget_s=-1)
    assert unread.summary is None
    Store(tmp_path).entries(budget_s=30)
    (recalled,) = Store(tmp_path).entries(budget_s=-1)
    assert recalled.summary is not None


def test_a_single_row_that_is_damaged_is_read_again_beside_the_sound_ones(tmp_path, write_run):
    write_run(tmp_path, "one", steps=20)
    write_run(tmp_path, "two", steps=20)
    Store(tmp_path).entries(budget_s=30)
    with closing(sqlite3.connect(cache_folder() / kept.NAME)) as table, table:
        table.execute("UPDATE rows SET summary = x'0102' WHERE name = 'one'")
    assert {entry.name for entry in Store(tmp_path).entries(budget_s=-1) if entry.summary} == {"two"}


def test_without_a_cache_the_store_works_all_the_same(tmp_path, write_run, monkeypatch):
    monkeypatch.setenv("DIAGNOSE_CACHE", "off")
    write_run(tmp_path, "one", steps=20)
    (entry,) = Store(tmp_path).entries(budget_s=30)
    assert entry.summary is not None


def test_curves_are_kept_only_of_the_runs_used_last(tmp_path, write_run, monkeypatch):
    monkeypatch.setattr(examined_module, "MOST_RUNS", 2)
    for number in range(5):
        write_run(tmp_path, str(number), steps=20)
    store = Store(tmp_path)
    runs = [weakref.ref(store.entry(str(number)).diagnosis) for number in range(5)]
    gc.collect()
    assert [run() is not None for run in runs] == [False, False, False, True, True]
    assert all(entry.summary for entry in store.entries(budget_s=30))
    assert store.entry("0").diagnosis is not None  # opened again, it is read again


def test_the_largest_run_is_kept_while_it_is_used_whatever_it_takes(tmp_path, write_run, monkeypatch):
    monkeypatch.setattr(examined_module, "MOST_BYTES", 1)
    write_run(tmp_path, "large", steps=20)
    store = Store(tmp_path)
    assert store.entry("large").diagnosis is store.entry("large").diagnosis


def test_a_folder_is_listed_again_only_when_something_came_or_went(tmp_path, write_run, monkeypatch):
    for name in ("one", "group/two"):
        write_run(tmp_path, name, steps=20)
    for folder in (tmp_path / "one", tmp_path / "group" / "two", tmp_path / "group", tmp_path):
        os.utime(folder, (1e9, 1e9))  # what has just changed might change again unseen
    below = places.Places(tmp_path)
    listed = []
    contents_of = places.contents_of
    monkeypatch.setattr(places, "contents_of", lambda folder: listed.append(folder.name) or contents_of(folder))
    assert set(below.now()) == {"one", "group/two"}
    assert len(listed) == 4
    listed.clear()
    size = below.now()["one"].files[0][1]
    with next((tmp_path / "one").iterdir()).open("ab") as log:
        log.write(b"more")
    assert below.now()["one"].files[0][1] == size + 4
    assert listed == []
    write_run(tmp_path, "group/three", steps=20)
    assert set(below.now()) == {"one", "group/two", "group/three"}
    assert listed == ["group", "three"]


def test_folders_of_splits_become_one_run_when_the_second_one_gets_its_log(tmp_path, write_run):
    write_run(tmp_path, "keras/train", steps=20)
    (tmp_path / "keras" / "validation").mkdir()
    for folder in (*tmp_path.rglob("*"), tmp_path):
        if folder.is_dir():
            os.utime(folder, (1e9, 1e9))
    below = places.Places(tmp_path)
    assert [len(place.files) for place in below.now().values()] == [1]
    write_run(tmp_path, "keras/validation", steps=20)
    (run,) = below.now().values()
    assert (run.name, len(run.files)) == ("keras", 2)


def test_a_folder_is_listed_again_when_its_permissions_change(tmp_path, write_run, monkeypatch):
    write_run(tmp_path, "one", steps=20)
    for folder in (tmp_path / "one", tmp_path):
        os.utime(folder, (1e9, 1e9))
    below = places.Places(tmp_path)
    listed = []
    contents_of = places.contents_of
    monkeypatch.setattr(places, "contents_of", lambda folder: listed.append(folder.name) or contents_of(folder))
    below.now()
    below.now()
    assert sorted(listed) == sorted(["one", tmp_path.name])
    (tmp_path / "one").chmod(0o700)
    below.now()
    assert listed[2:] == ["one"]
