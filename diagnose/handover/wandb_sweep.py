"""Weights & Biases: a sweep whose one parameter holds whole combinations.

Path("sweep.yaml").write_text(sweep_yaml(space, "train.py", metric="loss/validation"))   # then: wandb sweep sweep.yaml
config |= overrides(wandb.init().config.diagnose)                                        # in train.py

A sweep cannot compute one parameter from another, so the combinations are written out, each as JSON of what differs
from the config. They reach the program through `wandb.config` alone, not as arguments, which its parser may not know.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from diagnose.handover.space import SearchSpace

PARAMETER = "diagnose"
COMMAND = ["${env}", "${interpreter}", "${program}"]  # W&B's own without its last, ${args}


def sweep_yaml(space: SearchSpace, program: str, metric: str = "loss/validation", goal: str = "minimize") -> str:
    """The sweep's YAML: a grid over all combinations, the recommended first.

    `metric` is what `program` logs and the sweep compares; `goal` is "minimize" or "maximize".
    """
    combinations = [json.dumps(_differing(space, config), sort_keys=True) for config in space.configs()]
    sweep = {
        "program": program,
        "command": COMMAND,
        "method": "grid",
        "metric": {"name": metric, "goal": goal},
        "parameters": {PARAMETER: {"values": combinations}},
    }
    return yaml.safe_dump(sweep, sort_keys=False, allow_unicode=True)


def overrides(value: str) -> dict[str, Any]:
    """What one combination changes in the config."""
    told: dict[str, Any] = json.loads(value)
    return told


def _differing(space: SearchSpace, config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if value != space.config[key]}
