"""Many runs at once: one line each, what they have in common, and only what is new the second time."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from diagnose import scanning
from diagnose.cli import main
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
    monkeypatch.setattr(scanning, "verdict_of", lambda path: (examined.append(path), verdict_of(path))[1])
    second = sorted(scan(runs_below(str(folder)), known), key=lambda verdict: verdict.run)
    assert sorted(Path(path).name for path in examined) == ["broken", "well0"]
    assert [v for v in second if "well0" not in v.run] == [v for v in first if "well0" not in v.run]


def test_a_damaged_cache_is_begun_anew(folder, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / NAME).write_bytes(b"no database" * 100)
    assert len(list(scan(runs_below(str(folder)), Verdicts()))) == 10


def test_several_processes_find_the_same(folder):
    paths = runs_below(str(folder))
    by_run = [sorted(scan(paths, None, jobs=jobs), key=lambda verdict: verdict.run) for jobs in (1, 2)]
    assert by_run[0] == by_run[1]


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
