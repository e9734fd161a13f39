"""The live store while one run takes long, goes and comes back, or is read anew."""

import threading
import time
from contextlib import contextmanager

import pytest

from diagnose.dashboard import examined as examined_module
from diagnose.dashboard import store as store_module
from diagnose.dashboard.store import Store
from diagnose.logs.writing import EventFile
from diagnose.signals import TRAIN_LOSS


@pytest.fixture(autouse=True)
def _list_at_every_look(monkeypatch):
    monkeypatch.setattr(store_module, "LISTING_S", -1.0)
    monkeypatch.setattr(store_module, "FIRST_LOOK_S", 0.05)


def _grow(run, step):
    with EventFile(run) as log:
        log.write_step(step, time.time(), [(TRAIN_LOSS, 0.5)], {})


@pytest.fixture
def busy(monkeypatch):
    """busy(store, name): while it lasts, another thread is examining that run."""

    @contextmanager
    def examining(store, name):
        began, done = threading.Event(), threading.Event()
        examine = examined_module.examine

        def slow(run):
            if run.path.endswith(name) and threading.current_thread() is other:
                began.set()
                done.wait(timeout=30)
            return examine(run)

        monkeypatch.setattr(examined_module, "examine", slow)
        other = threading.Thread(target=lambda: store.entry(name))
        other.start()
        assert began.wait(timeout=30)
        try:
            yield
        finally:
            done.set()
            other.join()

    return examining


def test_a_run_that_is_being_examined_is_shown_as_it_was_known_and_holds_up_nobody(tmp_path, write_run, busy):
    write_run(tmp_path, "large", steps=20)
    store = Store(tmp_path)
    before = store.entry("large")
    _grow(tmp_path / "large", 99)
    with busy(store, "large"):
        during = store.entry("large")
        assert during.diagnosis is before.diagnosis
        assert {entry.name for entry in store.entries(budget_s=30)} == {"large"}
    assert store.entry("large").diagnosis.run.steps == 99


def test_a_run_that_is_examined_for_the_first_time_is_still_being_read_to_others(tmp_path, write_run, busy):
    write_run(tmp_path, "large", steps=20)
    store = Store(tmp_path)
    with busy(store, "large"):
        during = store.entry("large")
        assert (during.diagnosis, during.problem) == (None, "")
    assert store.entry("large").diagnosis is not None


def test_a_run_that_goes_and_comes_back_is_examined_by_one_thread_at_a_time(tmp_path, write_run, busy):
    path = write_run(tmp_path, "one", steps=20)
    store = Store(tmp_path)
    with busy(store, "one"):
        path.rename(tmp_path / "away")
        assert store.entry("one") is None
        (tmp_path / "away").rename(path)
        assert store.entry("one").diagnosis is None


def test_each_examination_has_a_version_of_its_own(tmp_path, write_run):
    write_run(tmp_path, "one", steps=20)
    store = Store(tmp_path)
    versions = [store.entry("one").version, store.entry("one").version]
    _grow(tmp_path / "one", 99)
    versions.append(store.entry("one").version)
    (tmp_path / "one" / "hparams.yaml").write_text("epochs: 3\n")
    versions += [store.entry("one").version, Store(tmp_path).entry("one").version]
    assert len(versions) - len(set(versions)) == 1
    assert versions[0] == versions[1]


def test_what_thousands_of_layers_take_counts(tmp_path, write_layers, monkeypatch):
    monkeypatch.setattr(examined_module, "MOST_BYTES", 500_000)  # the curves of all three take a third of it
    for name in "abc":
        write_layers(tmp_path / name)
    store = Store(tmp_path)
    for name in "abc":
        store.entry(name)
    assert [store._used.known(name) is not None for name in "abc"] == [False, False, True]
