"""Any bytes at all, in a log or beside one: a run or one sentence, and nothing else."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import diagnose

TABLE = "step,loss\n" + "".join(f"{step},{1 / step}\n" for step in range(1, 40))
ANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CELLS = st.one_of(
    st.sampled_from(["", "nan", "inf", "-1", "1e999", "9" * 30, '"', '"a', ",", ";", "\0", "é", "step", "loss", "key"]),
    st.integers().map(str), st.floats().map(str), st.text(max_size=5),
)  # fmt: skip
LINES = st.lists(st.lists(CELLS, max_size=5).map(",".join), max_size=8)
TABLES = LINES.map(lambda lines: "\n".join(lines).encode(errors="replace"))
WORDS = st.sampled_from(
    ["1", "a", "&a", "*a", "!!int", "!!set", "? ", "<<: ", "-", "'", "0x", "1-1-1", "\n", "{", "}", "[", "]", ": ", " "]
)
SETTINGS = st.lists(WORDS, max_size=20).map(lambda words: "".join(words).encode())


@ANY
@given(
    st.sampled_from(["metrics.csv", "a.tsv", "metrics.json", "metrics.jsonl", "metrics.parquet"]),
    st.one_of(st.binary(max_size=300), TABLES),
)
def test_any_bytes_are_a_run_or_one_sentence(tmp_path_factory, name, content):
    path = tmp_path_factory.mktemp("any") / name
    path.write_bytes(content)
    try:
        scalars = diagnose.load(path).scalars
    except diagnose.NoRunError:
        return
    for series in scalars.values():
        assert len(series) and (np.diff(series.steps) > 0).all() and np.isfinite(series.wall_times).all()


@ANY
@given(st.sampled_from(["hparams.yaml", "hparams.json", "diagnose.toml"]), st.one_of(st.binary(max_size=200), SETTINGS))
def test_any_bytes_beside_a_run_change_nothing_about_its_curve(tmp_path_factory, name, content):
    folder = tmp_path_factory.mktemp("any")
    (folder / "metrics.csv").write_text(TABLE)
    (folder / name).write_bytes(content)
    diagnosis = diagnose.examine(folder)
    assert len(diagnosis.run.scalars["loss/train"]) == 39
    json.loads(diagnosis.to_json())
    json.dumps(dict(diagnosis.run.setup.config))
