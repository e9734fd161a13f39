"""Hydra: the changed settings as overrides on the command line.

subprocess.run(["python", "train.py", *overrides(space)])   # the recommended config
for line in sweep(space):                                   # every combination, one training each
    subprocess.run(["python", "train.py", *line])

In a shell, `shlex.join` quotes a line. Hydra's own `--multirun` would cross the settings with one another, and so part
what is coupled: that is why each combination is a line of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from diagnose.handover.space import SearchSpace


def overrides(space: SearchSpace) -> list[str]:
    """The overrides that make the recommended config out of the given one."""
    return _differing(space, space.recommended)


def sweep(space: SearchSpace) -> list[list[str]]:
    """The same for every combination, the recommended first."""
    return [_differing(space, config) for config in space.configs()]


def _differing(space: SearchSpace, config: Mapping[str, Any]) -> list[str]:
    return [f"{key}={_value(value)}" for key, value in config.items() if value != space.config[key]]


def _value(value: object) -> str:
    """The value in Hydra's grammar; text in quotes, so that nothing in it but `${…}` is grammar."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    text = re.sub(r"(\\+)(?='|\Z)", r"\1\1", str(value))  # only before a quote does a backslash need another
    return "'" + text.replace("'", "\\'") + "'"
