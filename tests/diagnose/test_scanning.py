"""Many runs at once: one line each, what they have in common, and only what is new the second time."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from joblib.externals.loky import get_reusable_executor

from diagnose import scanning
from diagnose.cli import main
from diagnose.logs.storage import LocalFile
from diagnose.logs.verdicts import NAME, Verdicts
from diagnose.logs.writing import EventFile
from diagnose.scanning import Verdict, in_common, runs_below, scan, verdict_of


def write(folder, losses, lr=0.1):
    with EventFile(folder) as file:
        for step, loss in enumerate(losses, 1):
            file.write_step(step, 1.7e9 + step, [("loss/train", loss), ("lr/group0", lr)], {})


FALLING = 0.1 + 2 * np.exp(-np.arange(300) / 40)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Ten runs: six are well, three have diverged at high rates, one cannot be read."""
    monkeypatch.setenv("DIAGNOSE_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "runs"
    for number in range(6):
        write(root / f"well{number}", FALLING, lr=0.01 * (number + 1))
    for number in range(3):
        write(root / f"ill{number}", np.geomspace(2, 1e6, 300), lr=0.5 + number)
    (root / "broken").mkdir()
    (root / "broken" / "events.out.tfevents.1").write_bytes(b"no event file")
    return root


def test_each_run_has_its_line_and_a_broken_one_says_why(folder):
    verdicts = {verdict.run.rsplit("/", 1)[1]: verdict for verdict in scan(runs_below(str(folder)), None)}
    assert len(verdicts) == 10
    assert verdicts["well3"].health == "healthy" and verdicts["well3"].lr == pytest.approx(0.04)
    assert (verdicts["ill1"].health, verdicts["ill1"].worst_finding) == ("critical", "divergence")
    assert verdicts["ill1"].likeliest_cause == "lr_too_high"
    assert verdicts["broken"].health == "unreadable" and "holds no event" in verdicts["broken"].error


def test_a_second_scan_examines_only_what_has_changed(folder, monkeypatch):
    known = Verdicts()
    first = sorted(scan(runs_below(str(folder)), known), key=lambda verdict: verdict.run)
    write(folder / "well0", FALLING)
    examined = []
    monkeypatch.setattr(scanning, "verdict_of", lambda path, *told: (examined.append(path), verdict_of(path, *told))[1])
    second = sorted(scan(runs_below(str(folder)), known), key=lambda verdict: verdict.run)
    assert sorted(Path(path).name for path in examined) == ["broken", "well0"]
    assert [v for v in second if "well0" not in v.run] == [v for v in first if "well0" not in v.run]


def test_a_damaged_cache_is_begun_anew(folder, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / NAME).write_bytes(b"no database" * 100)
    assert len(list(scan(runs_below(str(folder)), Verdicts()))) == 10


@pytest.mark.slow  # processes more
def test_several_processes_find_the_same(folder):
    paths = runs_below(str(folder))
    by_run = [sorted(scan(paths, None, jobs=jobs), key=lambda verdict: verdict.run) for jobs in (1, 2)]
    assert by_run[0] == by_run[1]


LETHAL = """
import os, signal, sys
from diagnose import scanning

def deadly(path, examine=scanning.examine):
    if os.path.basename(path).startswith("ill"):
        os.kill(os.getpid(), signal.SIGKILL)
    return examine(path)

scanning.examine = deadly
"""


@pytest.fixture
def lethal(tmp_path, monkeypatch):
    """In every process that is started from here, the examination of the ill runs is killed, as where memory is short.

    By a file that Python reads at its start: the processes of a scan share nothing else with this one.
    """
    (tmp_path / "start").mkdir()
    (tmp_path / "start" / "sitecustomize.py").write_text(LETHAL)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'start'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    get_reusable_executor().shutdown(wait=True)  # its processes were started before
    yield
    get_reusable_executor().shutdown(wait=True)


@pytest.mark.slow  # a pool that breaks, and begins again
def test_a_run_that_kills_its_process_is_told_and_the_others_go_on(folder, lethal):
    verdicts = {Path(verdict.run).name: verdict for verdict in scan(runs_below(str(folder)), None, jobs=3)}
    killed = [name for name, verdict in verdicts.items() if "ended the process" in verdict.error]
    assert len(verdicts) == 10 and sorted(killed) == ["ill0", "ill1", "ill2"]
    assert {verdicts[name].health for name in killed} == {"unreadable"}
    assert [verdicts[f"well{number}"].health for number in range(6)] == ["healthy"] * 6
    assert "holds no event" in verdicts["broken"].error


NASTY = [
    "[red]a[/]",
    "<script>alert(1)<",
    "a\x1b[31mred\x07",
    "\u202egnp",
    '"><img src=x onerror=alert(1)>',
    "=1+1",
    "a\nb",
]


@pytest.mark.parametrize("style", ["table", "jsonl", "csv"])
def test_names_of_folders_are_printed_as_they_are_and_obeyed_by_nothing(tmp_path, style, capsys):
    for name in NASTY:
        write(tmp_path / "runs" / name, FALLING)
        with EventFile(tmp_path / "runs" / name / "other") as file:
            file.write_step(1, 0.0, [(name, 1.0)], {})  # no loss: the tag stands in the error
    assert main(["scan", str(tmp_path / "runs"), "--jobs", "1", "--no-cache", "--format", style]) == 0
    told = capsys.readouterr().out
    assert all(character.isprintable() or character == "\n" for character in told)
    assert "[red]a[/]" in told and "<script>alert(1)<" in told.replace("\n", "")


def test_what_runs_have_in_common_is_said_with_numbers():
    ill = [Verdict(f"i{n}", "critical", 10, "divergence", lr=0.3 + n) for n in range(8)]
    well = [Verdict(f"w{n}", "healthy", 10, lr=0.01 * (n + 1)) for n in range(12)]
    told = list(in_common([*ill, *well, Verdict("u", "unreadable", error="why")]))
    assert told[0] == "21 runs: 12 healthy, 8 critical, 1 unreadable."
    assert told[1] == "8 of 21 runs: divergence; 8 of them with lr above 0.12."
    assert list(in_common([])) == ["No run was found."]
    level = [Verdict(f"i{n}", "critical", 10, "divergence", lr=0.1) for n in range(8)]
    assert "above" not in " ".join(in_common([*level, *(Verdict(f"w{n}", "healthy", lr=0.1) for n in range(8))]))


def test_the_command_prints_a_table_and_what_runs_have_in_common(folder, capsys):
    assert main(["scan", str(folder), "--jobs", "1"]) == 0
    told = capsys.readouterr().out
    assert "ill0" in told and "divergence" in told and "10 runs: 6 healthy, 3 critical, 1 unreadable." in told
    assert main(["scan", str(folder), "--jobs", "1", "--fail-on", "critical"]) == 1


@pytest.mark.parametrize("style", ["jsonl", "csv", "parquet"])
def test_the_table_comes_in_other_forms(folder, tmp_path, style):
    path = tmp_path / f"table.{style}"
    assert main(["scan", str(folder), "--jobs", "1", "--format", style, "-o", str(path)]) == 0
    if style == "jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    elif style == "csv":
        rows = list(csv.DictReader(path.open()))
    else:
        rows = pd.read_parquet(path).to_dict("records")
    assert [Path(row["run"]).name for row in rows] == sorted(path.name for path in folder.iterdir())
    assert {row["health"] for row in rows} == {"healthy", "critical", "unreadable"}


def test_unusable_arguments_exit_with_two(folder, capsys):
    assert main(["scan", str(folder / "nowhere")]) == 2
    assert main(["scan", str(folder), "--format", "parquet"]) == 2
    assert "name a file" in capsys.readouterr().err


def test_what_was_found_while_a_file_could_not_be_read_is_not_remembered(tmp_path, monkeypatch):
    for part, steps in (("1", range(300)), ("2", range(300, 400))):
        with EventFile(tmp_path / part) as file:
            for step in steps:
                file.write_step(
                    step, 1.7e9 + step, [("loss/train", 1 / (step + 1) if step < 300 else float("nan"))], {}
                )
        (tmp_path / "run").mkdir(exist_ok=True)
        file.path.rename(tmp_path / "run" / f"events.out.tfevents.{part}")
    read = LocalFile.content

    def broken(file, begin, end):
        if file.path.name.endswith(".2"):
            raise OSError(5, "Input/output error")
        return read(file, begin, end)

    verdicts = Verdicts(tmp_path / "verdicts")
    with monkeypatch.context() as patch:
        patch.setattr(LocalFile, "content", broken)
        (first,) = scanning.scan([str(tmp_path / "run")], verdicts)
    (second,) = scanning.scan([str(tmp_path / "run")], verdicts)
    assert (first.health, second.health) == ("healthy", "critical")


def test_rates_drawn_at_random_tell_nothing():
    rng = np.random.default_rng(0)
    told = 0
    for _ in range(200):
        ill = [scanning.Verdict("x", "critical", worst_finding="divergence", lr=rate) for rate in rng.random(5)]
        well = [scanning.Verdict("x", "healthy", lr=rate) for rate in rng.random(8)]
        told += "lr above" in " ".join(scanning.in_common([*ill, *well]))
    assert told <= 6
    high = [scanning.Verdict("x", "critical", worst_finding="divergence", lr=1 + rate) for rate in rng.random(5)]
    assert "lr above" in " ".join(scanning.in_common([*high, *well]))


def test_where_no_run_can_be_read_the_command_says_so(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "events.out.tfevents.1").write_bytes(b"nonsense")
    assert main(["scan", str(tmp_path), "--jobs", "1"]) == 2
