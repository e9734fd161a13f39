"""Many runs at once: each examined, one line each, and what they have in common."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, Literal

import joblib
import numpy as np
from scipy.stats import ks_2samp

from diagnose.errors import DiagnoseError, InvalidArgumentError
from diagnose.examination import examine
from diagnose.findings import Severity
from diagnose.logs.discovery import runs_and_unlisted
from diagnose.logs.loading import FollowedRun
from diagnose.logs.printable import printable
from diagnose.logs.verdicts import Verdicts, state_of
from diagnose.prescriptions.doses.rate import current_lr

Engine = Literal["local", "dask", "ray"]
TELLING: Final = 0.5  # the share of ill runs above a rate less that of the others: less is not worth a sentence
BY_CHANCE: Final = 0.01  # how likely rates drawn at random may differ as much
ADDRESSES: Final = {"dask": "DASK_SCHEDULER_ADDRESS", "ray": "RAY_ADDRESS"}  # the environment's, of a cluster
AT_A_TIME: Final = 200  # runs, where a backend gives them all together
KILLED: Final = "Its examination ended the process, as happens where memory is short."
FEWEST: Final = 5  # ill runs, and well ones, of which something is said in common


@dataclass(frozen=True)
class Verdict:
    """One run in one line; `health` is “healthy”, a severity, or “unreadable” with `error` saying why."""

    run: str
    health: str
    steps: int = 0
    worst_finding: str = ""
    summary: str = ""
    likeliest_cause: str = ""
    probability: float | None = None
    lr: float | None = None
    error: str = ""
    complete: bool = True  # false where a file of it could not be read, this time


def verdict_of(path: str, links_within: str | os.PathLike[str] | None = None) -> Verdict:
    """Examine one run; whatever is wrong with its files becomes part of the verdict.

    Links in its folder are followed as far as they stay below `links_within`, else below the run's own folder.
    """
    try:
        diagnosis = examine(path if links_within is None else FollowedRun(path, links_within=links_within).refresh())
    except (DiagnoseError, OSError, MemoryError) as error:
        return Verdict(path, "unreadable", error=printable(str(error) or type(error).__name__))
    except Exception as error:  # noqa: BLE001  one run must not end the scan of a thousand
        return Verdict(path, "unreadable", error=printable(f"{type(error).__name__}: {error}"))
    worst = max(diagnosis.findings, key=lambda finding: (finding.severity.rank, finding.confidence), default=None)
    if worst is None or worst.severity is Severity.INFO:
        rate, complete = current_lr(diagnosis.run), diagnosis.run.complete
        return Verdict(path, "healthy", diagnosis.run.steps, lr=rate, complete=complete)
    cause = diagnosis.causes[0] if diagnosis.causes else None
    return Verdict(
        run=path,
        health=worst.severity.value,
        steps=diagnosis.run.steps,
        worst_finding=worst.id,
        summary=worst.summary,
        likeliest_cause=cause.id if cause is not None else "",
        probability=cause.probability if cause is not None else None,
        lr=current_lr(diagnosis.run),
        complete=diagnosis.run.complete,
    )


def scan(
    paths: Sequence[str],
    verdicts: Verdicts | None,
    *,
    jobs: int = 1,
    engine: Engine = "local",
    links_within: str | os.PathLike[str] | None = None,
) -> Iterator[Verdict]:
    """Yield each run's verdict as it comes, those first that `verdicts` remembers and keeps up.

    Links are followed as `verdict_of` says.

    `jobs` processes work on this machine (−1 for all cores), or an existing cluster: `engine` "dask" uses the
    current `distributed.Client`, "ray" the running Ray. Raises `InvalidArgumentError` where that is not there.
    """
    left: dict[str, str] = {}  # path -> its state before anyone looks at it: it may be growing
    for path in paths:
        state = _state(path, links_within) if verdicts is not None else ""
        known = _known(path, verdicts.remembered(state)) if verdicts is not None else None
        if known is not None:
            yield known
        else:
            left[path] = state
    with _engine(engine):
        for verdict in _examined({path: joblib.delayed(verdict_of)(path, links_within) for path in left}, jobs, engine):
            if verdicts is not None and verdict.health != "unreadable" and verdict.complete:
                verdicts.remember(left[verdict.run], vars(verdict))
            yield verdict


def _state(path: str, links_within: str | os.PathLike[str] | None) -> str:
    try:
        return state_of(path, links_within)
    except (DiagnoseError, OSError):  # a folder that cannot be entered: the examination says why
        return ""


def _known(path: str, found: Mapping[str, Any] | None) -> Verdict | None:
    try:
        return Verdict(**{**found, "run": path}) if found is not None else None
    except TypeError:  # kept by a version that said other things
        return None


def _examined(examinations: Mapping[str, Any], jobs: int, engine: Engine) -> Iterator[Verdict]:
    """Each run's verdict, by its examination: the call of `verdict_of`, put off."""
    if engine == "local":
        yield from _examined_here(examinations, jobs)
    elif engine == "dask":
        yield from joblib.Parallel(n_jobs=-1, return_as="generator_unordered")(examinations.values())
    else:
        work = joblib.Parallel(n_jobs=-1)  # Ray's backend gives nothing before all of it is done
        every = list(examinations.values())
        for start in range(0, len(every), AT_A_TIME):
            yield from work(every[start : start + AT_A_TIME])


def _examined_here(examinations: Mapping[str, Any], jobs: int) -> Iterator[Verdict]:
    """Each run's verdict. Where a process is killed, those that were under way are examined again, one at a time."""
    left = dict(examinations)
    while left:
        under_way: dict[str, Any] = {}

        def begun(under_way: dict[str, Any] = under_way) -> Iterator[Any]:
            for path, examination in list(left.items()):
                under_way[path] = examination
                yield examination

        try:
            for verdict in joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(begun()):
                del left[verdict.run], under_way[verdict.run]
                yield verdict
        except BrokenProcessPool:
            for path, examination in list(under_way.items()):
                del left[path]
                yield _examined_alone(path, examination)


def _examined_alone(path: str, examination: Any) -> Verdict:
    """The verdict on one run, from a process that does nothing else: if that is killed, it was this run's doing."""
    try:
        verdict: Verdict = joblib.Parallel(n_jobs=2)([examination])[0]
    except BrokenProcessPool:
        return Verdict(path, "unreadable", error=KILLED)
    return verdict


def runs_below(root: str) -> list[str]:
    """All runs below `root`, and the folders that cannot be listed: each is said to be unreadable.

    Raises `NoRunError` where `root` is no directory.
    """
    runs, unlisted = runs_and_unlisted(root)
    return [*runs, *unlisted]


def in_common(verdicts: Iterable[Verdict]) -> Iterator[str]:
    """What a folder's runs have in common, a sentence each: how many are ill, of what, and at which rates."""
    every = list(verdicts)
    if not every:
        yield "No run was found."
        return
    counts = Counter(verdict.health for verdict in every)
    yield f"{len(every):,} runs: " + ", ".join(f"{count:,} {health}" for health, count in counts.most_common()) + "."
    for finding, count in Counter(v.worst_finding for v in every if v.worst_finding).most_common():
        ill = [verdict for verdict in every if verdict.worst_finding == finding]
        split = _telling_rate(ill, [verdict for verdict in every if verdict.health == "healthy"])
        rates = f"; {split[1]:,} of them with lr above {split[0]:.3g}" if split else ""
        yield f"{count:,} of {len(every):,} runs: {finding}{rates}."


def _telling_rate(ill: Sequence[Verdict], well: Sequence[Verdict]) -> tuple[float, int] | None:
    """The learning rate that best tells the ill from the well, and how many ill runs lie above it; None without one.

    Where the two shares above a rate differ most is Kolmogorov's and Smirnov's statistic, and tells how likely chance
    would do as much.
    """
    bad = np.sort([verdict.lr for verdict in ill if verdict.lr is not None])
    good = np.sort([verdict.lr for verdict in well if verdict.lr is not None])
    if min(len(bad), len(good)) < FEWEST:
        return None
    rates = np.unique(good)
    gaps = np.searchsorted(good, rates, "right") / len(good) - np.searchsorted(bad, rates, "right") / len(bad)
    best = int(np.argmax(gaps))
    if gaps[best] < TELLING or ks_2samp(bad, good, alternative="less").pvalue > BY_CHANCE:
        return None
    return float(rates[best]), int((bad > rates[best]).sum())


def _engine(engine: Engine) -> AbstractContextManager[Any]:
    if engine == "local":
        return nullcontext()
    try:
        {"dask": _join_dask, "ray": _join_ray}[engine]()
    except KeyError as error:
        raise InvalidArgumentError(f"engine={engine!r}: expected local, dask or ray.") from error
    except ImportError as error:
        raise InvalidArgumentError(f"--engine {engine} needs the package {error.name}.") from error
    except (ValueError, OSError) as error:
        raise InvalidArgumentError(
            f"--engine {engine}: no cluster to work on; {ADDRESSES[engine]} names its address ({error})."
        ) from error
    cluster: AbstractContextManager[Any] = joblib.parallel_config(backend=engine)
    return cluster


def _join_dask() -> None:
    """The client that is there, or one of the cluster that DASK_SCHEDULER_ADDRESS names."""
    from distributed import Client, get_client

    try:
        get_client()
    except ValueError:
        address = os.environ.get("DASK_SCHEDULER_ADDRESS")
        if not address:
            raise
        Client(address)  # type: ignore[no-untyped-call]


def _join_ray() -> None:
    """The Ray that runs in this process, or the cluster that runs on this machine or at RAY_ADDRESS."""
    import ray
    from ray.util.joblib import register_ray

    if not ray.is_initialized():
        ray.init(address="auto")
    register_ray()
