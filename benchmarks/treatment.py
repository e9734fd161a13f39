"""How many ill trainings the doctor cures alone: python benchmarks/treatment.py [--seeds 30 31] [--jobs 2] [-o out]

Each kind of fault of the fixtures, in each task that has it, with seeds that no fixture has, is treated by
`diagnose.treat` (at most three rounds), if it really shows by the fixtures' criteria. Cured is what ends healthy and
reaches 95 % of the sound twin's validation metric (accuracy, or explained variance). Beside it: changing nothing,
dividing the rate by 10 (up to three times, until healthy), and a random search of as many trials, of which the best
healthy one counts. What lies in data or code counts as cured where the cause named first is the true one; the others
cannot cure it.
Results go line by line to DIRECTORY/treatment.jsonl, and what stands there is not done again; take another directory
after a change of the code.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ["DIAGNOSE_CACHE"] = "off"

import tables
from patients import IN_DATA_OR_CODE, KINDS, ON_SAME_DATA, Patient, metric
from tables import percent

import diagnose

ROUNDS = 3
REACHED = 0.95  # of the sound twin's metric
WAYS = ("doctor", "nothing", "a tenth of the rate", "random search")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[30, 31])
    parser.add_argument("--only", nargs="+", choices=sorted(KINDS), default=sorted(KINDS), metavar="KIND")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--doctor-only", action="store_true", help="leave the others out")
    parser.add_argument("-o", "--output", type=Path, default=Path("out"), metavar="DIRECTORY")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    log = options.output / "treatment.jsonl"
    known = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    ways = WAYS[:2] if options.doctor_only else WAYS
    done = {(one["kind"], one["task"], one["seed"]) for one in known if _is_complete(one, ways)}
    known = [one for one in known if (one["kind"], one["task"], one["seed"]) in done]
    patients = [Patient(kind, task, seed) for seed in options.seeds for kind in options.only for task in KINDS[kind].on]
    todo = [p for p in patients if (p.kind, p.task, p.seed) not in done]
    work = _doctor if options.doctor_only else _all_ways
    with get_context("spawn").Pool(options.jobs) as pool, log.open("a") as lines:
        for number, result in enumerate(pool.imap_unordered(work, todo), start=1):
            lines.write(json.dumps(result) + "\n")
            lines.flush()
            known.append(result)
            print(
                f"[{number}/{len(todo)}] {result['kind']}-{result['task']}-{result['seed']}: {_told(result)}",
                flush=True,
            )
    wanted = {(p.kind, p.task, p.seed) for p in patients}
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    results = [one for one in known if (one["kind"], one["task"], one["seed"]) in wanted]
    text = "\n\n".join([in_all(results), by_kind(results)])
    print(f"{tables.machine()}\n\n{text}")
    tables.write(options.output, "treatment", text, {"commit": commit.strip(), "results": results})


def _is_complete(one: dict[str, Any], ways: tuple[str, ...]) -> bool:
    """Whether each of the ways was tried, as far as there is anything to try."""
    return not one["ill"] or one["kind"] in IN_DATA_OR_CODE or set(ways) <= set(one["cured"])


def _all_ways(patient: Patient) -> dict[str, Any]:
    result = _doctor(patient)
    if not result["ill"] or patient.kind in IN_DATA_OR_CODE:
        return result
    wanted = result["wanted"]
    with tempfile.TemporaryDirectory() as folder:
        train = patient.trainer(Path(folder))
        result["cured"] |= {
            "a tenth of the rate": _lowering(patient, train, wanted),
            "random search": _searching(patient, train, wanted, max(result["trainings"], 1)),
        }
    return result


def _doctor(patient: Patient) -> dict[str, Any]:
    """The treatment, and what it is measured against."""
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "sound"
        twin = patient.train_sound(sound)
        in_settings = patient.kind not in IN_DATA_OR_CODE
        treatment = diagnose.treat(
            patient.trainer(Path(folder) / "treated"), patient.config(), ROUNDS if in_settings else 0,
            on_round=lambda _: None,
        )  # fmt: skip
        first, best = treatment.rounds[0], treatment.best
        own = patient.kind in ON_SAME_DATA
        wanted = REACHED * metric(patient.task, first.diagnosis.run.path if own else sound, best=own)
        reached = [metric(patient.task, one.diagnosis.run.path) for one in treatment.rounds]
        causes = [cause.id for cause in first.diagnosis.causes]
        named = causes[:1] == [patient.fault.cause]
        ended = best.diagnosis.healthy and metric(patient.task, best.diagnosis.run.path) >= wanted
        return {
            "kind": patient.kind, "task": patient.task, "seed": patient.seed,
            "ill": patient.shows(twin) and wanted > 0,  # else there is nothing to reach
            "found": not first.diagnosis.healthy, "causes": causes[:3], "named": named,
            "trainings": len(treatment.rounds) - 1, "stopped": treatment.stopped, "wanted": wanted, "reached": reached,
            "changes": [[f"{c.setting}: {c.before} -> {c.after}" for c in one.made] for one in treatment.rounds],
            "left": [[f"{c.setting}: {c.after}" for c in one.left] for one in treatment.rounds],
            "cured": {
                "doctor": named if not in_settings else ended,
                "nothing": in_settings and first.diagnosis.healthy and reached[0] >= wanted,
            },
        }  # fmt: skip


def _lowering(patient: Patient, train: Callable[[dict[str, Any]], Path], wanted: float) -> bool:
    config = patient.config()
    for _ in range(ROUNDS):
        config["lr"] /= 10
        run_dir = train(config)
        if diagnose.examine(run_dir).healthy:
            return metric(patient.task, run_dir) >= wanted
    return False


def _searching(patient: Patient, train: Callable[[dict[str, Any]], Path], wanted: float, trials: int) -> bool:
    draw = random.Random(patient.seed)
    runs = [train({**patient.config(), **_drawn(draw, patient)}) for _ in range(trials)]
    healthy = [run_dir for run_dir in runs if diagnose.examine(run_dir).healthy]  # as the doctor's best is chosen
    return max((metric(patient.task, run_dir) for run_dir in healthy), default=-math.inf) >= wanted


def _drawn(draw: random.Random, patient: Patient) -> dict[str, Any]:
    """One point of a space as a careful person would set it up without knowing what is wrong."""
    steps = patient.config()["steps"]
    return {
        "lr": 10 ** draw.uniform(-5, 0), "weight_decay": 10 ** draw.uniform(-6, -1),
        "batch_size": draw.choice([16, 32, 64, 128]), "dropout": draw.choice([None, 0.1, 0.3]),
        "warmup_steps": draw.choice([0, steps // 20, steps // 10]), "max_norm": draw.choice([None, 1.0, 5.0]),
        "scheduler": draw.choice(["constant", "cosine"]), "initialization": draw.choice([None, "He", "Glorot"]),
        "width": draw.choice([16, 32, 64, 128]),
    }  # fmt: skip


def _told(result: dict[str, Any]) -> str:
    if not result["ill"]:
        return "not ill with this seed"
    ways = ", ".join(way for way, cured in result["cured"].items() if cured) or "nobody"
    return f"cured by {ways}"


def in_all(results: list[dict[str, Any]]) -> str:
    """The shares over all patients."""
    ill = [one for one in results if one["ill"]]
    settings = [one for one in ill if one["kind"] not in IN_DATA_OR_CODE]
    named = [one for one in ill if KINDS[one["kind"]].cause]
    rows = [[f"cured by {way}, of {len(ill)} ill trainings", _share(ill, way)] for way in WAYS]
    rows += [[f"cured by {way}, of {len(settings)} with a wrong setting", _share(settings, way)] for way in WAYS]
    rows += [["true cause named first", percent(sum(one["named"] for one in named) / len(named)) if named else "–"]]
    rows += [
        ["trainings a treatment took, mean", f"{sum(o['trainings'] for o in settings) / max(len(settings), 1):.2f}"]
    ]
    return tables.markdown(["figure", "value"], rows)


def by_kind(results: list[dict[str, Any]]) -> str:
    """The same by kind of fault."""
    kinds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in results:
        if one["ill"]:
            kinds[one["kind"]].append(one)
    return tables.markdown(["fault", "trainings", *WAYS, "cause named first"], _rows(kinds))


def _rows(kinds: dict[str, list[dict[str, Any]]]) -> Iterator[list[object]]:
    for kind, ill in sorted(kinds.items()):
        ways = [_count(ill, way) if _tried(ill, way) else "–" for way in WAYS]
        yield [kind, len(ill), *ways, sum(one["named"] for one in ill)]


def _count(ill: list[dict[str, Any]], way: str) -> int:
    return sum(bool(one["cured"].get(way)) for one in ill)


def _tried(ill: list[dict[str, Any]], way: str) -> bool:
    """Whether the way was tried on any of them; what lies in data or code nobody but the doctor is asked about."""
    return way == "doctor" or any(way in one["cured"] and one["kind"] not in IN_DATA_OR_CODE for one in ill)


def _share(ill: list[dict[str, Any]], way: str) -> str:
    return percent(_count(ill, way) / len(ill)) if ill and _tried(ill, way) else "–"


if __name__ == "__main__":
    main()
