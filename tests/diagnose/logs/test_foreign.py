"""Logs that are no event files, as their tools write them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import diagnose


def train(run):
    series = run.scalars["loss/train"]
    return series.steps.tolist(), series.values.tolist()


def test_lightnings_csv_has_train_and_validation_in_rows_of_their_own(tmp_path):
    (tmp_path / "metrics.csv").write_text(
        "train_loss,epoch,step,val_loss\n0.5,0,49,\n0.4,0,99,\n,0,99,0.45\n0.3,1,149,\n,1,149,0.41\n"
    )
    (tmp_path / "hparams.yaml").write_text("batch_size: 32\noptim:\n  lr: 0.1\n")
    run = diagnose.load(tmp_path)
    assert train(run) == ([49, 99, 149], [0.5, 0.4, 0.3])
    assert run.scalars["loss/validation"].steps.tolist() == [99, 149]
    assert run.setup.config_number("batch_size") == 32
    assert run.setup.config["lr"] == run.setup.config["optim.lr"] == 0.1


def test_a_bare_table_counts_its_rows(tmp_path):
    (tmp_path / "mine.csv").write_text("training_loss, val_loss, time\n0.9, 0.8, 0.2\n0.7, 0.75, 0.1\nNaN, 0.7, 0.1\n")
    run = diagnose.load(tmp_path / "mine.csv")
    steps, values = train(run)
    assert steps == [0, 1, 2] and values[:2] == [0.9, 0.7] and np.isnan(values[2])
    assert run.scalars["loss/validation"].values.tolist() == [0.8, 0.75, 0.7]


@pytest.mark.parametrize("name", ["log.csv", "metrics.jsonl", "trainer_state.json"])
def test_a_loss_that_ends_in_no_number_is_seen_and_what_was_not_logged_is_not(tmp_path, name):
    losses = [1 / (step + 1) if step < 50 else float("nan") for step in range(80)]
    if name == "log.csv":  # as Lightning's and Keras's loggers write
        rows = [f"{step},{loss},{1.0 if step % 10 == 9 else ''}" for step, loss in enumerate(losses)]
        (tmp_path / name).write_text("\n".join(["step,train_loss,val_loss", *rows]))
    else:
        each = [
            {"step": step, "loss": loss} | ({"eval_loss": 1.0} if step % 10 == 9 else {})
            for step, loss in enumerate(losses)
        ]
        text = json.dumps({"log_history": each}) if name.endswith("state.json") else "\n".join(map(json.dumps, each))
        (tmp_path / name).write_text(text)
    run = diagnose.load(tmp_path)
    assert np.isnan(train(run)[1]).tolist() == [step >= 50 for step in range(80)]
    assert len(run.scalars["loss/validation"]) == 8
    assert [f.id for f in diagnose.examine(run).findings if f.severity.value == "critical"] == ["nan_loss"]


@pytest.mark.parametrize("rows", [95, 100, 99])
def test_nan_between_numbers_is_a_gap_and_so_is_as_much_of_it_at_the_end(tmp_path, rows):
    lines = [f"{step},{1 / (step + 1)},{0.5 if step % 10 == 0 else 'nan'}" for step in range(rows)]
    (tmp_path / "log.csv").write_text("\n".join(["step,loss,val_loss", *lines]))
    run = diagnose.load(tmp_path)
    assert np.isfinite(run.scalars["loss/validation"].values).all() and len(run.scalars["loss/train"]) == rows


def test_other_separators_are_found_out(tmp_path):
    (tmp_path / "a.csv").write_text("step;loss\n10;0.5\n20;0.25\n30;0.2\n")
    assert train(diagnose.load(tmp_path / "a.csv")) == ([10, 20, 30], [0.5, 0.25, 0.2])


def test_the_trainers_state_tells_losses_rates_and_settings(tmp_path):
    history = [
        {"step": 10, "loss": 2.0, "learning_rate": 1e-4, "grad_norm": 1.5},
        {"step": 10, "eval_loss": 2.1, "eval_runtime": 3.0},
        {"step": 20, "loss": 1.5, "learning_rate": 5e-5},
        {"step": 20, "train_runtime": 100.0, "total_flos": 1e15},
    ]
    state = {"log_history": history, "num_train_epochs": 3, "train_batch_size": 8, "best_metric": None}
    for number in (5, 20):
        (tmp_path / f"checkpoint-{number}").mkdir()
        (tmp_path / f"checkpoint-{number}" / "trainer_state.json").write_text(json.dumps(state if number == 20 else {}))
    assert list(diagnose.find_runs(tmp_path)) == [str(tmp_path)]
    run = diagnose.load(tmp_path)
    assert train(run) == ([10, 20], [2.0, 1.5])
    assert run.scalars["loss/validation"].values.tolist() == [2.1]
    assert run.scalars["lr/group0"].values.tolist() == [1e-4, 5e-5]
    assert run.scalars["grad_norm"].steps.tolist() == [10]
    assert run.setup.config_number("epochs") == 3 and run.setup.config_number("batch_size") == 8


def test_json_lines_are_read_and_a_half_written_one_waits(tmp_path):
    lines = [json.dumps({"iteration": step, "total_loss": 1 / step, "lr": 0.1}) for step in (20, 40, 60)]
    path = tmp_path / "metrics.json"
    path.write_text("\n".join(lines)[:-5])
    assert train(diagnose.load(tmp_path))[0] == [20, 40]
    path.write_text("\n".join(lines))
    assert train(diagnose.load(tmp_path))[0] == [20, 40, 60]


def test_a_wandb_export_leaves_the_spreads_out(tmp_path):
    (tmp_path / "wandb_export.csv").write_text(
        '"Step","run one - train/loss","run one - train/loss__MIN","run one - train/loss__MAX"\n'
        '"0","2.0","2.0","2.0"\n"5","1.0","1.0","1.0"\n'
    )
    assert train(diagnose.load(tmp_path)) == ([0, 5], [2.0, 1.0])


def test_a_wandb_export_of_several_runs_asks_which_one_is_meant(tmp_path):
    """As W&B writes it: a column for each run and metric, with its spread, and empty where a run did not log."""
    metrics = [f"{run} - {metric}{spread}" for run in ("calm-sun-1", "red-sea-2")
               for metric in ("train/loss", "_step") for spread in ("", "__MIN", "__MAX")]  # fmt: skip
    path = tmp_path / "wandb_export.csv"
    pd.DataFrame({name: [2.0 + len(name), 1.0] for name in ("Step", *metrics)}).to_csv(path, index=False, quoting=1)
    with pytest.raises(diagnose.NoRunError, match="2 runs side by side: “calm-sun-1”, “red-sea-2”"):
        diagnose.examine(path)
    run = diagnose.load(path, names={"red-sea-2 - train/loss": "loss/train"})
    assert train(run)[1] == [1.0, 24.0]
    (tmp_path / "diagnose.toml").write_text("[names]\n'calm-sun-1 - train/loss' = 'loss/train'\n")
    assert diagnose.examine(tmp_path).run.scalars["loss/train"].values.tolist() == [1.0, 25.0]


def test_curves_that_a_user_has_named_with_a_dash_are_no_runs(tmp_path):
    (tmp_path / "a.csv").write_text("step,train - loss,val - loss\n1,2,3\n2,1,2\n")
    run = diagnose.load(tmp_path / "a.csv")
    assert train(run) == ([1, 2], [2, 1]) and run.scalars["loss/validation"].values.tolist() == [3, 2]
    assert not run.notes


def test_a_table_with_one_value_in_a_row_is_a_curve_for_each_key(tmp_path):
    """As MLflow exports the history of metrics."""
    rows = ["run_id,key,value,step,timestamp"]
    for step in range(3):
        rows += [f"abc,train_loss,{3 - step},{step},{1_700_000_000_000 + step * 1000}", f"abc,val_loss,2,{step},0"]
    (tmp_path / "metrics.csv").write_text("\n".join(rows))
    run = diagnose.load(tmp_path)
    assert train(run) == ([0, 1, 2], [3, 2, 1])
    assert run.scalars["loss/train"].wall_times.tolist() == [1.7e9, 1.7e9 + 1, 1.7e9 + 2]
    assert len(run.scalars["loss/validation"]) == 3 and not run.notes
    (tmp_path / "metrics.csv").write_text("\n".join([*rows, "xyz,train_loss,9,0,0"]))
    with pytest.raises(diagnose.NoRunError, match="2 runs side by side: “abc”, “xyz”"):
        diagnose.examine(tmp_path)


def test_a_table_of_runs_with_their_last_values_is_no_run(tmp_path):
    (tmp_path / "runs.csv").write_text("Start Time,Duration,Run ID,Name,lr,loss\nnow,1s,abc,a,1,2\nnow,1s,xyz,b,3,4\n")
    with pytest.raises(diagnose.NoRunError, match="a row for each run"):
        diagnose.load(tmp_path / "runs.csv")


def test_mlflows_file_store_is_a_run(tmp_path):
    run = tmp_path / "mlruns" / "0" / "abc"
    (run / "metrics" / "val").mkdir(parents=True)
    (run / "params").mkdir()
    (run / "meta.yaml").write_text("run_id: abc\n")
    (run / "metrics" / "train_loss").write_text("1700000000000 2.0 0\n1700000001000 1.5 1\nbroken line here too\n")
    (run / "metrics" / "val" / "loss").write_text("1700000001000 1.6 1\n")
    (run / "params" / "lr").write_text("0.01")
    (run / "params" / "optimizer").write_text("adam")
    assert list(diagnose.find_runs(tmp_path)) == [str(run)]
    read = diagnose.load(run)
    assert train(read) == ([0, 1], [2.0, 1.5])
    assert read.scalars["loss/train"].wall_times.tolist() == [1.7e9, 1.7e9 + 1]
    assert read.scalars["loss/validation"].values.tolist() == [1.6]
    assert read.setup.config == {"lr": 0.01, "optimizer": "adam"}


def test_parquet_is_read(tmp_path):
    steps = np.arange(5)
    pd.DataFrame({"_step": steps, "loss": steps / 2, "_timestamp": 1.7e9 + steps}).to_parquet(tmp_path / "a.parquet")
    run = diagnose.load(tmp_path / "a.parquet")
    assert train(run) == ([0, 1, 2, 3, 4], [0, 0.5, 1, 1.5, 2])
    assert run.scalars["loss/train"].wall_times[0] == 1.7e9


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", ""), ("a.csv", "\0\0\0"), ("a.csv", "a,b\nx,y\n"), ("a.json", "{"), ("a.json", "[]"),
        ("a.json", '{"a": {"b": 1}}'), ("a.parquet", "no"), ("a.json", "[" * 100_000),
    ],
)  # fmt: skip
def test_what_is_no_table_is_told_in_one_sentence(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(diagnose.NoRunError) as error:
        diagnose.load(tmp_path / name)
    assert "\n" not in str(error.value).strip()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("hparams.yaml", "a: !!python/object/apply:os.system ['touch owned']", {}),
        ("config.yaml", "lr:\n  desc: null\n  value: 0.1\n", {"lr": 0.1}),
        ("args.json", '{"lr": 0.1, "model": {"depth": 3}}', {"lr": 0.1, "depth": 3, "model.depth": 3}),
        ("config.json", "[1, 2]", {}),
        ("hparams.json", "{", {}),
    ],
)
def test_settings_beside_a_log_are_read_and_never_executed(tmp_path, name, content, told):
    (tmp_path / "metrics.csv").write_text("step,loss\n1,2\n2,1\n")
    (tmp_path / name).write_text(content)
    run = diagnose.load(tmp_path)
    assert dict(run.setup.config) == told
    assert not (tmp_path / "owned").exists()
    assert bool(run.notes) == (content.startswith(("a: !!", "{")) and not told)
