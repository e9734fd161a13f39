"""YAML that neither executes nor grows: a few hundred bytes of references can stand for billions of values."""

from __future__ import annotations

from typing import Any, Final

import yaml

MOST_VALUES: Final = 100_000  # with every reference replaced by what it stands for


def read_yaml(text: str) -> Any:
    """What the text spells, as plain values. Raises `ValueError` where it is no YAML or stands for too much."""
    try:
        return _Counted(text).get_single_data()
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    except Exception as error:  # the loader raises whatever a broken value breaks: KeyError, AttributeError, …
        raise ValueError(str(error) or type(error).__name__) from error


class _Counted(yaml.SafeLoader):
    def get_single_node(self) -> yaml.Node | None:
        """The document's node, refused before anything is built from it."""
        node = super().get_single_node()
        if node is not None and _values_of(node, {}) > MOST_VALUES:
            raise ValueError(f"its references stand for more than {MOST_VALUES:,} values")
        return node


def _values_of(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values it stands for. Each node is counted once, however many references lead to it."""
    if id(node) not in known:
        known[id(node)] = MOST_VALUES + 1  # what is met again within itself has no end
        inner = node.value if isinstance(node, yaml.CollectionNode) else ()
        pairs = isinstance(node, yaml.MappingNode)
        known[id(node)] = 1 + sum(_values_of(part, known) for entry in inner for part in (entry if pairs else (entry,)))
    return known[id(node)]
