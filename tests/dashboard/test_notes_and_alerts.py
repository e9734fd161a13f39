"""What a person writes about a run, and what the open page tells of it by itself."""

import math
import shutil
import time

import pytest

from diagnose.dashboard import notes
from diagnose.logs.writing import EventFile

HOSTILE = "<img src=x onerror=window.hacked=1> **note**"


def _open(one, address, name):
    one.page.goto(f"{address}/run?name={name}")
    one.page.get_by_label("Your notes on this run").wait_for()
    return one.page


@pytest.mark.slow  # opens pages
def test_a_note_is_saved_when_it_is_left_and_comes_back_as_plain_text(visit, start, write_run, tmp_path):
    run = write_run(tmp_path, "sound", steps=60).parent
    before = sorted(path.name for path in run.iterdir())
    one, address = visit(), start(tmp_path)
    page = _open(one, address, "sound")
    field = page.get_by_label("Your notes on this run")
    field.fill(HOSTILE)
    page.locator("h1").click()
    page.locator("#note-state", has_text="Saved.").wait_for()
    page.reload()
    one.until(f"document.querySelector('#note')?.value === {HOSTILE!r}")
    assert not page.evaluate("window.hacked")
    assert sorted(path.name for path in run.iterdir()) == before  # nothing is written beside the log
    assert notes.read(str(run)) == HOSTILE


def test_of_two_pages_the_one_that_began_from_an_older_note_overwrites_nothing(tmp_path):
    run = str(tmp_path)
    empty = notes.version_of("")
    first = notes.save(run, "from one page", empty)
    assert notes.save(run, "", empty) == empty  # another page, where nobody has typed
    with pytest.raises(notes.OvertakenError) as overtaken:
        notes.save(run, "from another", empty)
    assert overtaken.value.kept == notes.read(run) == "from one page"
    assert notes.save(run, "from one page", empty) == first  # both wrote the same
    assert notes.save(run, " ", first) == empty
    assert notes.read(run) == ""


@pytest.mark.slow  # opens pages
def test_a_stale_page_shows_both_notes_and_a_person_chooses(visit, start, write_run, tmp_path):
    run = str(write_run(tmp_path, "sound", steps=60).parent)
    address = start(tmp_path)
    stale, other = (_open(visit(), address, "sound") for _ in range(2))
    fields = [page.get_by_label("Your notes on this run") for page in (stale, other)]
    fields[1].fill("from the other")
    other.get_by_role("button", name="Save").click()
    other.locator("#note-state", has_text="Saved.").wait_for()
    fields[0].click()
    stale.locator("h1").click()  # in and out, and nothing typed
    fields[0].fill("mine")
    stale.locator("h1").click()
    stale.locator("#note-other", has_text="from the other").wait_for()
    assert notes.read(run) == "from the other"
    stale.get_by_role("button", name="Keep mine").click()
    stale.locator("#note-state", has_text="Saved.").wait_for()
    assert notes.read(run) == "mine"
    assert not stale.locator("#note-other").is_visible()
    fields[1].fill("once more")
    other.locator("#note-other", has_text="mine").wait_for()  # told where typing pauses
    other.get_by_role("button", name="Take this one").click()
    assert (fields[1].input_value(), notes.read(run)) == ("mine", "mine")


@pytest.mark.slow  # opens pages
def test_what_could_not_be_saved_is_said_and_saved_later(server, visit):
    one = visit()
    page = _open(one, server.start(), "first")
    run, field, state = (
        str(server.root / "first"),
        page.get_by_label("Your notes on this run"),
        page.locator("#note-state"),
    )
    server.stop()
    field.fill("typed while nobody listened")
    page.locator("h1").click()
    state.filter(has_text="Not saved: the server does not answer").wait_for()
    server.start()
    state.filter(has_text="Saved.").wait_for()
    assert notes.read(run) == "typed while nobody listened"
    field.fill("typed, and the page loaded anew")
    page.reload()
    one.until("document.querySelector('#note')?.value === 'typed, and the page loaded anew'")
    shutil.rmtree(run)
    field.fill("typed, and no run")
    page.get_by_role("button", name="Save").click()
    state.filter(has_text="Not saved: the run is gone.").wait_for()


@pytest.mark.slow  # opens pages
def test_a_cache_that_cannot_be_written_is_said_and_the_note_stays_on_the_page(
    visit, start, write_run, tmp_path, monkeypatch
):
    write_run(tmp_path / "runs", "sound", steps=60)
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("DIAGNOSE_CACHE", str(tmp_path / "file"))
    page = _open(visit(), start(tmp_path / "runs"), "sound")
    page.get_by_label("Your notes on this run").fill("mine")
    page.get_by_role("button", name="Save").click()
    page.locator("#note-state", has_text="cannot be").wait_for()
    assert page.get_by_label("Your notes on this run").input_value() == "mine"


@pytest.mark.slow  # opens pages
def test_a_new_critical_finding_is_told_and_an_old_one_is_not(visit, start, tmp_path):
    with EventFile(tmp_path / "live") as log:
        for step in range(300):
            log.write_step(step, time.time(), [("loss/train", 2 * math.exp(-step / 200) + 0.1)], {})
        log.flush()
        one = visit(stranger=True)
        one.page.add_init_script(  # as on a telephone
            "window.Notification = class { static permission = 'granted'; constructor() { throw new TypeError(); } };"
        )
        page = _open(one, start(tmp_path), "live")
        page.locator(".key-numbers", has_text="299").wait_for()
        assert not page.locator(".toast").count()
        for step in range(300, 330):
            log.write_step(step, time.time(), [("loss/train", math.nan)], {})
        log.flush()
        toast = page.locator("[role=alert] .toast", has_text="NaN loss")
        toast.wait_for()
        log.write_step(330, time.time(), [("loss/train", math.nan)], {})
        log.flush()
        page.locator(".key-numbers", has_text="330").wait_for()
        assert toast.count() == 1
        toast.get_by_role("button", name="Dismiss").click()
        page.reload()
        page.locator(".finding", has_text="NaN loss").wait_for()
        page.wait_for_timeout(1000)
        assert not page.locator(".toast").count()


@pytest.mark.slow  # opens pages
def test_the_browser_is_asked_for_notifications_by_a_button_alone(visit, start, tmp_path):
    with EventFile(tmp_path / "live") as log:
        for step in range(60):
            log.write_step(step, time.time(), [("loss/train", 2 - step / 60)], {})
        log.flush()
        one = visit(stranger=True)
        one.page.add_init_script(
            "window.Notification = Object.assign(class { constructor(title) { window.told = title; } },"
            " {permission: 'default', requestPermission: async () => { window.asked = true;"
            " window.Notification.permission = 'granted'; return 'granted'; }});"
        )
        page = _open(one, start(tmp_path), "live")
        button = page.get_by_role("button", name="Notify me")
        button.wait_for()
        assert not page.evaluate("window.asked")
        button.click()
        page.get_by_text("This browser will tell you.").wait_for()
        for step in range(60, 90):
            log.write_step(step, time.time(), [("loss/train", math.nan)], {})
        log.flush()
        one.until("(window.told || '').includes('NaN loss')")
