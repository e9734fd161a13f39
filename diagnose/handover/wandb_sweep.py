"""Weights & Biases: a sweep whose one parameter holds whole combinations.

A sweep cannot compute one parameter from another, so the combinations are written out, each as JSON of what differs
from the config: in the program, `config |= overrides(wandb.config.diagnose)`.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from diagnose.handover.space import SearchSpace

PARAMETER = "diagnose"


def sweep_yaml(space: SearchSpace, program: str, metric: str = "loss/validation", goal: str = "minimize") -> str:
    """The sweep's YAML: a grid over all combinations, the recommended first.

    `metric` is what `program` logs and the sweep compares; `goal` is "minimize" or "maximize".
    """
    combinations = [json.dumps(_differing(space, config), sort_keys=True) for config in space.configs()]
    sweep = {
        "program": program,
        "method": "grid",
        "metric": {"name": metric, "goal": goal},
        "parameters": {PARAMETER: {"values": list(dict.fromkeys(combinations))}},
    }
    return yaml.safe_dump(sweep, sort_keys=False, allow_unicode=True)


def overrides(value: str) -> dict[str, Any]:
    """What one combination changes in the config."""
    told: dict[str, Any] = json.loads(value)
    return told


def _differing(space: SearchSpace, config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if value != space.config[key]}
