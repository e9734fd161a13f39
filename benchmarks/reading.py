"""How fast event files are read, ours beside others: python benchmarks/reading.py [--scalars 1000000] [-o out]

Every reader reads the same files, in turn, the best of three (of one for those that take longer than ten
seconds), until all values are in memory. Checksums are checked by all but tbparse, which skips none either.
--corpus FOLDER adds whatever event files lie below a folder. -o writes reading.md and reading.json to a directory.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tables
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

import diagnose
from diagnose.logs import reading
from diagnose.logs.records import framed
from diagnose.logs.writing import EventFile

LAYERS = 200
RUNS, TAGS, STEPS = 200, 20, 1000
SLOW_S = 10.0  # what takes longer is read once

Reader = Callable[[Path], int]  # reads all runs below a folder and returns the number of scalars


@dataclass(frozen=True)
class Speed:
    """One reader on one set of files."""

    files: str
    reader: str
    seconds: float
    scalars: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scalars", type=int, default=1_000_000)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("-o", "--output", type=Path, metavar="DIRECTORY")
    options = parser.parse_args()
    speeds: list[Speed] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, root in written(Path(folder), options.scalars, options.corpus):
            for reader_name, reader in readers().items():
                speeds.append(measured(name, root, reader_name, reader))
                print(f"{name}: {reader_name}: {speeds[-1].seconds:.2f} s", flush=True)
    table = tables.markdown(("files", "reader", "seconds", "scalars", "scalars/s", "× EventAccumulator"), rows(speeds))
    print(f"\n{tables.machine()}\n\n{table}")
    if options.output:
        tables.write(options.output, "reading", table, speeds)


def written(folder: Path, scalars: int, corpus: Path | None) -> Iterator[tuple[str, Path]]:
    """Write each set of files and yield its name and folder."""
    (folder / "million").mkdir(parents=True)
    with (folder / "million" / "events.out.tfevents.1").open("wb") as file:
        for number in range(scalars):
            value = Summary.Value(tag=f"metric_{number % TAGS}/train", simple_value=float(np.sin(number)))
            event = Event(wall_time=1.7e9 + number, step=number // TAGS, summary=Summary(value=[value]))
            file.write(framed(event.SerializeToString()))
    yield f"{scalars:,} scalars, one a record", folder / "million"
    for run in range(RUNS):
        with EventFile(folder / "many" / str(run)) as events:
            for step in range(STEPS):
                events.write_step(step, 1.7e9 + step, [(f"metric_{tag}", step + tag) for tag in range(TAGS)], {})
    yield f"{RUNS} runs of {TAGS} tags by {STEPS:,} steps", folder / "many"
    with EventFile(folder / "layers" / "run") as events:
        for step in range(20_000):
            vectors = {f"layers/{name}": np.full(LAYERS, step, np.float32) for name in ("a", "b")}
            events.write_step(step, 1.7e9 + step, [("loss/train", step)], vectors)
    yield f"20,000 steps with 2 vectors of {LAYERS} layers", folder / "layers"
    if corpus is not None:
        yield str(corpus.name), corpus


def readers() -> Mapping[str, Reader]:
    """Ours, and those of others that are installed."""
    found: dict[str, Reader] = {"diagnose": ours, "diagnose, without Numba": ours_one_by_one}
    found["EventAccumulator"] = event_accumulator
    try:
        import tbparse  # noqa: F401
    except ImportError:
        pass
    else:
        found["tbparse"] = with_tbparse
    try:
        import tensorboard_data_server  # noqa: F401
    except ImportError:
        pass
    else:
        found["Rust data server and gRPC"] = data_server
    return found


def ours(root: Path) -> int:
    """Read every run below `root`."""
    runs = [diagnose.load(path) for path in diagnose.find_runs(root)]
    return sum(len(series) for run in runs for series in run.scalars.values())


def ours_one_by_one(root: Path) -> int:
    """The same without what is compiled."""
    fast_from, reading.FAST_FROM = reading.FAST_FROM, 2**60  # type: ignore[misc]
    try:
        return ours(root)
    finally:
        reading.FAST_FROM = fast_from  # type: ignore[misc]


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
    total, before = 0, -1
    while total != before:  # it serves what it has read so far
        before = total
        told = provider.read_scalars(ctx, experiment_id="", plugin_name="scalars", downsample=10**9)
        total = sum(len(series) for run in told.values() for series in run.values())
    ingester._process.kill()  # nothing public ends it before the interpreter does
    return total


def measured(files: str, root: Path, name: str, reader: Reader) -> Speed:
    """The best of three readings, or the only one of a slow reader."""
    best, count = float("inf"), 0
    for _ in range(3):
        start = time.perf_counter()
        count = reader(root)
        best = min(best, time.perf_counter() - start)
        if best > SLOW_S:
            break
    return Speed(files, name, best, count)


def rows(speeds: list[Speed]) -> Iterator[list[str]]:
    """A row for each reader on each set of files."""
    for one in speeds:
        theirs = next(s.seconds for s in speeds if s.files == one.files and s.reader == "EventAccumulator")
        yield [
            one.files,
            one.reader,
            f"{one.seconds:.2f}",
            f"{one.scalars:,}",
            f"{one.scalars / one.seconds:,.0f}",
            f"{theirs / one.seconds:.0f}",
        ]


if __name__ == "__main__":
    main()
