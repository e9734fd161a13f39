"""Files from strangers: whatever is in them, reading ends soon, in a run or in one clear sentence."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import diagnose
from diagnose.scanning import runs_below, verdict_of

SOON = 5.0  # seconds; what grows with the input's square or power takes minutes
TABLE = "step,loss\n" + "".join(f"{step},{1 / step}\n" for step in range(1, 40))


@pytest.fixture
def run(tmp_path):
    """A run of forty steps, as a table."""
    (tmp_path / "metrics.csv").write_text(TABLE)
    return tmp_path


def bomb(lines, reference):
    return "a0: &a0 {x: 1}\n" + "".join(
        f"a{n}: &a{n} {reference.format(', '.join([f'*a{n - 1}'] * 9))}\n" for n in range(1, lines)
    )


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("hparams.yaml", bomb(9, "[{}]"), "references"),
        ("hparams.yaml", bomb(9, "{{<<: [{}]}}"), "references"),
        ("hparams.yaml", "lr: 0.1\na: &a [*a]\n", "references"),
        ("hparams.yaml", "a: &a {b: *a}\n", "references"),
        ("hparams.yaml", "[" * 100_000, "nested"),
        ("hparams.yaml", "a: !!timestamp no\n", "hparams.yaml"),
        ("hparams.yaml", "a: !!bool no time\n", "hparams.yaml"),
        ("hparams.yaml", "a: !!int ''\n", "hparams.yaml"),
        ("hparams.yaml", "lr: 0.1\n" * 100_000, "300,000 bytes"),
        ("hparams.json", "[" * 100_000, "hparams.json"),
        ("diagnose.toml", "a=" + "[" * 100_000 + "]" * 100_000, "nested"),
        ("diagnose.toml", "a" + ".a" * 400_000 + "=1", "dots"),
        ("diagnose.toml", "[names]\na=1\n", "no texts"),
        ("diagnose.toml", "\xff\xfe", "left out"),
    ],
)
def test_settings_and_names_that_cannot_be_read_are_left_out_soon_with_a_note(run, name, content, why):
    (run / name).write_bytes(content.encode("latin-1"))
    begun = time.process_time()
    read = diagnose.load(run)
    assert time.process_time() - begun < SOON
    assert len(read.notes) == 1 and name in read.notes[0] and why in read.notes[0] and "\n" not in read.notes[0]
    assert read.setup.config == {}


def test_references_that_save_typing_are_followed(run):
    (run / "hparams.yaml").write_text("usual: &usual {lr: 0.1}\noptimizer: {<<: *usual, momentum: 0.9}\n")
    assert diagnose.load(run).setup.config["optimizer.lr"] == 0.1


def test_settings_of_any_kind_stand_in_every_report(run):
    (run / "hparams.yaml").write_text(
        f"huge: {'9' * 400}\nlonger: -0x{'f' * 6000}\nbytes: !!binary aGVsbG8=\nbatch_size: .nan\nday: 2001-01-01\n"
        'set: !!set {a, b}\n1: 2\nnothing: null\nweight_decay: [1, {c: .inf}]\ncolour: "\\e[31mred"\n'
    )
    diagnosis = diagnose.examine(run)
    config = diagnosis.run.setup.config
    assert (config["huge"], config["longer"], config["1"]) == (math.inf, -math.inf, 2)
    assert json.loads(diagnosis.to_json())["healthy"] in {True, False}
    assert "2001-01-01" in diagnosis.to_html() and "\x1b" not in diagnosis.to_html() + diagnosis.to_markdown()


def test_settings_nested_beyond_reason_are_cut_off(run):
    (run / "hparams.json").write_text('{"lr": 0.1, "a": ' + "[" * 600 + "]" * 600 + "}")
    diagnosis = diagnose.examine(run)
    assert diagnosis.run.setup.config["lr"] == 0.1
    assert "…" in diagnosis.to_html()


def test_settings_behind_a_link_out_of_the_run_are_not_read(run, tmp_path_factory):
    secret = tmp_path_factory.mktemp("elsewhere")
    (secret / "config.yaml").write_text("password: hunter2\n")
    (run / "hparams.yaml").symlink_to(secret / "config.yaml")
    (run / ".hydra").symlink_to(secret)
    assert diagnose.load(run).setup.config == {}


def rows(**told):
    return "\n".join(json.dumps({"step": step, "loss": 1 / (step + 1), **told}) for step in range(30)) + "\n"


HUGE = "9" * 400


@pytest.mark.parametrize(
    ("name", "content", "count"),
    [
        ("metrics.jsonl", rows() + f'{{"step": 30, "loss": {HUGE}}}\n', 31),
        ("metrics.jsonl", rows(tags=[1, 2], more={"a": 1}), 30),
        ("metrics.jsonl", rows() + "[" * 200_000 + "\n", 30),
        ("metrics.jsonl", rows() + '{"step": 1e300, "loss": 1}\n', 31),
        ("metrics.jsonl", rows() + '{"step": NaN, "loss": 1}\n{"step": Infinity, "loss": 1}\n', 32),
        ("metrics.json", json.dumps({"log_history": [{"step": 1, "loss": 1}], "max_steps": {"a": 10**400}}), 1),
        ("metrics.json", '{"loss": [1, 2, {"a": 1}], "x": [[1]], "y": []}', 2),
        ("metrics.csv", "step,loss\n1,2\n2,1\n3,\xe9\n", 2),
        ("metrics.csv", f"step,loss\n1,{HUGE}\n2,3\n", 2),
        ("metrics.csv", f"step,loss\n{HUGE},1\n2,3\n", 2),
        ("metrics.csv", "step,loss\n1,2,3,4,5\n2,3\n4,5\n", 3),
        ("metrics.csv", "step,loss\n1,2,\n2,3,\n", 2),
        ("metrics.csv", TABLE + "x,y,z,w\n" * 5, 39),
        ("metrics.csv", 'step,loss\n1,2\n2,1\n3,"abc\n' + "".join(f"{step},1\n" for step in range(4, 14)), 12),
        ("metrics.csv", "step,loss\n1,2\n\0,\0\n3,4\n", 2),
        ("metrics.csv", TABLE.replace("\n", "\r\n"), 39),
        ("metrics.csv", "step,loss,note\n1,2," + "x" * 3_000_000 + "\n2,3,\n", 2),
        ("metrics.csv", '"step|of;it",loss\n1,2\n2,3\n', 2),
    ],
)
def test_a_table_with_odd_values_is_read_without_them(tmp_path, name, content, count):
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    diagnosis = diagnose.examine(tmp_path)
    assert len(diagnosis.run.scalars["loss/train"]) == count
    assert diagnosis.to_json() and diagnosis.to_html()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.csv", "a" * 3_000_000),
        ("metrics.csv", "a" * 400_000),
        ("metrics.csv", "\0" * 1000),
        ("metrics.csv", "," * 100_000 + "\n" * 1_000_000),
        ("metrics.csv", '"' * 999),
        ("metrics.jsonl", "\n".join(f'{{"k{n}": {n}}}' for n in range(20_000))),
        ("metrics.json", json.dumps({f"k{n}": [1] * (20_000 if n == 0 else 0) for n in range(20_000)})),
        ("metrics.json", "[[" * 100_000),
        ("metrics.parquet", "PAR1" + "x" * 200 + "PAR1"),
    ],
)
def test_a_table_that_is_none_or_too_large_is_told_soon_in_one_sentence(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    begun = time.process_time()
    with pytest.raises(diagnose.NoRunError) as error:
        diagnose.load(tmp_path)
    assert time.process_time() - begun < SOON
    assert "\n" not in str(error.value) and str(tmp_path / name) in str(error.value) and len(str(error.value)) < 500


def test_a_small_parquet_file_of_many_rows_is_not_unpacked(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    piece = pa.table({"step": np.zeros(6_000_000, np.int64), "loss": np.zeros(6_000_000)})
    with parquet.ParquetWriter(tmp_path / "metrics.parquet", piece.schema) as writer:
        for _ in range(9):
            writer.write_table(piece)
    with pytest.raises(diagnose.NoRunError, match="too large"):
        diagnose.load(tmp_path)


def test_parquet_columns_that_are_no_numbers_are_not_read(tmp_path):
    told = {"step": [1, 2], "loss": [2.0, 1.0], "text": ["a", "b"], "picture": [b"x", b"y"], "more": [[1], [2]]}
    pd.DataFrame(told).to_parquet(tmp_path / "metrics.parquet")
    assert list(diagnose.load(tmp_path).scalars) == ["loss/train"]


def test_a_parquet_file_whose_names_are_no_text_is_refused_with_the_reason(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    names = pa.StringArray.from_buffers(2, pa.py_buffer(np.array([0, 4, 8], np.int32)), pa.py_buffer(b"lo\xffsacc "))
    parquet.write_table(pa.table({"key": names, "value": [1.0, 2.0]}), tmp_path / "metrics.parquet")
    with pytest.raises(diagnose.NoRunError, match="UTF8"):
        diagnose.load(tmp_path)


def test_a_damaged_parquet_file_neither_raises_nor_ends_the_process(tmp_path):
    program = f"""
import random, pathlib, diagnose, pandas as pd
path = pathlib.Path({str(tmp_path)!r}) / "metrics.parquet"
pd.DataFrame({{"step": range(200), "loss": range(200), "key": ["a", "b"] * 100}}).to_parquet(path)
whole, chance = path.read_bytes(), random.Random(0)
for _ in range(300):
    damaged = bytearray(whole)
    for _ in range(chance.choice([1, 5, 30])):
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
    path.write_bytes(damaged)
    try:
        diagnose.load(path)
    except diagnose.NoRunError as error:
        assert "\\n" not in str(error)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.fixture
def mlflow(tmp_path):
    """A run in MLflow's file store."""
    for folder in ("metrics", "params"):
        (tmp_path / folder).mkdir()
    (tmp_path / "meta.yaml").write_text("run_id: abc\n")
    (tmp_path / "metrics" / "loss").write_text("".join(f"{10**12 + n} {1 / (n + 1)} {n}\n" for n in range(30)))
    return tmp_path


def test_lines_of_mlflows_that_cannot_be_read_are_counted(mlflow):
    (mlflow / "metrics" / "acc").write_text("1000 0.5 1\n1 2 x\n1 2 99999999999999999999999\nnan 1 2\n\n1 2\n")
    read = diagnose.load(mlflow)
    assert read.scalars["accuracy/train"].steps.tolist() == [1]
    assert read.notes == ("metrics/acc: 4 line(s) that cannot be read were left out.",)


def test_nothing_outside_of_mlflows_run_is_read(mlflow, tmp_path_factory):
    secret = tmp_path_factory.mktemp("elsewhere") / "secret"
    secret.write_text("1000 0.5 1")
    for folder in ("metrics", "params"):
        (mlflow / folder / "stolen").symlink_to(secret)
        (mlflow / folder / "dangling").symlink_to("/nonexistent")
        (mlflow / folder / "itself").symlink_to("itself")
        (mlflow / folder / "around").symlink_to(mlflow)
    read = diagnose.load(mlflow)
    assert read.setup.config == {} and "stolen" not in read.scalars
    assert sum("leads out" in note for note in read.notes) == 4


def test_parameters_of_mlflows_that_spell_no_number_stay_texts(mlflow):
    spelled = {"deep": "[" * 50_000, "huge": "9" * 5000, "beyond": "9" * 400, "yes": "True", "lr": "1e-3"}
    for name, text in {**spelled, "long": "x" * 200_000}.items():
        (mlflow / "params" / name).write_text(text)
    diagnosis = diagnose.examine(mlflow)
    config = diagnosis.run.setup.config
    assert (config["deep"], config["huge"], config["beyond"]) == (spelled["deep"], spelled["huge"], math.inf)
    assert (config["yes"], config["lr"]) == (True, 0.001) and "long" not in config
    assert diagnosis.to_html() and diagnosis.to_json()


def locked(folder, program):
    """Run the program as a user who may not look into the folder."""
    folder.chmod(0)
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setuid(65534)
            program()
            os._exit(0)
        except BaseException:  # noqa: BLE001  the parent is told by the exit code
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    folder.chmod(0o755)
    return code


def test_a_folder_that_cannot_be_listed_is_passed_over_and_told():
    with tempfile.TemporaryDirectory() as place:  # pytest's own folder is closed to other users
        root = Path(place)
        root.chmod(0o755)
        for name in ("a", "b", "c"):
            (root / name).mkdir()
            (root / name / "metrics.csv").write_text(TABLE)

        def program():
            assert list(diagnose.find_runs(root)) == [str(root / "a"), str(root / "c")]
            assert runs_below(str(root)) == [str(root / "a"), str(root / "c"), str(root / "b")]
            verdict = verdict_of(str(root / "b"))
            assert verdict.health == "unreadable" and "cannot be listed (Permission denied)" in verdict.error

        assert locked(root / "b", program) == 0


def test_names_too_long_and_a_folder_within_itself_end_no_search(run, monkeypatch):
    (run / "around").symlink_to(run)
    monkeypatch.chdir(run)
    for _ in range(30):
        Path("x" * 200).mkdir()
        os.chdir("x" * 200)
    assert list(diagnose.find_runs(run)) == [str(run)]
    for path in ("y" * 5000, run / ("y" * 300)):
        with pytest.raises(diagnose.NoRunError):
            diagnose.load(path)
        with pytest.raises(diagnose.NoRunError):
            list(diagnose.find_runs(path))
