"""A user's own names for signals, in a file `diagnose.toml` beside the runs or in any folder above them.

[names]
my_loss = "loss/train"
"eval/top1" = "accuracy/validation"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

FILE = "diagnose.toml"
LONGEST = 1_000_000  # bytes: no file of names is longer


def own_names(place: Path, root: Path | None = None) -> tuple[Mapping[str, str], list[str]]:
    """Tag -> signal from the nearest file, not above `root`, and notes on one that cannot be used."""
    place = place.absolute()
    for folder in (place, *place.parents):
        if root is not None and not folder.is_relative_to(root):
            break
        path = folder / FILE
        try:
            if not path.is_file():
                continue
            with path.open("rb") as file:
                names = tomllib.loads(file.read(LONGEST).decode()).get("names", {})
        except (OSError, ValueError) as error:
            return {}, [f"{path} was left out: {error}"]
        if isinstance(names, dict) and all(isinstance(signal, str) for signal in names.values()):
            return names, []
        return {}, [f"{path} was left out: its [names] are no texts."]
    return {}, []
