"""The knowledge base: every claim of the documents is there, sourced, lives somewhere, and is cited as it is told."""

from __future__ import annotations

import ast
import re
from dataclasses import FrozenInstanceError
from importlib import import_module
from pathlib import Path

import pytest

from diagnose import setup_rules, symptoms
from diagnose.causes import known_causes
from diagnose.explaining import citing, ids
from diagnose.knowledge import cited, documents, known_rows, rows_in
from diagnose.prescriptions.couplings import GRAPH
from diagnose.prescriptions.remedies import known_remedies

ROWS = {
    "S": "01 02 03 04 05 06 14 20 40 41 42 43 52 61 62",
    "C": "07 08 09 10 21 24 25 27 44 46 47 48 49 64 65 67 69",
    "L": "11 12 13 22 23 26 31 32 33 35 45 50 60 63 66 82",
    "T": "15 28 30 34 36 51 53 54 68 80 81 83 84 85",
}
HOMES = {"S": "symptom", "C": "coupling", "L": "set-up rule", "T": "remedy"}
ROOT = Path(__file__).parents[2]
TORCH_AND_DASH = ("diagnose.hooks.", "diagnose.dashboard.")
CITATION = re.compile(r"(K\d\d(?:(?:, ?|/|–)K\d\d)*) \(((?:[^()]|\([^()]*\))*)\)")
PLACE = re.compile(rf"({'|'.join(documents())})((?:[,;]? ?(?:§\d+|“[^”]*”))*)")
every_row = pytest.mark.parametrize("row", known_rows().values(), ids=lambda row: row.id)


def told_once(text):
    """A text of one line, with one kind of quotation marks, and no marks of comments in between."""
    return re.sub(r'-champ "([^"]*)"', r"-champ “\1”", re.sub(r"\s+(?:# )?", " ", text))


def places(text):
    """Document and section, for each that a text names: "deep-dive §4, §7"."""
    for document, sections in PLACE.findall(text):
        yield from (f"{document} {section}" for section in re.findall(r"§\d+|“[^”]*”", sections))
        if not sections:
            yield document


def disagreements(text):
    """What a text cites otherwise than the knowledge base has it: unknown rows, sections that are not a row's own."""
    yield from (name for name in rows_in(text) if name not in known_rows())
    for names, where in CITATION.findall(told_once(text)):
        rows, named = cited([names]), list(places(where))
        own = {source for row in rows for source in row.sources}
        yield from (f"{names} ({place})" for place in named if not any(source.startswith(place) for source in own))
        for row in rows:
            if named and not any(source.startswith(place) for place in named for source in row.sources):
                yield f"{row.id} ({where})"


def test_every_claim_of_the_documents_is_a_row_of_its_kind():
    wanted = {f"K{number}": kind for kind, numbers in ROWS.items() for number in numbers.split()}
    assert {name: row.kind for name, row in known_rows().items()} == wanted


@every_row
def test_a_row_says_something_and_names_document_and_section(row):
    assert row.claim.endswith(".") and row.sources
    assert all(list(places(source)) == [source] for source in row.sources)
    with pytest.raises(FrozenInstanceError):
        row.claim = "something else"


@every_row
def test_a_row_lives_where_its_kind_lives_or_names_its_code_or_its_page(row):
    assert HOMES[row.kind] in {kind for kind, _ in citing(row.id)} or row.lives_in or row.manual


@pytest.mark.parametrize("place", sorted({place for row in known_rows().values() for place in row.lives_in}))
def test_the_code_that_a_row_names_exists(place):
    module, _, name = place.partition(":")
    if module.startswith(TORCH_AND_DASH):
        tree = ast.parse((ROOT / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    else:
        assert callable(getattr(import_module(module), name))


@pytest.mark.parametrize("row", [row for row in known_rows().values() if row.manual], ids=lambda row: row.id)
def test_the_page_of_the_manual_that_a_row_names_tells_it_and_is_found(row):
    assert f"claims.md#{row.id}" in (ROOT / "docs" / row.manual).read_text(encoding="utf-8")
    assert f"- {row.manual}\n" in (ROOT / "docs" / "mkdocs.yml").read_text(encoding="utf-8")


def test_the_recipe_for_large_models_has_each_step_of_the_document_in_its_order():
    text = (ROOT / "docs" / known_rows()["K85"].manual).read_text(encoding="utf-8")
    steps = re.findall(r"^(\d)\. \*\*(.+?)\*\*", text, re.MULTILINE)
    asked = ("compute budget", "width, depth", "global batch", "warmup", "weight decay and clipping", "mixed precision")
    assert [int(number) for number, _ in steps] == [1, 2, 3, 4, 5, 6, 7]
    for (_, told), step in zip(steps, (*asked, "noise scale"), strict=True):
        assert step in told.lower()
    assert set(re.findall(r"\[`([\w-]+)`\]", text)) <= {name for names in ids().values() for name in names}


def test_the_document_that_prints_two_formulas_alike_is_read_with_care():
    assert "interdependencies §2" in known_rows()["K45"].note


CITING = (
    {f"cause {each.id}": [s for rule in each.rules for s in rule.sources] for each in known_causes().values()}
    | {f"remedy {each.id}": list(each.sources) for each in known_remedies().values()}
    | {f"coupling {each.id}": list(each.sources) for each in GRAPH}
    | {f"symptom {name}": [symptoms.manual_page(name)] for name in symptoms.ids()}
    | {f"set-up rule {name}": [setup_rules.manual_page(name)] for name in setup_rules.rules()}
)


@pytest.mark.parametrize("sources", CITING.values(), ids=CITING)
def test_every_source_cites_known_rows_and_their_own_sections(sources):
    assert sources and all(rows_in(source) for source in sources)
    assert not [each for source in sources for each in disagreements(source)]


FILES = sorted(
    path
    for folder in ("diagnose", "hooks", "dashboard")
    for pattern in ("*.py", "*.toml")
    for path in (ROOT / folder).rglob(pattern)
    if path.name != "knowledge.py" and rows_in(path.read_text(encoding="utf-8"))
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_code_and_comments_cite_known_rows_and_their_own_sections(path):
    assert not list(disagreements(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("K01 (deep-dive §2)", ""),
        ("K40, K49 (deep-dive §4)", ""),
        ("K84 (tune-like-a-champ\n    # “Key Takeaways”)", ""),
        ('K52 (tune-like-a-champ "Fine-tuning Layer(s)", interdependencies §1)', ""),
        ("K99", "K99"),
        ("K01 (deep-dive §3)", "K01"),
        ("K01, K07 (interdependencies §1)", "K01"),
        ("K40 (deep-dive §4, §7)", "K40"),
    ],
)
def test_a_citation_of_another_section_is_seen(text, wrong):
    found = list(disagreements(text))
    assert bool(found) == bool(wrong) and all(each.startswith(wrong) for each in found)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("K25, K26 (interdependencies §7)", "K25 K26"),
        ("K61, K62, K63 (interdependencies §5)", "K61 K62 K63"),
        ("K07/K08", "K07 K08"),
        ("K01–K03, K02", "K01 K02 K03"),
        ("K01-K03", "K01 K02 K03"),
        ("OK12", ""),
    ],
)
def test_rows_are_read_out_of_sources(text, rows):
    assert rows_in(text) == tuple(rows.split())
