"""From files to a run: several files, split folders, restarts, foreign writers, bad paths."""

from __future__ import annotations

import contextlib
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

import diagnose
from diagnose.logs import following, loading, reading, setup_text
from diagnose.logs.writing import EventFile
from diagnose.run import Layer, Setup


def write(directory, steps, tag="loss/train", offset=0.0):
    with EventFile(directory) as file:
        for step in steps:
            file.write_step(step, 1.7e9 + step, [(tag, step + offset)], {})


def test_torchs_own_summary_writer_is_read(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        for step in range(10):
            writer.add_scalar("Loss/train", 1 / (step + 1), step)
            writer.add_scalar("Loss/val", 2 / (step + 1), step, new_style=True)
        writer.add_histogram("weights", np.arange(100), 3)
        writer.add_text("note", "hello")
    run = diagnose.load(tmp_path)
    assert run.names == {"loss/train": "Loss/train", "loss/validation": "Loss/val"}
    assert np.allclose(run.scalars["loss/train"].values, [1 / (s + 1) for s in range(10)])
    assert np.allclose(run.scalars["loss/validation"].values, [2 / (s + 1) for s in range(10)])


def test_tensorboards_own_reader_reads_our_files(demo_runs):
    theirs = EventAccumulator(str(demo_runs["healthy"]), size_guidance={"scalars": 0, "tensors": 0}).Reload()
    ours = diagnose.load(demo_runs["healthy"])
    for name in ("loss/train", "loss/validation", "grad_norm", "lr/group0", "accuracy/validation"):
        assert [e.value for e in theirs.Scalars(name)] == ours.scalars[name].values.tolist()
        assert [e.step for e in theirs.Scalars(name)] == ours.scalars[name].steps.tolist()
    vectors = theirs.Tensors("layers/grad_norm")
    assert len(vectors) == len(ours.layer_signals["layers/grad_norm"])
    assert theirs.SummaryMetadata("layers/grad_norm").plugin_data.plugin_name == "diagnose"
    assert "diagnose/setup" in theirs.Tags()["tensors"]


def test_after_a_restart_the_later_file_wins(tmp_path):
    write(tmp_path, range(10))
    write(tmp_path, range(5, 15), offset=100)
    series = diagnose.load(tmp_path).scalars["loss/train"]
    assert series.steps.tolist() == list(range(15))
    assert series.values.tolist() == [*range(5), *range(105, 115)]


def test_kerass_split_folders_are_one_run(tmp_path):
    write(tmp_path / "fit" / "train", range(5), tag="epoch_loss")
    write(tmp_path / "fit" / "validation", range(5), tag="epoch_loss")
    assert list(diagnose.find_runs(tmp_path)) == [str(tmp_path / "fit")]
    assert set(diagnose.load(tmp_path / "fit").names) == {"loss/train", "loss/validation"}


def test_runs_are_found_at_any_depth_and_links_are_not_followed(tmp_path):
    write(tmp_path / "a" / "deep" / "run1", range(2))
    write(tmp_path / "run2", range(2))
    (tmp_path / "a" / "self").symlink_to(tmp_path, target_is_directory=True)
    assert list(diagnose.find_runs(tmp_path)) == [str(tmp_path / "a" / "deep" / "run1"), str(tmp_path / "run2")]


def test_a_single_event_file_is_a_run(tmp_path):
    write(tmp_path, range(5))
    (path,) = tmp_path.iterdir()
    assert len(diagnose.load(path).scalars["loss/train"]) == 5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "Nothing at"),
        (lambda p: p.mkdir(), "No event file in"),
        (lambda p: p.write_text("just text"), "holds no event"),
        (lambda p: write(p, range(5), tag="reward"), "No loss in .* it holds 1 other scalar.*: reward"),
    ],
    ids=["absent", "empty", "no event file", "no loss"],
)
def test_a_path_that_is_no_run_is_told_in_one_sentence(tmp_path, make, message):
    make(tmp_path / "x")
    with pytest.raises(diagnose.NoRunError, match=message) as error:
        diagnose.examine(tmp_path / "x")
    assert str(tmp_path / "x") in str(error.value)


def test_a_file_that_goes_away_while_reading_is_noted(tmp_path, monkeypatch):
    write(tmp_path, range(5))
    gone = tmp_path / "events.out.tfevents.0.gone"
    present = loading.event_files_of(tmp_path)
    monkeypatch.setattr(loading, "event_files_of", lambda run: [("", gone), *present])
    run = diagnose.load(tmp_path)
    assert len(run.scalars["loss/train"]) == 5
    assert "could not be read" in run.notes[0]


def test_an_event_file_that_grows_is_read_as_far_as_it_was_flushed(tmp_path):
    with EventFile(tmp_path) as file:
        for step in range(5):
            file.write_step(step, 0.0, [("loss", 1.0)], {})
        file.flush()
        assert len(diagnose.load(tmp_path).scalars["loss/train"]) == 5


text = st.text(st.characters(exclude_categories=["C", "Z"]))
plain = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | text
mappings = st.dictionaries(text, plain | st.lists(plain, max_size=3), max_size=4)


@given(config=mappings, optimizer=mappings, name=text, parameters=st.integers(0, 2**40))
def test_a_set_up_survives_the_log(config, optimizer, name, parameters):
    setup = Setup(config=config, optimizer=optimizer, layers=(Layer(name, "Linear", parameters),))
    assert setup_text.from_json(setup_text.as_json(setup)) == setup


@given(st.text() | st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)).map(repr))
def test_a_damaged_set_up_is_a_value_error_at_worst(text):
    with contextlib.suppress(ValueError):
        setup_text.from_json(text)


@pytest.mark.parametrize(
    "told",
    [
        '{"layers": [{"name": "a", "type": "b", "parameters": Infinity}]}',
        '{"layers": [{"name": "a", "type": "b", "parameters": 1, "init": {"x": 1%s}}]}' % ("0" * 400),
        '{"layers": [{"name": "a", "type": "b", "parameters": 1%s}]}' % ("0" * 30),
        '{"config": {"epochs": NaN, "batch_size": 1%s}}' % ("0" * 400),
        '{"config": {"epochs": Infinity, "dataset_size": NaN}, "optimizer": {"groups": [{"lr": Infinity}]}}',
        '{"config": {"epochs": 10}, "optimizer": {"groups": [{"lr": 5e-324}]}}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("loss", [np.geomspace(1, 1e6, 300), np.geomspace(2, 0.1, 300)], ids=["climbs", "falls"])
def test_no_number_of_a_set_up_stops_an_examination(tmp_path, told, loss):
    with EventFile(tmp_path) as file:
        file.write_setup(told, 1.0)
        for step, value in enumerate(loss, 1):
            validation = value if step < 100 else 5.0
            scalars = [("loss/train", value), ("loss/validation", validation)]
            file.write_step(step, float(step), scalars, {"layers/grad_norm": np.ones(1, "f4")})
    diagnosis = diagnose.examine(tmp_path)
    assert "nan" not in diagnosis.to_markdown() and diagnosis.to_json()


def test_vectors_of_another_length_take_no_memory(tmp_path):
    with EventFile(tmp_path) as file:
        for step in range(2000):
            width = 100_000 if step == 7 else 3
            file.write_step(step, float(step), [], {"layers/grad_norm": np.ones(width, "f4")})
    values = diagnose.load(tmp_path).layer_signals["layers/grad_norm"].values
    assert values.shape == (1999, 3)


def test_a_files_name_is_shown_without_its_control_characters(tmp_path):
    path = tmp_path / "events.out.tfevents.\x1b]0;owned\x07"
    path.write_bytes(b"\x00" * 5)
    write(tmp_path, range(3))
    (note,) = diagnose.load(tmp_path).notes
    assert "\x1b" not in note and "incomplete" in note


def test_a_link_to_itself_is_no_obstacle(tmp_path):
    (tmp_path / "events.out.tfevents.loop").symlink_to(tmp_path / "events.out.tfevents.loop")
    write(tmp_path / "run", range(3))
    assert list(diagnose.find_runs(tmp_path)) == [str(tmp_path / "run")]


def test_folders_nested_deeper_than_python_calls_are_searched(tmp_path):
    write(tmp_path / "run", range(3))
    deep = tmp_path
    for _ in range(1500):
        deep /= "a"
        deep.mkdir()
    assert list(diagnose.find_runs(tmp_path)) == [str(tmp_path / "run")]
    subprocess.run(["rm", "-r", tmp_path / "a"], check=True)  # pytest's own cleaning up recurses


def test_a_log_that_begins_late_is_measured_from_there(tmp_path):
    write(tmp_path / "early", range(1, 101))
    write(tmp_path / "late", range(100_001, 100_101))
    write(tmp_path / "sparse", range(100, 1001, 100))
    early, late, sparse = (diagnose.load(tmp_path / name) for name in ("early", "late", "sparse"))
    assert (early.start, early.length) == (0, 100)
    assert (late.start, late.length) == (100_001, 99)
    assert (sparse.start, sparse.length) == (0, 1000)


@pytest.mark.parametrize("fast_from", [0, 2**60])
def test_only_what_one_asks_for_is_read(tmp_path, monkeypatch, fast_from):
    monkeypatch.setattr(reading, "FAST_FROM", fast_from)
    monkeypatch.setattr(following, "KEPT_FROM", 1)
    for split in ("train", "validation"):
        with EventFile(tmp_path / split) as file:
            for step in range(5):
                vectors = {"layers/grad_norm": np.ones(2, "f4"), "layers/activation_variance": np.ones(2, "f4")}
                file.write_step(step, 1.7e9 + step, [("loss", 1.0), ("mine", 2.0), ("accuracy", 0.5)], vectors)
    whole = diagnose.load(tmp_path)
    assert set(whole.scalars) > {"loss/train", "loss/validation", "accuracy/train", "train/mine"}
    run = diagnose.load(tmp_path, only=["loss/*", "layers/grad_norm"])
    assert set(run.scalars) == {"loss/train", "loss/validation"}
    assert set(run.layer_signals) == {"layers/grad_norm", "validation/layers/grad_norm"}
    assert set(diagnose.load(tmp_path, only=["train/mine"]).scalars) == {"train/mine"}
    named = diagnose.load(tmp_path, names={"train/mine": "lr/group0"}, only=["lr/group0"])
    assert set(named.scalars) == {"lr/group0"}
    assert set(diagnose.load(tmp_path).scalars) == set(whole.scalars)


def test_only_some_columns_of_a_table(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,loss,val_loss,speed\n1,2,3,4\n2,1,2,4\n")
    assert set(diagnose.load(tmp_path, only=["loss/train"]).scalars) == {"loss/train"}


def test_what_add_scalars_writes_is_one_run(tmp_path):
    with SummaryWriter(tmp_path / "run") as writer:
        for step in range(20):
            writer.add_scalar("lr", 0.1, step)
            writer.add_scalars("Loss", {"train": 1 / (step + 1), "val": 2 / (step + 1)}, step)
            writer.add_scalars("metrics/Accuracy", {"train": 0.9, "val": 0.8}, step)
    assert list(diagnose.find_runs(tmp_path)) == [str(tmp_path / "run")]
    run = diagnose.load(tmp_path / "run")
    signals = {"loss/train", "loss/validation", "accuracy/train", "accuracy/validation", "lr/group0"}
    assert set(run.scalars) == signals
    assert run.scalars["loss/validation"].values[0] == 2


def test_runs_whose_names_end_in_a_split_are_runs(tmp_path):
    write(tmp_path, range(3))
    write(tmp_path / "resnet_test", range(3))
    write(tmp_path / "resnet_test2", range(3))
    assert len(list(diagnose.find_runs(tmp_path))) == 3


def test_a_folder_called_test_is_a_split_beside_one_called_train_and_else_a_run(tmp_path):
    for path in ("a/train", "a/test", "b/test"):
        write(tmp_path / path, range(3), tag="loss")
    assert list(diagnose.find_runs(tmp_path)) == [str(tmp_path / "a"), str(tmp_path / "b" / "test")]
    assert set(diagnose.load(tmp_path / "a").scalars) == {"loss/train", "loss/validation"}


def test_only_takes_tags_as_they_are_written_and_says_where_nothing_is_called_so(tmp_path):
    with EventFile(tmp_path) as file:
        file.write_step(1, 1.7e9, [("loss[0]", 1.0), ("loss0", 2.0), ("train_loss", 3.0)], {})
    assert set(diagnose.load(tmp_path, only=["loss[0]"]).scalars) == {"loss[0]"}
    assert set(diagnose.load(tmp_path, only="train_loss").scalars) == {"loss/train"}
    nothing = diagnose.load(tmp_path, only=["typo"])
    assert not nothing.scalars and "Nothing is called typo" in nothing.notes[0]


def test_validation_alone_stands_at_the_same_steps_as_beside_its_training(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        for step in range(1000):
            writer.add_scalar("train_loss", 1.0, step, walltime=1.7e9 + step)
        for epoch in range(1, 5):
            writer.add_scalar("val_loss", 1.0, epoch, walltime=1.7e9 + 249 * epoch)
    whole, alone = diagnose.load(tmp_path), diagnose.load(tmp_path, only=["loss/validation"])
    assert set(alone.scalars) == {"loss/validation"}
    assert alone.scalars["loss/validation"].steps.tolist() == whole.scalars["loss/validation"].steps.tolist()
    assert whole.scalars["loss/validation"].steps[-1] > 900


def test_a_test_set_makes_no_curve_together_with_validation(tmp_path):
    for split, steps, value in (("train", range(100), 1.0), ("val", range(0, 100, 10), 2.0), ("test", [200], 99.0)):
        with SummaryWriter(tmp_path / split) as writer:
            for step in steps:
                writer.add_scalar("loss", value, step)
    run = diagnose.load(tmp_path)
    assert set(run.scalars["loss/validation"].values) == {2.0}
    assert run.scalars["test/loss"].values.tolist() == [99.0]


def test_a_tag_of_another_folder_voids_nothing(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        for step in range(100):
            writer.add_scalar("train/Loss", 1.0, step)
        for epoch in range(5):
            writer.add_scalars("Loss", {"train": 0.5, "val": 0.7}, epoch)
    run = diagnose.load(tmp_path)
    assert len(run.scalars["loss/train"]) == 100
    assert {len(series) for tag, series in run.scalars.items() if "Loss_train" in tag} == {5}
    assert not run.notes


@pytest.mark.parametrize(("first", "second"), [("1.host.9.0", "1.host.10.0"), ("999.host", "1000.host")])
def test_files_count_in_the_order_of_the_numbers_in_their_names(tmp_path, first, second):
    for name, value in ((second, 2.0), (first, 1.0)):
        with EventFile(tmp_path / "made") as file:
            file.write_step(1, 1.7e9, [("loss/train", value)], {})
        file.path.rename(tmp_path / f"events.out.tfevents.{name}")
    assert diagnose.load(tmp_path).scalars["loss/train"].values.tolist() == [2.0]


def test_what_a_restart_has_emptied_stands_in_nobodys_way(tmp_path):
    with SummaryWriter(tmp_path, filename_suffix=".1") as writer:
        writer.add_scalar("loss/train", 1.0, 5)
        writer.add_scalar("diagnose/dropped_rows", 3.0, 5)
    with SummaryWriter(tmp_path, purge_step=0, filename_suffix=".2") as writer:
        for step in range(10):
            writer.add_scalar("train_loss", 2.0, step)
    assert len(diagnose.load(tmp_path).scalars["loss/train"]) == 10
