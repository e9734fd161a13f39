"""Links in a folder that somebody else made: how far they are followed, and what is said where they are not."""

from __future__ import annotations

import pytest

import diagnose
from diagnose.cli import main
from diagnose.logs.verdicts import Verdicts
from diagnose.logs.writing import EventFile
from diagnose.scanning import runs_below, scan

TABLE = "step,train_loss,stolen\n" + "".join(f"{step},{2 / (step + 1)},7\n" for step in range(60))
STATE = '{"log_history": [{"step": 1, "loss": 2.0, "stolen": 7}, {"step": 2, "loss": 1.0, "stolen": 7}]}'


@pytest.fixture
def outside(tmp_path):
    """A run that lies beside the folder of runs: an event file, a table, a trainer's state."""
    folder = tmp_path / "outside"
    with EventFile(folder) as log:
        for step in range(60):
            log.write_step(step, step, [("loss/train", 2 / (step + 1)), ("stolen", 7.0)], {})
    log.path.rename(folder / "events.out.tfevents.1")
    (folder / "metrics.csv").write_text(TABLE)
    (folder / "trainer_state.json").write_text(STATE)
    return folder


@pytest.fixture
def root(tmp_path):
    (tmp_path / "runs" / "a").mkdir(parents=True)
    return tmp_path / "runs"


@pytest.mark.parametrize("name", ["events.out.tfevents.1", "metrics.csv", "trainer_state.json"])
def test_a_log_that_is_a_link_out_of_the_run_is_not_read_and_the_way_is_told(root, outside, name, capsys):
    (root / "a" / name).symlink_to(outside / name)
    with pytest.raises(diagnose.NoRunError, match=r"links to places outside .* name the file"):
        diagnose.load(root / "a")
    assert main(["report", str(root / "a")]) == 2
    assert main(["scan", str(root), "--no-cache", "--jobs", "1", "--format", "jsonl"]) == 2
    told = capsys.readouterr()
    assert "stolen" not in told.out + told.err and "links to places outside" in told.out
    assert len(diagnose.load(outside / name).scalars["stolen"]) > 0  # what stands there can be read


@pytest.mark.parametrize("protocol", ["file", "local"])
def test_the_same_holds_where_a_folder_of_this_machine_is_named_by_its_url(root, outside, protocol, capsys):
    (root / "a" / "metrics.csv").symlink_to(outside / "metrics.csv")
    with pytest.raises(diagnose.NoRunError, match="links to places outside"):
        diagnose.load(f"{protocol}://{root}/a")
    (root / "a" / "metrics.csv").unlink()
    (root / "a" / "metrics.csv").write_text(TABLE)
    assert diagnose.load(f"{protocol}://{root}/a").steps == 59
    assert main(["scan", f"{protocol}://{root}", "--no-cache", "--jobs", "1", "--format", "csv"]) == 0
    assert "healthy" in capsys.readouterr().out


def test_a_checkpoint_behind_a_link_is_not_read(root, outside):
    (root / "a" / "checkpoint-2").symlink_to(outside)
    with pytest.raises(diagnose.NoRunError, match="links to places outside"):
        diagnose.load(root / "a")


def test_what_lies_in_the_run_itself_is_read_and_the_rest_is_noted(root, outside):
    (root / "a" / "events.out.tfevents.1").symlink_to(outside / "events.out.tfevents.1")
    with EventFile(root / "a") as log:
        log.write_step(0, 0, [("loss/train", 1.0)], {})
    (root / "a" / "events.out.tfevents.2").symlink_to(log.path)
    run = diagnose.load(root / "a")
    assert set(run.names) == {"loss/train"} and "stolen" not in run.scalars
    (note,) = run.notes
    assert note == f"events.out.tfevents.1 was left out: it is a link to a place outside {root / 'a'}."


def test_whoever_names_a_link_means_what_it_leads_to(root, outside):
    (root / "latest").symlink_to(outside)
    (root / "file").symlink_to(outside / "events.out.tfevents.1")
    (root / "table.csv").symlink_to(outside / "metrics.csv")
    for name in ("latest", "file", "table.csv"):
        assert len(diagnose.load(root / name).scalars["stolen"]) == 60
    assert main(["report", str(root / "latest")]) == 0


def test_a_scan_follows_links_as_far_as_they_stay_below_its_folder(root, outside, tmp_path):
    (root / "a" / "metrics.csv").write_text(TABLE)
    for name, target in (("within", root / "a"), ("out", outside)):
        (root / name).mkdir()
        (root / name / "metrics.csv").symlink_to(target / "metrics.csv")
    verdicts = Verdicts(tmp_path / "cache")
    for _ in range(2):  # the second time what was found is remembered
        every = {v.run.rsplit("/", 1)[1]: v for v in scan(runs_below(str(root)), verdicts, links_within=root)}
        assert {name: verdict.steps for name, verdict in every.items()} == {"a": 59, "within": 59, "out": 0}
        assert f"outside {root}" in every["out"].error
    (alone,) = scan([str(root / "within")], verdicts)  # for those who name it alone, it leads out of what they named
    assert alone.health == "unreadable"
    verdicts.close()


def test_names_behind_a_link_out_of_their_folder_are_not_taken(root, tmp_path):
    (root / "a" / "metrics.csv").write_text(TABLE)
    (tmp_path / "other.toml").write_text('[names]\nstolen = "loss/validation"\n')
    (root / "a" / "diagnose.toml").symlink_to(tmp_path / "other.toml")
    run = diagnose.load(root / "a")
    assert "loss/validation" not in run.names
    assert run.notes == (f"diagnose.toml was left out: it is a link to a place outside {root / 'a'}.",)


def test_not_even_the_names_in_a_folder_behind_mlflows_link_are_told(root, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "secret").write_text("1000 0.5 1")
    (root / "a" / "meta.yaml").write_text("run_id: abc\n")
    (root / "a" / "metrics").mkdir()
    (root / "a" / "metrics" / "loss").write_text("".join(f"{10**12 + n} {1 / (n + 1)} {n}\n" for n in range(30)))
    (root / "a" / "params").symlink_to(tmp_path / "home")
    notes = " ".join(diagnose.load(root / "a").notes)
    assert "params was left out" in notes and "secret" not in notes
