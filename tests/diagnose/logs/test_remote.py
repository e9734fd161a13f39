"""Runs behind a URL, from a real S3 server: only what is new is fetched, and what fails is told."""

from __future__ import annotations

import json
import subprocess
import sys

import fsspec
import numpy as np
import pytest

import diagnose
from diagnose import scanning
from diagnose.cli import main
from diagnose.logs import following, remote
from diagnose.logs.loading import FollowedRun
from diagnose.logs.verdicts import Verdicts, state_of
from diagnose.logs.writing import EventFile

FALLING = 0.1 + 2 * np.exp(-np.arange(300) / 40)
NAME = "events.out.tfevents.1"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(remote, "PAUSES_S", (0.0, 0.0))


@pytest.fixture
def content(tmp_path):
    """The bytes of an event file with the losses of steps 1 to n."""

    def of(steps, start=1):
        with EventFile(tmp_path / "made") as file:
            for step, loss in enumerate(FALLING[start - 1 : steps], start):
                file.write_step(step, 1.7e9 + step, [("loss/train", loss), ("lr/group0", 0.1)], {})
        return file.path.read_bytes()

    return of


def steps_of(run):
    return run.scalars["loss/train"].steps.tolist()


def test_a_run_on_s3_is_read_by_one_listing(bucket, content):
    bucket.put(f"runs/a/{NAME}", content(300))
    bucket.put("runs/a/hparams.yaml", b"batch_size: 32\n")
    bucket.put("runs/a/validation/events.out.tfevents.2", content(20))
    run = diagnose.load(f"{bucket.url}/runs/a")
    assert steps_of(run) == list(range(1, 301)) and any(
        len(run.scalars[tag].steps) == 20 for tag in run.scalars if "validation" in tag
    )
    assert run.setup.config["batch_size"] == 32
    assert run.path == f"{bucket.url}/runs/a" and not run.notes
    assert len(bucket.line.reads()) == 3  # each file once
    assert len(bucket.line.asked) <= 8  # a listing, and two requests for a diagnose.toml beside the run


def test_an_event_file_itself_has_a_url(bucket, content):
    bucket.put(f"a/{NAME}", content(30))
    assert steps_of(diagnose.load(f"{bucket.url}/a/{NAME}")) == list(range(1, 31))


def test_an_object_in_parts_is_read_as_one(bucket, content, monkeypatch):
    parts = [content(300)] * 400  # above 5 MB, the least that S3 takes for a part
    whole = b"".join(parts)
    told = bucket.client.create_multipart_upload(Bucket=bucket.name, Key=f"a/{NAME}")
    sent = []
    for number, at in enumerate(range(0, len(whole), 5 << 20), 1):
        where = {"Bucket": bucket.name, "Key": f"a/{NAME}", "UploadId": told["UploadId"], "PartNumber": number}
        answer = bucket.client.upload_part(**where, Body=whole[at : at + (5 << 20)])
        sent.append({"PartNumber": number, "ETag": answer["ETag"]})
    bucket.client.complete_multipart_upload(
        Bucket=bucket.name, Key=f"a/{NAME}", UploadId=told["UploadId"], MultipartUpload={"Parts": sent}
    )
    monkeypatch.setattr(remote.RemoteFile, "window", 1_000_000)
    assert len(sent) > 1
    assert steps_of(diagnose.load(f"{bucket.url}/a"))[-1] == 300
    assert max(size for _, size in bucket.line.given) <= 1_000_000


def test_of_an_object_that_has_grown_only_the_rest_is_fetched(bucket, content):
    whole, cut = content(300), 4000
    bucket.put(f"a/{NAME}", whole[:cut])
    followed = FollowedRun(f"{bucket.url}/a")
    before = steps_of(followed.refresh())
    bucket.put(f"a/{NAME}", whole)
    bucket.line.forget()
    assert steps_of(followed.refresh()) == list(range(1, 301)) and len(before) < 300
    record = len(whole) // 300 + 64  # the one that was incomplete
    marks = 2 * following.MARK  # by which the file is known again
    assert len(whole) - cut <= sum(size for _, size in bucket.line.given) <= len(whole) - cut + record + marks


def test_without_news_nothing_is_fetched(bucket, content):
    bucket.put(f"a/{NAME}", content(30))
    followed = FollowedRun(f"{bucket.url}/a")
    run = followed.refresh()
    bucket.line.forget()
    assert followed.refresh() is run
    assert [path for path in bucket.line.reads() if "tfevents" in path] == []


def test_a_file_that_comes_into_a_folder_of_a_split_is_seen(bucket, content):
    bucket.put(f"a/{NAME}", content(30))
    bucket.put(f"a/train/{NAME}", content(10))
    followed = FollowedRun(f"{bucket.url}/a")
    followed.refresh()
    bucket.put("a/train/events.out.tfevents.2", content(20, start=11))
    assert len(followed.refresh().scalars["train/loss/train"].steps) == 20


def test_an_object_that_was_replaced_is_read_again(bucket, content):
    bucket.put(f"a/{NAME}", content(30))
    followed = FollowedRun(f"{bucket.url}/a")
    followed.refresh()
    bucket.put(f"a/{NAME}", content(20))
    run = followed.refresh()
    assert steps_of(run) == list(range(1, 21)) and "replaced" in run.notes[0]


def test_a_slow_server_is_waited_for(bucket, content):
    bucket.put(f"a/{NAME}", content(300))
    bucket.line.pause_s = 0.01
    assert len(steps_of(diagnose.load(f"{bucket.url}/a"))) == 300


def test_a_connection_that_breaks_once_costs_nothing(bucket, content):
    bucket.put(f"a/{NAME}", content(300))
    bucket.line.cut_after, bucket.line.cuts = 1000, 1
    run = diagnose.load(f"{bucket.url}/a")
    assert len(steps_of(run)) == 300 and not run.notes


def test_one_that_always_breaks_is_told_and_what_was_read_stays(bucket, content, monkeypatch):
    monkeypatch.setattr(remote.RemoteFile, "window", 4000)
    whole = content(300)
    bucket.put(f"a/{NAME}", whole[:8100])
    followed = FollowedRun(f"{bucket.url}/a")
    before = steps_of(followed.refresh())
    bucket.put(f"a/{NAME}", whole)
    bucket.line.cut_after, bucket.line.cuts = 1000, 10**6
    run = followed.refresh()
    assert steps_of(run) == before and len(before) > 50
    assert [note for note in run.notes if "could not be read" in note]
    assert "secret" not in str(run.notes)
    bucket.line.cuts = 0
    run = followed.refresh()
    assert len(steps_of(run)) == 300 and not [note for note in run.notes if "could not be read" in note]


def test_a_run_of_which_nothing_can_be_read_says_why(bucket, content):
    bucket.put(f"a/{NAME}", content(300))
    bucket.line.cut_after, bucket.line.cuts = 30, 10**6
    with pytest.raises(diagnose.NoRunError, match=r"could not be read"):
        diagnose.load(f"{bucket.url}/a")


def test_a_server_that_is_down_is_one_sentence(bucket, capsys):
    bucket.line.down = True
    assert main(["report", f"{bucket.url}/a"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"diagnose: {bucket.url}/a could not be listed (") and told.count("\n") == 1


def test_nothing_there_is_one_sentence(bucket):
    with pytest.raises(diagnose.NoRunError, match=f"Nothing at {bucket.url}/none"):
        diagnose.load(f"{bucket.url}/none")
    with pytest.raises(diagnose.NoRunError, match="No folder at s3://no-such-bucket"):
        list(diagnose.find_runs("s3://no-such-bucket/runs"))


def test_a_driver_that_is_not_installed_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(diagnose.DiagnoseError, match=r"gs:// needs a driver; install torch-diagnose\[gcs\]"):
        diagnose.load("gs://bucket/run")
    with pytest.raises(diagnose.DiagnoseError, match="no driver takes zork://"):
        diagnose.load("zork://bucket/run")


def test_passwords_and_signatures_are_never_shown():
    with pytest.raises(diagnose.DiagnoseError, match="holds a password") as caught:
        diagnose.load("https://me:hunter2@example.org/run")
    assert "hunter2" not in str(caught.value)
    assert remote.shown("https://example.org/events?X-Amz-Signature=abc#d") == "https://example.org/events"
    assert remote.shown("s3://bucket/run#2") == "s3://bucket/run#2"


def test_a_table_on_s3_is_a_run(bucket):
    bucket.put("a/metrics.csv", b"step,train_loss\n" + b"".join(b"%d,%f\n" % (s, x) for s, x in enumerate(FALLING)))
    assert len(diagnose.load(f"{bucket.url}/a").scalars["loss/train"].steps) == 300
    bucket.put("b/metrics.csv", b"name\nonly text\n")
    with pytest.raises(diagnose.NoRunError, match=f"^{bucket.url}/b/metrics.csv holds no column of numbers"):
        diagnose.load(f"{bucket.url}/b")


def test_mlflows_folder_on_s3_is_a_run_and_keys_lead_nowhere_else(bucket):
    bucket.put("m/meta.yaml", b"run_id: 1\n")
    bucket.put("m/metrics/train_loss", b"".join(b"1700000000000 %f %d\n" % (x, s) for s, x in enumerate(FALLING)))
    bucket.put("m/params/lr", b"0.1")
    bucket.put("m/params/../../../escaped", b"0.1")
    run = diagnose.load(f"{bucket.url}/m")
    assert len(run.scalars["loss/train"].steps) == 300 and run.setup.config["lr"] == 0.1


def test_own_names_lie_beside_the_runs(bucket):
    rows = b"".join(b"%d,%f\n" % (s, x) for s, x in enumerate(FALLING))
    bucket.put("runs/a/metrics.csv", b"step,zork\n" + rows)
    bucket.put("runs/diagnose.toml", b'[names]\nzork = "loss/train"\n')
    assert "loss/train" in diagnose.load(f"{bucket.url}/runs/a").scalars


def test_runs_are_found_by_one_listing(bucket, content):
    for name in ("a", "b/c", "b/d"):
        bucket.put(f"runs/{name}/{NAME}", content(3))
    bucket.put("runs/e/metrics.csv", b"step,loss\n1,2\n")
    bucket.put("runs/.hidden/metrics.csv", b"step,loss\n1,2\n")
    assert list(diagnose.find_runs(f"{bucket.url}/runs")) == [
        f"{bucket.url}/runs/{n}" for n in ("a", "b/c", "b/d", "e")
    ]
    assert len(bucket.line.asked) == 1


def test_a_second_scan_reads_nothing(bucket, content, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DIAGNOSE_CACHE", str(tmp_path / "cache"))
    for name in ("a", "b"):
        bucket.put(f"runs/{name}/{NAME}", content(300))
    command = ["scan", f"{bucket.url}/runs", "--jobs", "1", "--format", "jsonl"]
    assert main(command) == 0
    first = capsys.readouterr().out
    assert len(bucket.line.reads()) >= 2
    bucket.line.forget()
    assert main(command) == 0
    assert capsys.readouterr().out == first
    assert (len(bucket.line.reads()), len(bucket.line.listings())) == (0, 1)
    bucket.put(f"runs/b/{NAME}", content(200))
    bucket.line.forget()
    assert main(command) == 0
    assert {json.loads(line)["steps"] for line in capsys.readouterr().out.splitlines()} == {200, 300}
    assert {path for path in bucket.line.reads() if "tfevents" in path} == {f"/{bucket.name}/runs/b/{NAME}"}


def test_a_scan_in_memory(content, tmp_path):
    files = fsspec.filesystem("memory")
    files.pipe_file(f"/scanned/a/{NAME}", content(300))
    known = Verdicts(tmp_path)
    paths = scanning.runs_below("memory://scanned")
    (verdict,) = scanning.scan(paths, known)
    assert verdict.health == "healthy" and verdict.steps == 300
    assert known.remembered(state_of(paths[0])) is not None
    files.pipe_file(f"/scanned/a/{NAME}", content(200))
    assert known.remembered(state_of(paths[0])) is None
    files.rm("/scanned", recursive=True)


def test_the_dashboard_says_that_it_reads_this_machine(capsys):
    assert main(["dashboard", "s3://bucket/runs"]) == 2
    assert "folders of this machine" in capsys.readouterr().err


def test_a_path_of_this_machine_opens_no_driver(content, tmp_path):
    content(5)
    program = (
        f"import sys, diagnose; diagnose.load({str(tmp_path / 'made')!r}); "
        "print([name for name in ('fsspec', 'upath', 's3fs', 'diagnose.logs.remote') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3://bucket/user@home/run", "s3://bucket/user@home/run"),
        ("s3://KEY:SE/CRET@bucket/x", "s3://bucket/x"),
        ("https://ghp_TOKEN@host/x?sig=SECRET#part", "https://host/x"),
        ("az://store/x?sig=SECRET", "az://store/x"),
        ("simplecache::https://host/x?sig=SECRET", "simplecache::https://host/x"),
        ("/home/me/runs/a", "/home/me/runs/a"),
    ],
)
def test_what_people_see_of_an_address_holds_no_secret(url, told):
    assert remote.shown(url) == told
