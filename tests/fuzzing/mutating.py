"""Damaged and hostile logs made of sound ones; of the same seed and number always the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.fuzzing.events import mutated_events
from tests.fuzzing.tables import mutated_json, mutated_parquet, mutated_text

SEEDS: Final = Path(__file__).parents[2] / "fixtures" / "seeds"
SETTINGS: Final = ("hparams.yaml", "config.json", "diagnose.toml")
BESIDE: Final = 0.25  # of the logs get a file of settings, mutated too
PLAIN_DAMAGE: Final = 0.3  # get, behind all else, what a broken disk or a killed process leaves

Random = random.Random
Files = dict[str, bytes]
LOGS: Final[Mapping[str, Callable[[bytes, Sequence[bytes], Random], bytes]]] = {
    "events.out.tfevents.own": mutated_events,
    "events.out.tfevents.torch": mutated_events,
    "events.out.tfevents.keras": mutated_events,
    "metrics.csv": mutated_text,
    "wandb_export.csv": mutated_text,
    "metrics.jsonl": mutated_text,
    "trainer_state.json": mutated_json,
    "metrics.json": mutated_json,
    "metrics.parquet": mutated_parquet,
    "history.parquet": mutated_parquet,
}


def mutated(seed: int, number: int) -> Files:
    """The files of one run: a mutated log, the first of them, and perhaps settings beside it."""
    chance = random.Random(f"{seed}:{number}")
    name = chance.choice(list(LOGS))
    alike = [_seed(other) for other, mutate in LOGS.items() if mutate is LOGS[name]]
    content = LOGS[name](_seed(name), alike, chance)
    files = {name: damaged(content, chance) if chance.random() < PLAIN_DAMAGE else content}
    if chance.random() < BESIDE:
        beside = chance.choice(SETTINGS)
        mutate = mutated_json if beside.endswith(".json") else mutated_text
        files[beside] = mutate(_seed(beside), [_seed(beside)], chance)
    return files


def damaged(content: bytes, chance: Random) -> bytes:
    """Cut off, flipped bits, zeroes in a block, or a part that is there twice."""
    changed = bytearray(content)
    at = chance.randrange(len(content) + 1)
    how = chance.randrange(5)
    if how == 0:
        return content[:at]
    if how == 1:
        for _ in range(chance.choice((1, 1, 3, 30))):
            if changed:
                changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    elif how == 2:
        changed[at : at + 512] = bytes(len(changed[at : at + 512]))
    elif how == 3:
        changed[at:at] = changed[at - chance.randrange(at + 1) : at]
    else:
        changed[at : at + chance.randrange(64)] = chance.randbytes(chance.randrange(64))
    return bytes(changed)


_KEPT: dict[str, bytes] = {}


def _seed(name: str) -> bytes:
    if name not in _KEPT:
        _KEPT[name] = (SEEDS / name).read_bytes()
    return _KEPT[name]
