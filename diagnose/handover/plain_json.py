"""Plain JSON, for a tool of one's own."""

from __future__ import annotations

import json

from diagnose.handover.space import SearchSpace


def as_json(space: SearchSpace) -> str:
    """`recommended` and all `configs` in full, the free `dimensions`, and what is `left` to a person."""
    return json.dumps(
        {
            "recommended": space.recommended,
            "dimensions": {dimension.key: list(dimension.values) for dimension in space.dimensions},
            "configs": space.configs(),
            "left": [
                {"setting": change.setting, "to": change.after, "because": change.because} for change in space.left
            ],
        },
        indent=2,
        ensure_ascii=False,
    )
