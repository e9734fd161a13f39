"""The manual page of anything that has an id: symptoms, set-up rules, causes, remedies, couplings and claims."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Final

from diagnose import setup_rules, symptoms
from diagnose.causes import Rule, known_causes
from diagnose.errors import DiagnoseError
from diagnose.knowledge import KINDS, KnowledgeRow, cited, known_rows
from diagnose.prescriptions.couplings import GRAPH
from diagnose.prescriptions.remedies import known_remedies

NEARLY_PROVES, SPEAKS_CLEARLY = 2.5, 1.5  # log-odds, as in the head of causes.toml


@dataclass(frozen=True)
class Page:
    """What there is to say about one id: its `kind` in words, a text, lists under a heading each, and its claims."""

    id: str
    kind: str
    title: str
    text: str
    lists: tuple[tuple[str, tuple[str, ...]], ...]
    rows: tuple[KnowledgeRow, ...]


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


def explain(name: str) -> tuple[Page, ...]:
    """The pages of whatever bears this id.

    Raises `DiagnoseError`, naming what is spelt alike, where nothing does.
    """
    wanted = name.strip()
    every = {each for group in ids().values() for each in group}
    known = next((each for each in every if each.lower() == wanted.lower().replace(" ", "_")), wanted)
    found = tuple(_PAGES[kind](known) for kind, group in ids().items() if known in group)
    if not found:
        alike = get_close_matches(wanted, sorted(every), n=4, cutoff=0.5)
        near = f" Did you mean {', '.join(alike)}?" if alike else ""
        raise DiagnoseError(f"Nothing is called {name!r}.{near} `diagnose explain` alone lists all ids.")
    return found


@cache
def citing(row: str) -> tuple[tuple[str, str], ...]:
    """Kind and id of everything whose page rests on this claim."""
    kinds = [kind for kind in ids() if kind != "claim"]
    return tuple(
        (kind, name) for kind in kinds for name in ids()[kind] if row in {each.id for each in _PAGES[kind](name).rows}
    )


def _symptom(name: str) -> Page:
    text = symptoms.manual_page(name)
    return Page(name, "symptom", symptoms.title(name), text, _listed(("Speaks for", _spoken_for(name))), cited([text]))


def _rule(name: str) -> Page:
    text = setup_rules.manual_page(name)
    title = text.partition(":")[0]
    return Page(name, "set-up rule", title, text, _listed(("Speaks for", _spoken_for(name))), cited([text]))


def _cause(name: str) -> Page:
    cause = known_causes()[name]
    pro = sorted((rule for rule in cause.rules if rule.log_odds > 0), key=lambda rule: -rule.log_odds)
    contra = sorted((rule for rule in cause.rules if rule.log_odds < 0), key=lambda rule: rule.log_odds)
    sources = [source for rule in cause.rules for source in rule.sources]
    sources += [source for remedy in cause.remedies for source in known_remedies()[remedy].sources]
    text = (
        f"Its remedies belong to the stage of {cause.stage}. Before any finding its log-odds are {cause.prior:+g}. "
        "Weights are log-odds: +3 nearly proves, +2 speaks clearly for it, +1 fits, −1 speaks against it."
    )
    return Page(
        name, "cause", cause.title,
        text,
        _listed(
            ("Speaks for it", map(_weighed, pro)),
            ("Speaks against it", map(_weighed, contra)),
            ("What to do", [f"{known_remedies()[remedy].title} ({remedy})" for remedy in cause.remedies]),
        ),
        cited(sources),
    )  # fmt: skip


def _remedy(name: str) -> Page:
    remedy = known_remedies()[name]
    causes = [f"{cause.title} ({cause.id})" for cause in known_causes().values() if name in cause.remedies]
    told = f"{remedy.because} {remedy.setting}: {remedy.after}." if remedy.because else ""
    text = "\n".join(line for line in (told, f"Watch: {remedy.watch}", f"Wrong if: {remedy.refuted_by}") if line)
    return Page(name, "remedy", remedy.title, text, _listed(("Prescribed for", causes)), cited(remedy.sources))


def _coupling(name: str) -> Page:
    coupling = next(each for each in GRAPH if each.id == name)
    title = f"{coupling.source} pulls {coupling.target}"
    return Page(name, "coupling", title, f"{coupling.because}\n{coupling.formula}", (), cited(coupling.sources))


def _claim(name: str) -> Page:
    row = known_rows()[name]
    text = "\n".join(line for line in (row.claim, row.note, row.not_yet and f"Not built yet: {row.not_yet}.") if line)
    lives = [f"{each} ({kind})" for kind, each in citing(name)] + [f"{place} (code)" for place in row.lives_in]
    return Page(name, "claim", KINDS[row.kind].capitalize(), text, _listed(("Lives in", lives)), (row,))


_PAGES: Final[Mapping[str, Callable[[str], Page]]] = {
    "symptom": _symptom, "set-up rule": _rule, "cause": _cause, "remedy": _remedy, "coupling": _coupling,
    "claim": _claim,
}  # fmt: skip


def _spoken_for(finding: str) -> Iterator[str]:
    """The causes that a finding speaks for, the clearest first."""
    weights = {
        cause.id: max((rule.log_odds for rule in cause.rules if rule.finding == finding), default=0.0)
        for cause in known_causes().values()
    }
    for name, weight in sorted(weights.items(), key=lambda item: -item[1]):
        if weight > 0:
            how = "nearly proves it" if weight > NEARLY_PROVES else "clearly" if weight > SPEAKS_CLEARLY else "a little"
            yield f"{known_causes()[name].title} ({name}), {how} ({weight:+g})"


def _weighed(rule: Rule) -> str:
    told = ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in rule.where.items())
    return f"{rule.log_odds:+g} {rule.finding}{f' ({told})' if told else ''}: {rule.because}"


def _listed(*lists: tuple[str, Iterable[str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The lists that hold something."""
    held = ((title, tuple(lines)) for title, lines in lists)
    return tuple((title, lines) for title, lines in held if lines)
