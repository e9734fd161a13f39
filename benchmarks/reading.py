"""How fast event files are read, ours beside others: python benchmarks/reading.py [--scalars 1000000] [-o out]

Every reader reads the same files in a process of its own, after a small file that loads what it needs: the best of
three readings (of one for those that take longer than ten seconds), until all values are in memory, and the peak of
memory over what the process held before the first. Checksums are checked by all.
--corpus FOLDER adds whatever event files lie below a folder. -o writes reading.md and reading.json to a directory.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import tables
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

import diagnose
from diagnose.logs import reading
from diagnose.logs.records import framed
from diagnose.logs.writing import EventFile

LAYERS = 200
TAGS, STEPS = 20, 1000
PATIENCE_S = 60.0  # with the data server, which tells less than all where runs lie in one another
SLOW_S = 10.0  # what takes longer is read once
MB = 1e6

Reader = Callable[[Any], int]  # reads all runs below a folder and returns the number of scalars


@dataclass(frozen=True)
class Speed:
    """One reader on one set of files."""

    files: str
    reader: str
    seconds: float
    scalars: int
    peak_mb: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scalars", type=int, default=1_000_000)
    parser.add_argument("--corpus", type=Path, nargs="*", default=())
    parser.add_argument("-o", "--output", type=Path, metavar="DIRECTORY")
    options = parser.parse_args()
    speeds: list[Speed] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DIAGNOSE_CACHE"] = "off"
        write_scalars(Path(folder) / "warm", 120_000)
        for name, root in written(Path(folder), options.scalars, options.corpus):
            for reader in READERS:
                too_slow = reader in SLOW and f"{4 * options.scalars:,}" in name
                elsewhere = "://" in str(root) and reader != "diagnose"
                if find_spec(NEEDS.get(reader, "numpy")) and not too_slow and not elsewhere:
                    speeds.append(in_its_own_process(name, root, reader, Path(folder)))
                    print(f"{name}: {reader}: {speeds[-1].seconds:.3f} s, {speeds[-1].peak_mb:.0f} MB", flush=True)
    heads = ("files", "reader", "seconds", "scalars", "scalars/s", "× EventAccumulator", "peak memory")
    table = tables.markdown(heads, rows(speeds))
    print(f"\n{tables.machine()}\n\n{table}")
    if options.output:
        tables.write(options.output, "reading", table, speeds)


def written(folder: Path, scalars: int, corpus: Sequence[Path]) -> Iterator[tuple[str, Path | str]]:
    """Write each set of files and yield its name and folder."""
    for number in (scalars // 4, scalars, 4 * scalars):
        yield f"{number:,} scalars, one a record", write_scalars(folder / f"scalars{number}", number)
    yield f"200 runs of {TAGS} tags by {STEPS:,} steps", write_runs(folder / "many", 200, TAGS, STEPS)
    if find_spec("moto") and find_spec("s3fs"):
        yield (
            f"100 of them on S3 (moto's server on this machine), {TAGS} tags by {STEPS:,} steps",
            on_s3(folder / "many"),
        )
    yield "5,000 runs of 2 tags by 50 steps", write_runs(folder / "thousands", 5000, 2, 50)
    yield "one run of 12,345 tags by 20 steps", write_runs(folder / "tags", 1, 12_345, 20)
    yield "10,000 scalars beside 2,000 images of 100 kB", write_images(folder / "images")
    with EventFile(folder / "layers" / "run") as events:
        for step in range(20_000):
            vectors = {f"layers/{name}": np.full(LAYERS, step, np.float32) for name in ("a", "b")}
            events.write_step(step, 1.7e9 + step, [("loss/train", step)], vectors)
    yield f"20,000 steps with 2 vectors of {LAYERS} layers", folder / "layers"
    yield from ((path.name, path) for path in corpus)


def write_scalars(folder: Path, scalars: int) -> Path:
    """One file as SummaryWriter.add_scalar writes it."""
    folder.mkdir(parents=True)
    with (folder / "events.out.tfevents.1").open("wb") as file:
        for number in range(scalars):
            value = Summary.Value(tag=f"metric_{number % TAGS}/train", simple_value=float(np.sin(number)))
            event = Event(wall_time=1.7e9 + number, step=number // TAGS, summary=Summary(value=[value]))
            file.write(framed(event.SerializeToString()))
    return folder


def write_runs(folder: Path, runs: int, tags: int, steps: int) -> Path:
    """Runs of scalars, all tags of a step in one record."""
    for run in range(runs):
        with EventFile(folder / str(run)) as events:
            for step in range(steps):
                events.write_step(step, 1.7e9 + step, [(f"metric_{tag}", step + tag) for tag in range(tags)], {})
    return folder


def on_s3(folder: Path) -> str:
    """The first hundred runs on a server of its own thread, and their URL."""
    import boto3
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "AKIAFAKEFAKEFAKEFAKE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": "http://{}:{}".format(*server.get_host_and_port()),
    }
    client = boto3.client("s3")
    client.create_bucket(Bucket="runs")
    for run in sorted(folder.iterdir())[:100]:
        for path in run.iterdir():
            client.upload_file(str(path), "runs", f"many/{run.name}/{path.name}")
    return "s3://runs/many"


def write_images(folder: Path) -> Path:
    """Scalars, and now and then an image."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).bytes(100_000)
    with (folder / "events.out.tfevents.1").open("wb") as file:
        for step in range(10_000):
            value = [Summary.Value(tag="loss", simple_value=1.0)]
            if step % 5 == 0:
                image = Summary.Image(height=100, width=100, encoded_image_string=noise)
                value.append(Summary.Value(tag="samples", image=image))
            file.write(framed(Event(wall_time=1.7e9, step=step, summary=Summary(value=value)).SerializeToString()))
    return folder


def ours(root: Path | str) -> int:
    """Read every run below `root`."""
    runs = [diagnose.load(path) for path in diagnose.find_runs(root)]
    return sum(len(series) for run in runs for series in run.scalars.values())


def ours_one_by_one(root: Path) -> int:
    """The same without what is compiled."""
    fast_from, reading.FAST_FROM = reading.FAST_FROM, 2**60  # type: ignore[misc]  # Final but for here
    try:
        return ours(root)
    finally:
        reading.FAST_FROM = fast_from  # type: ignore[misc]  # and as it was


def ours_again(root: Path) -> int:
    """The same with a cache, from the second reading on."""
    os.environ["DIAGNOSE_CACHE"] = str(root.parent / f"{root.name}-cache")
    return ours(root)


def event_accumulator(root: Path) -> int:
    """TensorBoard's own reader in Python."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    count = 0
    for path in diagnose.find_runs(root):
        accumulator = EventAccumulator(path, size_guidance={"scalars": 0, "tensors": 0}).Reload()
        count += sum(len(accumulator.Scalars(tag)) for tag in accumulator.Tags()["scalars"])
    return count


def with_tbparse(root: Path) -> int:
    """All scalars as one data frame."""
    from tbparse import SummaryReader

    return len(SummaryReader(str(root), extra_columns={"wall_time", "dir_name"}).scalars)


@cache
def scalars_below(root: Path) -> int:
    """How many there are; known before the second reading begins."""
    return ours(root)


def data_server(root: Path) -> int:
    """TensorBoard's data server, all scalars fetched from it."""
    from tensorboard import context
    from tensorboard.data import server_ingester
    from tensorboard.util import grpc_util

    ingester = server_ingester.SubprocessServerDataIngester(
        server_binary=server_ingester.get_server_binary(),
        logdir=str(root),
        reload_interval=1_000_000,
        channel_creds_type=grpc_util.ChannelCredsType.LOCAL,
        samples_per_plugin={"scalars": 10**9},
        extra_flags=[],
    )
    ingester.start()
    provider, ctx = ingester.data_provider, context.RequestContext()
    until = time.perf_counter() + PATIENCE_S
    total, expected = 0, scalars_below(root)
    while total < expected and time.perf_counter() < until:  # it serves what it has read so far
        told = provider.read_scalars(ctx, experiment_id="", plugin_name="scalars", downsample=10**9)
        total = sum(len(series) for run in told.values() for series in run.values())
    ingester._stdin_handle.close()  # nothing public ends it before the interpreter does
    return total


READERS: Mapping[str, Reader] = {
    "diagnose": ours,
    "diagnose, opened again": ours_again,
    "diagnose, without Numba": ours_one_by_one,
    "EventAccumulator": event_accumulator,
    "tbparse": with_tbparse,
    "Rust data server, memory of its client": data_server,
}
NEEDS: Mapping[str, str] = {"tbparse": "tbparse", "Rust data server, memory of its client": "tensorboard_data_server"}
SLOW: frozenset[str] = frozenset({"EventAccumulator", "tbparse", "diagnose, without Numba"})


def in_its_own_process(files: str, root: Path | str, reader: str, folder: Path) -> Speed:
    """Measure one reader on one set of files; what one leaves in memory is no other's."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        seconds, count, peak_mb = pool.apply(measured, (root, reader, folder / "warm"))
    return Speed(files, reader, seconds, count, peak_mb)


def measured(root: Path | str, reader: str, warm: Path) -> tuple[float, int, float]:
    """The best of three readings, or the only one of a slow reader; the scalars; the first reading's peak in MB."""
    read = READERS[reader]
    if reader not in SLOW:
        read(warm)
    if reader == "diagnose, opened again":
        read(root)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    best, peak_mb = float("inf"), 0.0
    for _ in range(3):
        start = time.perf_counter()
        count = read(root)
        best = min(best, time.perf_counter() - start)
        peak_mb = peak_mb or (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / MB
        if best > SLOW_S:
            break
    return best, count, peak_mb


def rows(speeds: list[Speed]) -> Iterator[list[str]]:
    """A row for each reader on each set of files."""
    for one in speeds:
        theirs = [s.seconds for s in speeds if s.files == one.files and s.reader == "EventAccumulator"]
        yield [
            one.files,
            one.reader,
            f"{one.seconds:.3g}",
            f"{one.scalars:,}",
            f"{one.scalars / one.seconds:,.0f}",
            f"{theirs[0] / one.seconds:,.1f}" if theirs else "–",
            f"{one.peak_mb:,.0f} MB",
        ]


if __name__ == "__main__":
    main()
