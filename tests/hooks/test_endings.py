"""However a run ends, or its disk, training goes its way and the log reads."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch

import diagnose
from diagnose.endings import FINISHED, UNTOLD, Ending
from diagnose.hooks.ending import Witness
from diagnose.logs import layout
from diagnose.logs.writing import EventFile


def test_a_log_says_whether_it_was_closed_in_order(training, tmp_path):
    monitor = diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path)
    training.run(120)
    while not next(iter(tmp_path.iterdir())).stat().st_size > 20_000:
        training.run(1)
    assert not diagnose.load(tmp_path).closed
    monitor.close()
    assert diagnose.load(tmp_path).closed


SCRIPT = """
    import torch, diagnose
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    criterion = torch.nn.MSELoss()
    diagnose.attach(model, optimizer, criterion=criterion, run_dir={run_dir!r})
    for _ in range(9):
        optimizer.zero_grad()
        criterion(model(torch.randn(4, 3)), torch.zeros(4, 1)).backward()
        optimizer.step()
    {ending}
"""


@pytest.mark.parametrize(
    ("ending", "told"),
    [
        pytest.param("", FINISHED, marks=pytest.mark.slow),
        ("raise RuntimeError('boom\\nand a dump')", Ending("crashed", "RuntimeError", "boom")),
        pytest.param("raise KeyboardInterrupt", Ending("stopped", "KeyboardInterrupt"), marks=pytest.mark.slow),
    ],
)
def test_at_interpreter_exit_the_log_is_whole_without_close_and_says_what_ended_it(tmp_path, ending, told):
    script = textwrap.dedent(SCRIPT).format(run_dir=str(tmp_path), ending=ending)
    subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, timeout=60)
    run = diagnose.load(tmp_path)
    assert len(run.scalars["loss/train"]) == 9
    assert run.ending == told
    assert [note for note in run.notes if told.by in note] == ([] if told is FINISHED else list(run.notes))


@pytest.fixture
def ended(training, tmp_path):
    """ended(script) -> how training ended by its log; the script closes `monitor`, a function that opens one."""

    def how(script):
        def monitor():
            return diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path)

        with contextlib.suppress(ZeroDivisionError, SystemExit):
            script(monitor)
        return diagnose.load(tmp_path).ending

    return how


def test_an_error_that_leaves_the_with_block_or_passes_a_closing_finally_ended_the_training(ended):
    def with_block(monitor):
        with monitor():
            raise ZeroDivisionError("by nothing")

    def closing_finally(monitor):
        opened = monitor()
        try:
            raise ZeroDivisionError
        finally:
            opened.close()

    def leaving(code):
        def script(monitor):
            with monitor():
                raise SystemExit(code)

        return script

    assert ended(with_block) == Ending("crashed", "ZeroDivisionError", "by nothing")
    assert ended(closing_finally) == Ending("crashed", "ZeroDivisionError")
    assert ended(leaving(3)) == Ending("stopped", "SystemExit", "3")
    assert ended(leaving(0)) == FINISHED


def test_an_error_that_was_there_before_or_only_ends_a_loop_ended_nothing(ended):
    def retry(monitor):
        try:
            _ = 1 / 0
        except ZeroDivisionError:
            with monitor():
                pass
            monitor().close()

    def exhausted(monitor):
        opened = monitor()
        try:
            next(iter(()))
        except StopIteration:
            opened.close()

    assert ended(retry) == FINISHED
    assert ended(exhausted) == FINISHED


def test_an_error_that_lies_where_an_earlier_one_lay_in_memory_ended_the_training():
    def fail():
        raise ZeroDivisionError

    try:
        fail()
    except ZeroDivisionError:
        witness = Witness()
        assert witness.ending() == FINISHED
    try:
        fail()
    except ZeroDivisionError:
        assert witness.ending() == Ending("crashed", "ZeroDivisionError")


def test_a_device_that_gives_nothing_back_keeps_no_log_from_being_closed(tmp_path, caplog):
    model = torch.nn.Linear(3, 1, device="meta")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = diagnose.attach(model, optimizer, run_dir=tmp_path)
    optimizer.step()
    monitor.log(loss=torch.zeros((), device="meta"))
    monitor.close()
    assert diagnose.load(tmp_path).closed
    assert "last steps are missing" in caplog.text


def test_a_run_that_crashed_and_was_taken_up_again_ended_as_its_last_part_did(training, tmp_path):
    def train(steps, error=None):
        with diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path):
            training.run(steps)
            if error:
                raise error

    with pytest.raises(ZeroDivisionError):
        train(4, ZeroDivisionError())
    assert not diagnose.load(tmp_path).finished
    train(9)
    assert diagnose.load(tmp_path).ending == FINISHED


def test_a_log_from_before_endings_were_told_is_finished_and_one_that_tells_it_strangely_was_stopped(tmp_path):
    logs = [
        ("old", 1.0, None, FINISHED),
        ("strange", 2.0, '{"how": "eaten", "by": 3}', UNTOLD),
        ("broken", 2.0, "[", UNTOLD),
    ]
    for name, mark, text, told in logs:
        with EventFile(tmp_path / name) as log:
            log.write_step(1, 1.0, [("loss/train", 1.0)], {})
            if text is not None:
                log.write_text(layout.ENDING_TAG, text, 1.0)
            log.write_step(1, 2.0, [(layout.CLOSED_TAG, mark)], {})
        assert diagnose.load(tmp_path / name).ending == told


def test_a_disk_that_fails_costs_the_log_and_not_the_training(training, tmp_path, caplog, monkeypatch):
    from diagnose.logs.writing import EventFile

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(EventFile, "write_step", full)
    with diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path):
        assert len(training.run(200)) == 200
    assert caplog.text.count("steps are missing from the log") == 1


def test_a_run_dir_that_is_deleted_costs_nothing_but_the_log(training, tmp_path):
    run_dir = tmp_path / "run"
    with diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=run_dir):
        shutil.rmtree(run_dir)
        assert len(training.run(120)) == 120


@pytest.mark.parametrize("ending", ["SIGTERM", pytest.param("SIGKILL", marks=pytest.mark.slow)])
def test_a_process_that_is_killed_leaves_a_log_that_reads_up_to_its_last_flush_or_its_end(tmp_path, ending):
    script = textwrap.dedent(SCRIPT).format(run_dir=str(tmp_path), ending="").replace("range(9)", "iter(int, 1)")
    process = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and sum(p.stat().st_size for p in tmp_path.iterdir()) < 20_000:
        time.sleep(0.05)
    process.send_signal(getattr(signal, ending))
    assert process.wait(20) == -getattr(signal, ending)
    run = diagnose.load(tmp_path)
    assert len(run.scalars["loss/train"]) >= 40
    assert run.ending == (Ending("stopped", "SIGTERM") if ending == "SIGTERM" else None)
    assert diagnose.examine(run) is not None


def test_a_programs_own_sigterm_handler_is_left_alone_and_the_default_comes_back(training, tmp_path):
    kept = signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        first = diagnose.attach(training.model, training.optimizer, run_dir=tmp_path / "a")
        second = diagnose.attach(training.model, training.optimizer, run_dir=tmp_path / "b")
        first.close()
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        second.close()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with diagnose.attach(training.model, training.optimizer, run_dir=tmp_path / "c"):
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, kept)


def test_data_loaders_with_forked_workers_leave_the_log_alone(training, tmp_path):
    data = torch.utils.data.TensorDataset(training.x, training.y)
    loader = torch.utils.data.DataLoader(data, batch_size=32, num_workers=2, multiprocessing_context="fork")
    with diagnose.attach(training.model, training.optimizer, criterion=training.criterion, run_dir=tmp_path):
        for _ in range(4):
            for x, y in loader:
                training.optimizer.zero_grad()
                training.criterion(training.model(x), y).backward()
                training.optimizer.step()
    run = diagnose.load(tmp_path)
    assert run.scalars["loss/train"].steps.tolist() == list(range(1, 13))
    assert run.closed
    assert run.notes == ()
