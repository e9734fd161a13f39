"""The command: what it prints, where it writes, how it exits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from diagnose.cli import main
from diagnose.logs.writing import EventFile


@pytest.mark.parametrize(("run", "code"), [("healthy", 0), ("diverging", 1), ("vanishing", 1), ("overfitting", 0)])
def test_the_exit_code_says_whether_the_run_is_critical(demo_runs, run, code, capsys):
    assert main(["report", str(demo_runs[run])]) == code
    assert capsys.readouterr().out


@pytest.mark.parametrize(("fail_on", "code"), [("info", 1), ("warning", 1), ("critical", 0), ("never", 0)])
def test_fail_on_moves_the_bar(demo_runs, fail_on, code, capsys):
    assert main(["report", str(demo_runs["overfitting"]), "--fail-on", fail_on]) == code


@pytest.mark.parametrize(("style", "start"), [("html", "<!doctype html>"), ("md", "#"), ("json", "{"), ("text", "")])
def test_a_report_is_written_to_a_file(demo_runs, style, start, tmp_path, capsys):
    target = tmp_path / "new" / "report"
    main(["report", str(demo_runs["diverging"]), "--format", style, "-o", str(target)])
    assert target.read_text().lower().startswith(start)
    assert "divergence" in target.read_text().lower()
    assert capsys.readouterr().out == ""


def test_json_goes_to_the_terminal_as_it_is(demo_runs, capsys):
    main(["report", str(demo_runs["diverging"]), "--format", "json"])
    assert json.loads(capsys.readouterr().out)["findings"][0]["id"] == "divergence"


def no_loss(path):
    with EventFile(path) as file:
        file.write_step(1, 0.0, [("reward", 1.0)], {})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: None, "Nothing at"),
        (lambda p: p.mkdir(), "No event file in"),
        (lambda p: p.write_bytes(os.urandom(500)), "holds no event"),
        (no_loss, "No loss in"),
    ],
    ids=["absent", "empty", "no event file", "no loss"],
)
def test_bad_input_is_one_clear_line_and_exit_code_two(tmp_path, make, said, capsys):
    make(tmp_path / "x")
    assert main(["report", str(tmp_path / "x")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1 and said in captured.err and str(tmp_path / "x") in captured.err


def test_a_report_that_cannot_be_written_is_told(demo_runs, capsys):
    assert main(["report", str(demo_runs["healthy"]), "-o", "/proc/report"]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["divergence", "adam_with_l2"])
def test_explain_shows_a_manual_page(name, capsys):
    assert main(["explain", name]) == 0
    assert "K" in capsys.readouterr().out


def test_explain_names_what_it_knows(capsys):
    assert main(["explain", "divergance"]) == 2
    assert "divergence" in capsys.readouterr().err


def test_usage_errors_exit_with_two(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["report"])
    assert exit_.value.code == 2


@pytest.mark.parametrize("style", ["text", "md", "html", "json"])
def test_nobody_reading_on_changes_nothing_about_the_runs_health(demo_runs, style):
    command = f"{sys.executable} -m diagnose.cli report {demo_runs['diverging']} --format {style}"
    answer = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | head -c 0; exit ${{PIPESTATUS[0]}}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in answer.stderr and answer.returncode == 1


def test_a_full_disk_and_an_impossible_path_exit_with_two(demo_runs):
    run = [sys.executable, "-m", "diagnose.cli", "report"]
    with Path("/dev/full").open("w") as full:
        answers = [
            subprocess.run(
                [*run, demo_runs["diverging"], "--format", "md"], stdout=full, stderr=subprocess.PIPE, check=False
            ),
            subprocess.run([*run, "a" * 5000], capture_output=True, check=False),
        ]
    assert [answer.returncode for answer in answers] == [2, 2]
    assert not any(b"Traceback" in answer.stderr for answer in answers)


def test_a_terminal_without_our_characters_shows_others(demo_runs):
    answer = subprocess.run(
        [sys.executable, "-m", "diagnose.cli", "report", demo_runs["diverging"], "--format", "md"],
        capture_output=True, check=False, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert answer.returncode == 1 and b"Traceback" not in answer.stderr


def test_an_interrupted_check_is_not_taken_for_a_healthy_one(monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("diagnose.cli.examine", interrupt)
    assert main(["report", "anything"]) == 130


@pytest.mark.slow  # trains the demo once more
def test_the_demo_trains_reports_serves_and_ends_cleanly_on_ctrl_c(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "diagnose.cli", "demo", "runs", "--port", "0"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        printed = ""
        for line in process.stdout:
            printed += line
            if "http://127.0.0.1:" in line:
                break
        address = next(word for word in line.split() if word.startswith("http://"))
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                page = urllib.request.urlopen(address).read().decode()
                break
            except OSError:
                time.sleep(0.1)
        assert "diagnose" in page
        process.send_signal(signal.SIGINT)
        printed += process.communicate(timeout=20)[0]
    finally:
        process.kill()
    assert process.returncode == 0, printed
    assert "Traceback" not in printed
    for run in ("healthy", "diverging", "overfitting", "vanishing"):
        assert (tmp_path / "runs" / run / "report.html").stat().st_size > 10_000
        assert run in printed


@pytest.mark.slow  # trains the demo once more
def test_a_second_demo_keeps_the_first(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    assert main(["demo", "--no-serve"]) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["demo", "demo-2"]
