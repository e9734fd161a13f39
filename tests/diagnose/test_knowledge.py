"""The knowledge base: every claim of the documents is there, sourced, and lives somewhere."""

from __future__ import annotations

import re
from importlib import import_module

import pytest

from diagnose import setup_rules, symptoms
from diagnose.causes import known_causes
from diagnose.cli import main
from diagnose.errors import DiagnoseError
from diagnose.explaining import citing, explain, ids
from diagnose.knowledge import documents, known_rows, rows_in
from diagnose.prescriptions.couplings import GRAPH
from diagnose.prescriptions.remedies import known_remedies
from diagnose.reports.explanation import as_markdown

ROWS = {
    "S": "01 02 03 04 05 06 14 20 40 41 42 43 52 61 62",
    "C": "07 08 09 10 21 24 25 27 44 46 47 48 49 64 65 67 69",
    "L": "11 12 13 22 23 26 31 32 33 35 45 50 60 63 66 82",
    "T": "15 28 30 34 36 51 53 54 68 80 81 83 84 85",
}
EVERY = [(kind, name) for kind, names in ids().items() for name in names]


def sources():
    """Where anything in the product names a source."""
    yield from (s for cause in known_causes().values() for rule in cause.rules for s in rule.sources)
    yield from (s for remedy in known_remedies().values() for s in remedy.sources)
    yield from (s for coupling in GRAPH for s in coupling.sources)


def test_every_claim_of_the_documents_is_a_row_of_its_kind():
    wanted = {f"K{number}": kind for kind, numbers in ROWS.items() for number in numbers.split()}
    assert {name: row.kind for name, row in known_rows().items()} == wanted


@pytest.mark.parametrize("row", list(known_rows().values()), ids=lambda row: row.id)
def test_a_row_has_a_source_and_lives_somewhere_or_says_that_it_does_not_yet(row):
    assert row.claim and row.sources
    assert all(any(source.startswith(name) for name in documents()) for source in row.sources)
    assert citing(row.id) or row.lives_in or row.not_yet
    for place in row.lives_in:
        module, _, function = place.partition(":")
        assert callable(getattr(import_module(module), function))


def test_what_is_not_built_yet_is_not_there(monkeypatch):
    import diagnose

    for row in known_rows().values():
        _, dot, function = row.not_yet.partition("diagnose.")
        assert not dot or not hasattr(diagnose, function)


@pytest.mark.parametrize("source", sorted(set(sources())))
def test_a_source_cites_known_rows_and_their_own_documents(source):
    rows = [known_rows()[name] for name in rows_in(source)]
    assert rows
    cited = re.search(r"\((.*)\)", source)
    for document in documents():
        if cited and document in cited.group(1):
            assert any(document in own for row in rows for own in row.sources)


PAGES = {name: symptoms.manual_page(name) for name in symptoms.ids()} | {
    name: setup_rules.manual_page(name) for name in setup_rules.rules()
}


@pytest.mark.parametrize("text", PAGES.values(), ids=PAGES)
def test_a_manual_page_cites_known_rows_alone(text):
    assert rows_in(text) and set(rows_in(text)) <= set(known_rows())


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_everything_with_an_id_has_a_page_that_rests_on_a_claim(kind, name):
    (page,) = [page for page in explain(name) if page.kind == kind]
    assert page.title and page.text and page.rows
    assert f"#{name}" in as_markdown(page)


@pytest.mark.parametrize(
    ("text", "rows"),
    [("K25, K26 (interdependencies §7)", "K25 K26"), ("K07/K08", "K07 K08"), ("K01–K03", "K01 K02 K03"), ("OK12", "")],
)
def test_rows_are_read_out_of_sources(text, rows):
    assert rows_in(text) == tuple(rows.split())


def test_what_nothing_is_called_is_answered_with_what_is_spelt_alike():
    with pytest.raises(DiagnoseError, match="overfitting"):
        explain("overfiting")


def test_the_command_explains_and_lists(capsys):
    assert main(["explain", "k20"]) == 0 and "λ_max" in capsys.readouterr().out
    assert main(["explain"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in ("nan_loss", "lr_too_high", "batch_size-lr", "K85"))
    assert main(["explain", "nothing_like_it"]) == 2
