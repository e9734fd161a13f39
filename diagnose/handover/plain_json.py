"""Plain JSON, for a tool of one's own.

Path("space.json").write_text(as_json(space))
for config in json.loads(Path("space.json").read_text())["configs"]:
    train(config)
"""

from __future__ import annotations

import json

from diagnose.handover.space import SearchSpace
from diagnose.reports.json import strict


def as_json(space: SearchSpace) -> str:
    """`recommended` and all `configs` in full, the free `dimensions`, and what is `left` to a person.

    What the config holds besides and JSON does not know is written as text, a number that is not finite as null.
    """
    told = strict(
        {
            "recommended": space.recommended,
            "dimensions": {dimension.key: list(dimension.values) for dimension in space.dimensions},
            "configs": space.configs(),
            "left": [
                {"setting": change.setting, "to": change.after, "because": change.because} for change in space.left
            ],
        }
    )
    return json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False, default=str)
