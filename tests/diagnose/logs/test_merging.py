"""Several files of one run, restarts, and names of one's own."""

from __future__ import annotations

import numpy as np
import pytest
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard import SummaryWriter

import diagnose
from diagnose.logs.columns import Column, EventData
from diagnose.logs.merging import merged
from diagnose.logs.records import framed
from diagnose.logs.writing import EventFile


def data_of(steps, start=0.0, tag="loss/train", offset=0.0):
    data = EventData(events=len(steps))
    data.scalar(tag).extend(steps, start + np.arange(len(steps)), np.asarray(steps) + offset)
    return data


def values(data, tag="loss/train"):
    series = data.scalars[tag].series()
    return series.steps.tolist(), series.values.tolist()


def test_a_later_file_counts_from_where_it_begins_and_the_loss_is_told():
    whole = merged([data_of(range(10)), data_of(range(5, 8), start=100.0, offset=0.5)])
    assert values(whole) == ([*range(8)], [0, 1, 2, 3, 4, 5.5, 6.5, 7.5])
    assert whole.notes == ["2 value(s) from step 5 on were left out: the training was started again from there."]


def test_files_written_at_the_same_time_are_no_restart():
    whole = merged([data_of(range(10)), data_of(range(5, 8), start=3.0, offset=0.5)])
    assert values(whole)[0] == [*range(10)]
    assert not whole.notes


def test_merging_leaves_each_files_own_data_alone():
    first, second = data_of(range(3)), data_of(range(3, 5), start=100.0)
    merged([first, second])
    assert len(first.scalars["loss/train"]) == 3 and len(second.scalars["loss/train"]) == 2


def test_torchs_purge_step_voids_what_came_before_it(tmp_path):
    with SummaryWriter(tmp_path, filename_suffix=".1") as writer:
        for step in range(1000):
            writer.add_scalar("loss", float("nan") if step >= 800 else 1.0, step)
            writer.add_scalar("only before", 1.0, step)
    with SummaryWriter(tmp_path, purge_step=500, filename_suffix=".2") as writer:
        for step in range(500, 700):
            writer.add_scalar("loss", 0.5, step)
    run = diagnose.load(tmp_path)
    assert run.scalars["loss/train"].steps.tolist() == [*range(700)]
    assert run.scalars["only before"].steps[-1] == 499
    assert not diagnose.examine(run).findings or all(f.id != "nan_loss" for f in diagnose.examine(run).findings)
    assert any("started again" in note for note in run.notes)


def test_an_evaluation_that_begins_anew_makes_no_step_of_the_training_void(tmp_path):
    with SummaryWriter(tmp_path / "train") as writer:
        for step in range(100):
            writer.add_scalar("loss", 1.0, step)
    with SummaryWriter(tmp_path / "eval", purge_step=0) as writer:
        writer.add_scalar("loss", 2.0, 50)
    run = diagnose.load(tmp_path)
    assert {tag: len(series) for tag, series in run.scalars.items()} == {"loss/train": 100, "loss/validation": 1}
    assert not run.notes


def test_per_layer_values_of_an_evaluation_are_not_those_of_the_training(tmp_path):
    for split, steps in (("train", range(100)), ("validation", range(3))):
        with EventFile(tmp_path / split) as file:
            for step in steps:
                file.write_step(step, 1.7e9 + step, [("loss", 1.0)], {"layers/grad_norm": np.ones(2, "f4")})
    assert len(diagnose.load(tmp_path).layer_signals["layers/grad_norm"]) == 100


def test_hparams_of_tensorboards_plugin_are_the_runs_config(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        writer.add_hparams({"lr": 0.1, "bsize": 32, "name": "one", "flag": True}, {"accuracy": 0.5}, run_name=".")
        writer.add_scalar("loss", 1.0, 1)
    assert diagnose.load(tmp_path).setup.config == {"lr": 0.1, "bsize": 32.0, "name": "one", "flag": True}


def test_ones_own_names_come_first(tmp_path):
    with SummaryWriter(tmp_path / "runs" / "a") as writer:
        for step in range(5):
            writer.add_scalar("mine", step, step)
            writer.add_scalar("loss", -1, step)
    assert diagnose.load(tmp_path / "runs" / "a").names["loss/train"] == "loss"
    run = diagnose.load(tmp_path / "runs" / "a", names={"mine": "loss/train"})
    assert run.names["loss/train"] == "mine" and run.scalars["loss/train"].values.tolist() == [0, 1, 2, 3, 4]
    assert "loss" in run.unmapped
    (tmp_path / "diagnose.toml").write_text('[names]\nmine = "loss/validation"\n')
    assert diagnose.load(tmp_path / "runs" / "a").names["loss/validation"] == "mine"
    (tmp_path / "runs" / "diagnose.toml").write_text("[names\n")
    assert "diagnose.toml was left out" in diagnose.load(tmp_path / "runs" / "a").notes[0]


def test_validation_counted_in_epochs_is_put_by_the_clock():
    from diagnose.logs.epochs import placed
    from diagnose.run import Series

    train = Series(np.arange(0, 1000, 10), np.ones(100), np.arange(100.0))
    epochs = Series(np.arange(4), np.ones(4), np.array([24.5, 49.5, 74.5, 99.0]))
    signals, notes = placed({"loss/train": train, "loss/validation": epochs})
    assert signals["loss/validation"].steps.tolist() == [245, 495, 745, 990]
    assert "by the clock" in notes[0]
    steps = Series(np.array([240, 490]), np.ones(2), np.array([24.5, 49.5]))
    assert placed({"loss/train": train, "loss/validation": steps})[1] == []


def test_steps_that_go_back_and_repeat_are_ordered_and_the_last_counts():
    column = Column()
    column.extend([1, 2, 3], [0, 1, 2], [1, 2, 3])
    column.append(2, 5.0, 20.0)
    column.append(0, 6.0, 0.0)
    series = column.series()
    assert series.steps.tolist() == [0, 1, 2, 3] and series.values.tolist() == [0, 1, 20, 3]


@pytest.mark.parametrize("status", [SessionLog.STOP, SessionLog.CHECKPOINT])
def test_other_session_logs_void_nothing(tmp_path, status):
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("loss", 1.0, 1)
        writer.file_writer.event_writer.add_event(Event(step=0, session_log=SessionLog(status=status)))
    assert len(diagnose.load(tmp_path).scalars["loss/train"]) == 1


def test_settings_that_are_lists_are_lists(tmp_path):
    content = HParamsPluginData()
    content.session_start_info.hparams["sizes"].list_value.extend([1, 2])
    content.session_start_info.hparams["lr"].number_value = 0.5
    metadata = SummaryMetadata(plugin_data={"plugin_name": "hparams", "content": content.SerializeToString()})
    event = Event(summary=Summary(value=[Summary.Value(tag="x", metadata=metadata)]))
    with EventFile(tmp_path) as file:
        file.write_step(1, 1.7e9, [("loss", 1.0)], {})
    with file.path.open("ab") as log:
        log.write(framed(event.SerializeToString()))
    assert diagnose.load(tmp_path).setup.config == {"sizes": [1.0, 2.0], "lr": 0.5}
