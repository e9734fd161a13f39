"""Pages of symptoms, set-up rules, causes, remedies and claims: what `diagnose explain` tells, with pictures."""

from __future__ import annotations

from collections.abc import Iterator

from diagnose import explaining
from diagnose.causes import Rule, known_causes
from diagnose.explaining import RATES, Page
from diagnose.knowledge import documents
from generators.pictures import picture
from generators.prose import link, prose, table
from generators.thresholds import thresholds

RULES, CAUSES, REMEDIES, CLAIMS = "setup-rules.md", "causes.md", "remedies.md", "claims.md"
UNSHOWN = "No recorded run shows it: it is tested on trainings and curves made for it (`tests/diagnose/symptoms/`)."


def pages() -> Iterator[tuple[str, str]]:
    """Path and Markdown of every page."""
    symptoms = explaining.pages("symptom")
    yield "symptoms/index.md", _symptoms(symptoms)
    for page in symptoms:
        path = f"symptoms/{page.id}.md"
        yield path, _symptom(page, path)
    yield RULES, _many("set-up rule", "Set-up rules", _RULES_INTRO, RULES)
    yield CAUSES, _causes()
    yield REMEDIES, _many("remedy", "Remedies", _REMEDIES_INTRO, REMEDIES)
    yield CLAIMS, _many("claim", "Claims", _claims_intro(), CLAIMS)


def _symptoms(symptoms: tuple[Page, ...]) -> str:
    rows = [
        (f"[{page.title}]({page.id}.md)", f"`{page.id}`", prose(page.brief, "symptoms/index.md")) for page in symptoms
    ]
    told = (
        "One page each: what it looks like, how it is told, what it is mistaken for, its thresholds with their "
        "reasons, and a recorded run that shows it beside the same training without the fault. "
        "In the terminal, `diagnose explain divergence` says the same."
    )
    return f"# Symptoms\n\n{told}\n\n{table(('symptom', 'id', 'in one line'), rows)}\n"


def _symptom(page: Page, path: str) -> str:
    blocks = [f"# {page.title}", prose(_sentence(page.brief), path), picture(page.id) or prose(UNSHOWN, path)]
    blocks += _body(page, path, skip_first=True)
    if limits := thresholds(page.id, path):
        blocks += ["## Thresholds", limits]
    blocks += _claims(page, path, "## What it rests on")
    blocks.append(f"```console\n$ diagnose explain {page.id}\n```")
    return "\n\n".join(blocks) + "\n"


def _many(kind: str, title: str, intro: str, path: str) -> str:
    """All pages of a kind on one, each under its id."""
    blocks = [f"# {title}", intro]
    for page in explaining.pages(kind):
        if kind == "claim":
            blocks += [f"## {page.id} {{ #{page.id} }}", f"*{page.title}*"]
        else:
            brief = f": {prose(page.brief, path)}" if page.brief != page.title else ""
            blocks += [f"## {page.title} {{ #{page.id} }}", f"`{page.id}`{brief}"]
        blocks += _body(page, path, skip_first=kind == "set-up rule")
        if kind != "claim":
            blocks += _claims(page, path, "**What it rests on**")
    return "\n\n".join(blocks) + "\n"


def _body(page: Page, path: str, *, skip_first: bool) -> Iterator[str]:
    """Paragraphs, texts and lists; the first paragraph of a manual page in the code is its title and brief."""
    for paragraph in page.paragraphs[1 if skip_first else 0 :]:
        yield prose(paragraph, path)
    if page.sections:
        yield "\n".join(f"{prose(heading, path)}\n:   {prose(text, path)}\n" for heading, text in page.sections)
    for title, entries in page.lists:
        yield f"**{title}**"
        yield "\n".join(f"- {prose(entry, path)}" for entry in entries)


def _claims(page: Page, path: str, heading: str) -> Iterator[str]:
    if page.rows:
        yield heading
        yield "\n".join(
            f"- {prose(row.id, path)}: {prose(row.claim, path)} ({prose('; '.join(row.sources), path)})"
            for row in page.rows
        )


def _causes() -> str:
    blocks = ["# Causes", _CAUSES_INTRO]
    for cause in known_causes().values():
        remedies = ", ".join(link(remedy, CAUSES) for remedy in cause.remedies)
        told = f"`{cause.id}` · stage: {cause.stage} · before any finding: {cause.prior:+g}"
        rows = [
            (f"{rule.log_odds:+g}", link(rule.finding, CAUSES), _asked(rule), _because(rule))
            for rule in sorted(cause.rules, key=lambda rule: -rule.log_odds)
        ]
        head = ("log-odds", "finding", "where", "because")
        blocks += [f"## {cause.title} {{ #{cause.id} }}", told, f"What to do: {remedies}.", table(head, rows)]
    return "\n\n".join(blocks) + "\n"


def _asked(rule: Rule) -> str:
    asked = [f"{name.replace('_', ' ')}: {value}" for name, value in rule.where.items()]
    asked += ["in the first tenth of the run"] if rule.early else []
    asked += [RATES[rule.rate]] if rule.rate else []
    return prose("; ".join(asked), CAUSES)


def _because(rule: Rule) -> str:
    return prose(f"{rule.because} ({', '.join(rule.sources)})" if rule.sources else rule.because, CAUSES)


def _claims_intro() -> str:
    titles = "\n".join(f"- `{name}`: {prose(title, CLAIMS)}" for name, title in documents().items())
    return f"What the four source documents say, in this project's own words, and where each claim lives:\n\n{titles}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


_RULES_INTRO = (
    "Checks that need no curve: what the model, the optimizer and the config tell by themselves. They speak when a "
    "monitor is attached (log level INFO) and in the report, always as `info`: they add weight for or against "
    "[causes](causes.md), and only curves can make a run ill."
)
_CAUSES_INTRO = (
    "Causes are ranked by adding up evidence. Each starts at its log-odds before any finding; each finding adds the "
    "weight in the table times its confidence. +3 nearly proves, +2 speaks clearly for it, +1 fits, −1 speaks against "
    "it. The probabilities in a report are these sums, exponentiated and normalised. A cause needs at least one "
    "finding above `info` that speaks for it."
)
_REMEDIES_INTRO = (
    "What a prescription can ask for. The numbers come from the run where it gives them; what has to follow comes from "
    "the [couplings](couplings.md). Each remedy says what to watch in the next run, and what would show that it was "
    "the wrong one."
)
