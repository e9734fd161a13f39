"""Pages of everything that has an id: what they hold, and what they rest on."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from diagnose import symptoms
from diagnose.causes import known_causes
from diagnose.cli import main
from diagnose.errors import DiagnoseError
from diagnose.explaining import citing, explain, ids
from diagnose.knowledge import known_rows
from diagnose.prescriptions.couplings import GRAPH
from diagnose.prescriptions.remedies import known_remedies

EVERY = [(kind, name) for kind, names in ids().items() for name in names]


def page_of(name):
    (page,) = explain(name)
    return page


def listed(name, heading):
    return dict(page_of(name).lists)[heading]


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_everything_with_an_id_has_a_page_that_rests_on_a_claim(kind, name):
    (page,) = [page for page in explain(name) if page.kind == kind]
    assert page.id == name and page.title and page.brief and page.rows
    assert page.paragraphs or page.sections


def test_all_that_bear_an_id_are_shown(monkeypatch):
    alike = replace(known_causes()["lr_too_low"], id="plateau")
    monkeypatch.setattr("diagnose.explaining.known_causes", lambda: {"plateau": alike})
    assert [page.kind for page in explain("plateau")] == ["symptom", "cause"]


def test_a_symptom_shows_its_whole_manual_page_and_the_causes_it_speaks_for_by_weight():
    page = page_of("divergence")
    shown = " ".join((*page.paragraphs, *(f"{heading} {text}" for heading, text in page.sections)))
    assert shown.split() == symptoms.manual_page("divergence").split()
    weights = [float(re.findall(r"\(([+-][\d.]+)", line)[0]) for line in listed("divergence", "Speaks for")]
    assert weights == sorted(weights, reverse=True) and min(weights) > 0
    assert any("(lr_too_high)" in line for line in listed("divergence", "Speaks for"))


def test_a_cause_shows_its_stage_and_what_speaks_for_it_and_against_it_and_its_remedies():
    cause = known_causes()["lr_too_high"]
    page = page_of("lr_too_high")
    assert cause.stage in page.paragraphs[0]
    evidence = (*listed("lr_too_high", "Speaks for it"), *listed("lr_too_high", "Speaks against it"))
    assert len(evidence) == len(cause.rules)
    for rule in cause.rules:
        assert any(
            line.startswith(f"{rule.log_odds:+g} {rule.finding}") and line.endswith(rule.because) for line in evidence
        )
    assert len(listed("lr_too_high", "What to do")) == len(cause.remedies)


def test_evidence_says_what_it_asks_for_beside_its_finding():
    against = " ".join(listed("lr_too_high", "Speaks against it"))
    assert " divergence (at a rate below what the run had borne): " in against
    assert " vanishing_gradients (from the first step: yes): " in against
    assert " divergence (in the first tenth of the run): " in " ".join(listed("missing_warmup", "Speaks for it"))
    assert "; in the first tenth of the run)" in next(x for x in listed("divergence", "Speaks for") if "warmup" in x)


def test_a_remedy_shows_who_prescribes_it_what_to_watch_and_what_would_refute_it():
    remedy = known_remedies()["lower_lr"]
    assert dict(page_of("lower_lr").sections) == {"Watch": remedy.watch, "Wrong if": remedy.refuted_by}
    assert any("lr_too_high" in line for line in listed("lower_lr", "Prescribed for"))


def test_a_coupling_shows_its_reason_and_its_formula():
    coupling = next(each for each in GRAPH if each.id == "batch_size-lr")
    page = page_of(coupling.id)
    assert page.paragraphs == (coupling.because,) and page.sections == (("Formula", coupling.formula),)
    assert {"K07", "K08", "K09"} <= {row.id for row in page.rows}


def test_a_claim_shows_where_it_lives_and_the_titles_of_the_documents_that_tell_it():
    assert "unstable_curvature (symptom)" in listed("K20", "Lives in")
    assert listed("K20", "Told in") == (
        "stability-scaling §2: Hyperparameters, Schedules, and Stability Scaling in Deep Networks",
    )
    assert not page_of("K20").sections
    assert dict(page_of("K45").sections) == {"Read with care": known_rows()["K45"].note}
    assert listed("K85", "Lives in") == ("large-models.md (page of the manual)",)


def test_a_claim_is_cited_by_each_kind_of_thing():
    assert {kind for kind, _ in citing("K48")} == {"set-up rule", "cause", "remedy", "coupling"}


def test_what_nothing_is_called_is_answered_with_what_is_spelt_alike_and_with_the_kinds():
    with pytest.raises(DiagnoseError, match=r"symptom, set-up rule, .*'Overfiting'.*overfitting"):
        explain("Overfiting")
    with pytest.raises(DiagnoseError) as nothing_alike:
        explain("zzzz")
    assert "Did you mean" not in str(nothing_alike.value)


@pytest.mark.parametrize("name", ["k20", " K20 ", "LR too high", "Batch_size-LR"])
def test_capitals_and_spaces_do_not_matter(name):
    assert explain(name)


def test_the_command_explains_and_lists_and_refuses(capsys):
    assert main(["explain", "k20"]) == 0 and "λ_max" in capsys.readouterr().out
    assert main(["explain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(sum(line.strip().startswith(f"{name} ") for line in lines) == 1 for _, name in EVERY)
    assert main(["explain", "nothing_like_it"]) == 2 and "lists all ids" in capsys.readouterr().err
