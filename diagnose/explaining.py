"""The manual page of anything that has an id: symptoms, set-up rules, causes, remedies, couplings and claims."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Final

from diagnose import setup_rules, symptoms
from diagnose.causes import Rule, known_causes
from diagnose.errors import DiagnoseError
from diagnose.knowledge import KINDS, KnowledgeRow, cited, documents, known_rows
from diagnose.prescriptions.couplings import GRAPH
from diagnose.prescriptions.remedies import known_remedies

NEARLY_PROVES, SPEAKS_CLEARLY = 2.5, 1.5  # log-odds, as in the head of causes.toml
RATES: Final = {"borne": "at a rate below what the run had borne", "raised": "at a rate above all before"}
_HEADING: Final = re.compile(r"(\S.*?) {3,}(\S.*)")  # of a manual page: "Why it matters       The weights …"

Lists = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Page:
    """What there is to say about one id.

    `kind` in words and `brief` in one line; then paragraphs, texts and lists under a heading each, and the claims
    that all of it rests on.
    """

    id: str
    kind: str
    title: str
    brief: str
    paragraphs: tuple[str, ...] = ()
    sections: tuple[tuple[str, str], ...] = ()
    lists: Lists = ()
    rows: tuple[KnowledgeRow, ...] = ()


def ids() -> Mapping[str, tuple[str, ...]]:
    """Every id that has a page, by its kind in words."""
    return {
        "symptom": symptoms.ids(),
        "set-up rule": tuple(sorted(setup_rules.rules())),
        "cause": tuple(known_causes()),
        "remedy": tuple(known_remedies()),
        "coupling": tuple(coupling.id for coupling in GRAPH),
        "claim": tuple(known_rows()),
    }


def pages(kind: str) -> tuple[Page, ...]:
    """All pages of one kind of `ids()`."""
    return tuple(_PAGES[kind](name) for name in ids()[kind])


def explain(name: str) -> tuple[Page, ...]:
    """The pages of whatever bears this id.

    Raises `DiagnoseError`, naming what is spelt alike, where nothing does.
    """
    every = {each.lower(): each for group in ids().values() for each in group}
    wanted = name.strip().lower().replace(" ", "_")
    if wanted not in every:
        alike = [every[each] for each in get_close_matches(wanted, sorted(every), n=4, cutoff=0.6)]
        near = f" Did you mean {', '.join(alike)}?" if alike else ""
        *kinds, last = ids()
        raise DiagnoseError(
            f"No {', '.join(kinds)} or {last} is called {name!r}.{near} `diagnose explain` alone lists all ids."
        )
    return tuple(_PAGES[kind](every[wanted]) for kind, group in ids().items() if every[wanted] in group)


def citing(row: str) -> tuple[tuple[str, str], ...]:
    """Kind and id of everything whose page rests on this claim."""
    return _citing().get(row, ())


@cache
def _citing() -> Mapping[str, tuple[tuple[str, str], ...]]:
    found: dict[str, tuple[tuple[str, str], ...]] = {}
    for page in (page for kind in ids() if kind != "claim" for page in pages(kind)):
        for row in page.rows:
            found[row.id] = (*found.get(row.id, ()), (page.kind, page.id))
    return found


def _symptom(name: str) -> Page:
    return _from_manual(name, "symptom", symptoms.manual_page(name))


def _rule(name: str) -> Page:
    return _from_manual(name, "set-up rule", setup_rules.manual_page(name))


def _from_manual(name: str, kind: str, text: str) -> Page:
    """The page of what has its manual page in the code."""
    title, _, brief = text.partition("\n")[0].partition(": ")
    paragraphs, sections = _read(text)
    return Page(
        name, kind, title, brief, paragraphs, sections, _listed(("Speaks for", _spoken_for(name))), cited([text])
    )


def _cause(name: str) -> Page:
    cause = known_causes()[name]
    pro = sorted((rule for rule in cause.rules if rule.log_odds > 0), key=lambda rule: -rule.log_odds)
    contra = sorted((rule for rule in cause.rules if rule.log_odds < 0), key=lambda rule: rule.log_odds)
    sources = [source for rule in cause.rules for source in rule.sources]
    sources += [source for remedy in cause.remedies for source in known_remedies()[remedy].sources]
    stage = f"Its remedies belong to the stage of {cause.stage}. Before any finding its log-odds are {cause.prior:+g}."
    scale = "Weights are log-odds: +3 nearly proves, +2 speaks clearly for it, +1 fits, -1 speaks against it."
    lists = _listed(
        ("Speaks for it", map(_weighed, pro)),
        ("Speaks against it", map(_weighed, contra)),
        ("What to do", [f"{known_remedies()[remedy].title} ({remedy})" for remedy in cause.remedies]),
    )
    return Page(name, "cause", cause.title, cause.title, (f"{stage} {scale}",), (), lists, cited(sources))


def _remedy(name: str) -> Page:
    remedy = known_remedies()[name]
    causes = [f"{cause.title} ({cause.id})" for cause in known_causes().values() if name in cause.remedies]
    told = (f"{remedy.because} {remedy.setting}: {remedy.after}.",) if remedy.because else ()
    sections = (("Watch", remedy.watch), ("Wrong if", remedy.refuted_by))
    lists = _listed(("Prescribed for", causes))
    return Page(name, "remedy", remedy.title, remedy.title, told, sections, lists, cited(remedy.sources))


def _coupling(name: str) -> Page:
    coupling = next(each for each in GRAPH if each.id == name)
    title = f"{coupling.source} pulls {coupling.target}"
    sections = (("Formula", coupling.formula),)
    return Page(name, "coupling", title, coupling.because, (coupling.because,), sections, (), cited(coupling.sources))


def _claim(name: str) -> Page:
    row = known_rows()[name]
    lives = [f"{each} ({kind})" for kind, each in citing(name)] + [f"{place} (code)" for place in row.lives_in]
    lives += [f"{row.manual} (page of the manual)"] if row.manual else []
    lists = _listed(("Lives in", lives), ("Told in", map(_told_in, row.sources)))
    sections = (("Read with care", row.note),) if row.note else ()
    return Page(name, "claim", KINDS[row.kind].capitalize(), row.claim, (row.claim,), sections, lists, (row,))


_PAGES: Final[Mapping[str, Callable[[str], Page]]] = {
    "symptom": _symptom, "set-up rule": _rule, "cause": _cause, "remedy": _remedy, "coupling": _coupling,
    "claim": _claim,
}  # fmt: skip


def _read(text: str) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """The paragraphs of a manual page, and the texts beside its headings."""
    paragraphs: list[str] = []
    sections: list[tuple[str, str]] = []
    for block in text.split("\n\n"):
        if not _HEADING.match(block):
            paragraphs.append(" ".join(block.split()))
            continue
        for line in block.splitlines():
            if found := _HEADING.match(line):
                sections.append((found[1], found[2].strip()))
            else:
                heading, before = sections.pop()
                sections.append((heading, f"{before} {line.strip()}"))
    return tuple(paragraphs), tuple(sections)


def _told_in(source: str) -> str:
    """A source with its document's whole title."""
    name = next(document for document in documents() if source.startswith(document))
    return f"{source}: {documents()[name]}"


def _spoken_for(finding: str) -> Iterator[str]:
    """The causes that a finding speaks for, the clearest first, each with what it asks for where it is clearest."""
    clearest = [
        (max(rules, key=lambda rule: rule.log_odds), cause)
        for cause in known_causes().values()
        if (rules := [rule for rule in cause.rules if rule.finding == finding and rule.log_odds > 0])
    ]
    for rule, cause in sorted(clearest, key=lambda pair: -pair[0].log_odds):
        weight = rule.log_odds
        how = "nearly proves it" if weight > NEARLY_PROVES else "clearly" if weight > SPEAKS_CLEARLY else "a little"
        yield f"{cause.title} ({cause.id}), {how} ({'; '.join((f'{weight:+g}', *_asked(rule)))})"


def _weighed(rule: Rule) -> str:
    asked = "; ".join(_asked(rule))
    return f"{rule.log_odds:+g} {rule.finding}{f' ({asked})' if asked else ''}: {rule.because}"


def _asked(rule: Rule) -> Iterator[str]:
    """What a rule asks for beside its finding."""
    yield from (f"{name.replace('_', ' ')}: {value}" for name, value in rule.where.items())
    if rule.early:
        yield "in the first tenth of the run"
    if rule.rate:
        yield RATES[rule.rate]


def _listed(*lists: tuple[str, Iterable[str]]) -> Lists:
    """The lists that hold something."""
    held = ((title, tuple(lines)) for title, lines in lists)
    return tuple((title, lines) for title, lines in held if lines)
