"""Tables and settings mutated as what they are: cells, lines, trees of JSON, columns of Parquet."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
from pyarrow import parquet

from tests.fuzzing.hostile import FLOATS, INTEGERS, TEXTS

Random = random.Random
MOST_CHANGES: Final = 4
NAMES: Final = ("step", "loss", "epoch", "val_loss", "_timestamp", "key", "value", "run_id", "metric", "", "loss", "lr")
CELLS: Final = (
    "", "nan", "inf", "-inf", "1e999", "9" * 400, "-1", "0x10", "1_000", '"', '"a', ",", ";", "\t", "\0", "é", "'",
    "True", "2026-01-01", "1,5", "--", "null", "None", "[1, 2]", "{}", "\ufeff", "\r", "\n\n", "<b>", "#", "&a", "*a",
    "<<: *a", "---", "!!python/object/apply:os.system ['true']", "!!int ''", "? ", ": ", "- ", "{a: ", "]", "|", "\\",
)  # fmt: skip


def mutated_text(content: bytes, others: Sequence[bytes], chance: Random) -> bytes:
    """Cells, names and lines changed, moved and repeated; now and then in another encoding."""
    lines = content.decode().split("\n")
    for _ in range(chance.randint(1, MOST_CHANGES)):
        at = chance.randrange(len(lines))
        how = chance.randrange(8)
        if how <= 1:
            cells = lines[at].split(",")
            cells[chance.randrange(len(cells))] = chance.choice((*CELLS, *NAMES, *map(str, INTEGERS)))
            lines[at] = ",".join(cells)
        elif how == 2:
            lines[at] += chance.choice((",", ",1", " 2", ":", "{")) * chance.choice((1, 3, 1000))
        elif how == 3:
            lines[at:at] = [lines[at]] * chance.choice((1, 5, 300))
        elif how == 4:
            lines = chance.sample(lines, len(lines))
        elif how == 5:
            place = chance.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:place] + chance.choice(CELLS) + lines[at][place:]
        elif how == 6:
            lines[0] = ",".join(chance.choices(NAMES, k=chance.choice((1, 4, 200))))
        else:
            more = chance.choice(others).decode().split("\n")
            lines[at:at] = more[: chance.randrange(20)]
    text = chance.choice(("\n", "\n", "\n", "\r\n", "\r")).join(lines)
    return text.encode(chance.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16")), errors="replace")


def mutated_json(content: bytes, others: Sequence[bytes], chance: Random) -> bytes:
    """A part of the tree in another's place, or something in its place that nobody expects there."""
    tree = json.loads(content)
    for _ in range(chance.randint(1, MOST_CHANGES)):
        tree = _with_another_part(tree, json.loads(chance.choice(others)), chance)
    return json.dumps(tree).encode()


def _with_another_part(tree: Any, other: Any, chance: Random) -> Any:
    if not isinstance(tree, dict | list) or not tree or chance.random() < 0.05:
        return _oddity(other, chance)
    key: Any = chance.choice(list(tree)) if isinstance(tree, dict) else chance.randrange(len(tree))
    if isinstance(tree, dict) and chance.random() < 0.1:
        return {**tree, chance.choice((*NAMES, *TEXTS)): tree[key]}
    if isinstance(tree, list) and chance.random() < 0.1:
        return tree * chance.choice((0, 2, 20))
    tree[key] = _with_another_part(tree[key], other, chance)
    return tree


def _oddity(other: Any, chance: Random) -> Any:
    deep: Any = 1
    for _ in range(chance.choice((1, 10, 500))):
        deep = [deep] if chance.random() < 0.5 else {"a": deep}
    odd: tuple[Any, ...] = (None, True, [], {}, 10**400, deep, other, *INTEGERS, *FLOATS, *TEXTS)
    return chance.choice(odd)


def mutated_parquet(content: bytes, others: Sequence[bytes], chance: Random) -> bytes:
    """Written anew with columns of other kinds, or changed in its bytes where it says how to read the others."""
    if chance.random() < 0.5:
        return _written(parquet.read_table(io.BytesIO(content)), chance)
    changed = bytearray(content)
    footer = int.from_bytes(changed[-8:-4], "little")
    begin = chance.choice((4, len(changed) - 8 - footer))
    for _ in range(chance.choice((1, 2, 8))):
        changed[chance.randrange(begin, len(changed) - 8)] = chance.choice((0, 0x7F, 0xFF, chance.randrange(256)))
    if chance.random() < 0.1:
        changed[-8:-4] = chance.choice((0, 1, footer + 1, 2**31, 2**32 - 1)).to_bytes(4, "little")
    return bytes(changed)


def _written(table: pa.Table, chance: Random) -> bytes:
    for _ in range(chance.randint(1, MOST_CHANGES)):
        at = chance.randrange(table.num_columns)
        name = chance.choice((*NAMES, table.column_names[at], "x" * 2000, "<b>\x1b"))
        table = table.set_column(at, name, _column(table.num_rows, chance))
    rows = chance.choice((None, None, 1, 7))
    sink = io.BytesIO()
    parquet.write_table(
        table.slice(0, chance.choice((0, 1, table.num_rows, table.num_rows))), sink, row_group_size=rows,
        compression=chance.choice(("none", "snappy", "gzip", "zstd")), use_dictionary=chance.random() < 0.5,
    )  # fmt: skip
    return sink.getvalue()


def _column(rows: int, chance: Random) -> pa.Array:
    kind: pa.DataType
    kind, values = chance.choice(
        (
            (pa.int64(), [*INTEGERS, None]),
            (pa.uint64(), [0, 2**64 - 1, None]),
            (pa.float16(), [0.5, None]),
            (pa.float64(), [*FLOATS, None]),
            (pa.bool_(), [True, False, None]),
            (pa.string(), ["a", "", "1.5", "loss", "é" * 100, None]),
            (pa.large_string(), ["loss", "acc", None]),
            (pa.binary(), [b"\xff\x00", b"", None]),
            (pa.list_(pa.float32()), [[], [1.0, 2.0], None]),
            (pa.timestamp("ns"), [0, 2**62, None]),
            (pa.decimal128(38, 2), [None]),
            (pa.struct([("a", pa.int8())]), [{"a": 1}, None]),
            (pa.null(), [None]),
        )
    )
    return pa.array([chance.choice(values) for _ in range(rows)], kind)
