"""Writes an experiment report as one HTML page that loads nothing: the verdict first, the way it was reached below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

from keelway.core import html_facts, html_list, html_page, html_table, short
from keelway.report.experiment.figure_words import difference_told, level_in, moment, span
from keelway.report.experiment.outcome_words import STRATEGIES, listed
from keelway.report.experiment.plots import figure_plot, shares_plot, thinned

if TYPE_CHECKING:
    from keelway.report.experiment.records import ExperimentReport, FigureStory, LookLine

MOST_ROWS = 60
"""Of the numbers behind a plot, for each treatment."""
MOST_LOOKS = 20
"""Of the table of looks, or more where more changed something."""
STATES = {
    "running": "running",
    "paused": "paused",
    "finished": "finished",
    "back": "taken back",
    "stopped": "ended by a person",
}
STATUSES = {
    "held": ("good", "✓ as it should be"),
    "violated": ("bad", "✗ worse than allowed"),
    "open": ("", "… not settled"),
    "unknown": ("bad", "? not measured"),
}
MOVES = {
    "hold": "waits",
    "advance": "goes on to the next stage",
    "finish": "takes over",
    "back": "is taken back",
    "pause": "pauses",
}
TURNS = {"pause": "paused it", "resume": "let it go on", "stop": "gave all traffic back"}
OUTCOMES = {
    "success": ("good", "✓ good"),
    "failure": ("bad", "✗ worse"),
    "inconclusive": ("", "… undecided"),
    "error": ("bad", "? cannot be judged"),
}
STYLE = """
:root { --good: #14692c; }
.verdict { font-size: 1.25rem; line-height: 1.4; border-left: .4rem solid var(--strong); padding: .6rem 1rem; }
.verdict { margin: 1rem 0; background: var(--soft); }
.verdict.good { border-color: var(--good); }
.verdict.bad { border-color: var(--bad); color: inherit; font-weight: 400; }
.tag.good { border-color: var(--good); color: var(--good); }
.tag.bad { border-color: var(--bad); color: var(--bad); font-weight: 600; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); gap: .5rem 2.5rem; }
.figures > section { min-width: 0; }
p, li { max-width: 52rem; }
figure { margin: .5rem 0; max-width: 44rem; }
details { margin: .3rem 0; }
summary { cursor: pointer; }
li { margin: .25rem 0; }
footer { margin-top: 2.5rem; border-top: 1px solid var(--line); font-size: .85rem; }
@media screen and (prefers-color-scheme: dark) {
  :root { --good: #81d19b; }
  svg > rect { fill: #1d1f21; }
  svg text { fill: #e4e4e4; }
  svg > line[stroke="#e6e6e6"] { stroke: #4a4d50; }
  svg > path { stroke: #b0b0b0; }
  svg [stroke="#0072B2"] { stroke: #56b4e9; }
  svg [fill="#0072B2"] { fill: #56b4e9; }
}
@media (max-width: 40rem) {
  body { padding: .8rem; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .5rem; }
  th, td { padding: .3rem .4rem; font-size: .9rem; }
}
@media print {
  .figures { display: block; }
  section { break-inside: avoid; }
}
"""


def experiment_page(report: ExperimentReport) -> str:
    """Return a report as an HTML page; the same report gives the same bytes."""
    return html_page(
        f"{listed(report.treatments)} against {report.control}",
        [
            f'<p class="verdict {_mood(report)}"><strong>{escape(report.verdict)}</strong></p>',
            html_facts(_facts(report)),
            _section("What it means", report.meaning),
            _glance(report),
            _section("What to do next", report.steps),
            _section("How sure it is", report.certainty),
            *_figures(report),
            _sample_ratio(report),
            _shares(report),
            _looks(report),
            _turns(report),
            _decisions(report),
            _section("What is not known", report.unknown),
            _section("How it was judged", report.method),
            _foot(report),
        ],
        style=STYLE,
    )


def _facts(report: ExperimentReport) -> list[tuple[str, str]]:
    requests = {name: count for look in report.looks[-1:] for name, count in look.requests.items()}
    return [
        ("What is tried", listed(report.treatments)),
        ("Against", report.control),
        ("Model and place", f"{report.model} in {report.environment}, project {report.project}"),
        ("How", STRATEGIES.get(report.strategy, report.strategy)),
        ("Since", f"{moment(report.began)}, begun by {report.principal}"),
        ("Until", moment(report.ended) if report.ended else f"still under way, told as of {moment(report.at)}"),
        ("State", STATES.get(report.state, report.state)),
        (
            "Requests judged",
            ", ".join(f"{count:,} to {name}" for name, count in requests.items()) or "none were counted",
        ),
        ("Looks", f"{len(report.looks):,}"),
    ]


def _mood(report: ExperimentReport) -> str:
    outcomes = {arm.outcome for arm in report.arms}
    if report.state in ("back", "paused") or outcomes & {"failure", "error"}:
        return "bad"
    return "good" if report.state == "finished" or outcomes == {"success"} else ""


def _section(title: str, sentences: Sequence[str]) -> str:
    return f"<h2>{escape(title)}</h2>\n{html_list(sentences)}" if sentences else ""


def _glance(report: ExperimentReport) -> str:
    """Return every figure of every treatment in one table."""
    rows = [
        [
            escape(figure.title),
            *([escape(figure.version)] if len(report.arms) > 1 else []),
            _tag(*STATUSES[figure.status]),
            escape(_change(figure)),
            escape(_truth(figure)),
            escape(_level(figure, figure.treatment)),
            escape(_level(figure, figure.control)),
        ]
        for figure in _by_figure(report)
    ]
    if not rows:
        return ""
    several = len(report.arms) > 1
    levels = [f"with {'it' if several else report.treatments[0]}", f"with {report.control}"]
    heads = ["figure", *(["version"] if several else []), "status", "difference", "the truth is", *levels]
    return "<h2>At a glance</h2>\n" + html_table("Every figure at the newest look", heads, rows)


def _by_figure(report: ExperimentReport) -> list[FigureStory]:
    """Return what was judged at the newest look: each figure of all treatments, and then the next figure."""
    found = [figure for arm in report.arms if arm.judged for figure in arm.figures]
    order = list(dict.fromkeys((figure.role, figure.name) for figure in found))
    return sorted(found, key=lambda figure: order.index((figure.role, figure.name)))


def _truth(figure: FigureStory) -> str:
    if figure.kind == "distribution":
        return "-"
    return span(figure, figure.low, figure.high) or "not known"


def _level(figure: FigureStory, value: float | None) -> str:
    return "-" if value is None else level_in(figure.kind, value, figure.name)


def _change(figure: FigureStory) -> str:
    if figure.difference is None:
        return "not known"
    told = difference_told(figure, figure.difference)
    return told.removesuffix(" higher") + " apart" if figure.kind == "distribution" else told


def _figures(report: ExperimentReport) -> Iterator[str]:
    """Yield goals first, then guardrails, each with its plot and its history."""
    names = dict.fromkeys((figure.role, figure.name) for arm in report.arms for figure in arm.figures)
    for role, heading in (("goal", "What it is for"), ("guardrail", "What must not get worse")):
        wanted = [name for each, name in names if each == role]
        if not wanted:
            continue
        yield f'<h2>{heading}</h2>\n<div class="figures">'
        for name in wanted:
            yield _figure([figure for arm in report.arms for figure in arm.figures if figure.name == name], report)
        yield "</div>"


def _figure(stories: Sequence[FigureStory], report: ExperimentReport) -> str:
    several = len(stories) > 1
    said = []
    for story in stories:
        front = f"<strong>{escape(story.version)}</strong> " if several else ""
        said.append(f"<p>{front}{_tag(*STATUSES[story.status])} {escape(story.sentence)}</p>")
    plot = figure_plot(stories, report.began)
    parts = [
        '<section class="figure">',
        f"<h3>{escape(stories[0].title)}</h3>",
        *said,
        f"<figure>\n{plot}</figure>" if plot else "",
        _history(stories),
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def _history(stories: Sequence[FigureStory]) -> str:
    """Return the plot as a table, for those who cannot see it or want the numbers."""
    rows = [
        [
            str(point.look),
            escape(moment(point.at)),
            escape(story.version),
            escape("not known" if point.value is None else difference_told(story, point.value)),
            escape(span(story, point.low, point.high) or "not known"),
            _tag(*STATUSES[point.status]),
        ]
        for story in stories
        for point in thinned(story.points, MOST_ROWS)
    ]
    if not rows:
        return ""
    heads = ["look", "at", "version", "difference", "the truth is", "status"]
    most = max(len(story.points) for story in stories)
    kept = f", {MOST_ROWS} of {most:,} looks" if most > MOST_ROWS else ""
    table = html_table(f"{stories[0].title} at each look{kept}", heads, rows)
    return f"<details><summary>The numbers behind the plot</summary>\n{table}\n</details>"


def _sample_ratio(report: ExperimentReport) -> str:
    if not report.arms:
        return ""
    said = [f"{arm.version}: {arm.sample_ratio}" if len(report.arms) > 1 else arm.sample_ratio for arm in report.arms]
    why = (
        "This is asked before anything else. If the traffic is not split as it was meant to be, something loses requests or "
        "sends them astray, and who is left in an arm is no longer comparable with the other."
    )
    return f"<h2>Did everybody get the traffic that was meant?</h2>\n<p>{escape(why)}</p>\n{html_list(said)}"


def _shares(report: ExperimentReport) -> str:
    if not report.shares:
        return ""
    rows = [
        [
            escape(moment(step.at)),
            str(step.stage + 1),
            escape(", ".join(f"{name} {share:g} %" for name, share in step.shares.items())),
            f"<code>{escape(short(step.deployment))}</code>",
        ]
        for step in report.shares
    ]
    svg = shares_plot(report) if len(report.shares) > 1 else ""
    plot = f"<figure>\n{svg}</figure>" if svg else ""
    table = html_table("Each change of the traffic", ["from", "stage", "shares", "deployment"], rows)
    return f"<h2>How the traffic was shared</h2>\n{plot}\n{table}"


def _looks(report: ExperimentReport) -> str:
    if not report.looks:
        return ""
    kept = _telling(report.looks)
    rows = [
        [
            str(look.number),
            escape(moment(look.at)),
            str(look.stage + 1),
            "<br>".join(
                f"{escape(arm)} {_tag(*OUTCOMES[outcome])}" if len(look.outcomes) > 1 else _tag(*OUTCOMES[outcome])
                for arm, outcome in look.outcomes.items()
            ),
            "<br>".join(f"{escape(name)} {count:,}" for name, count in look.requests.items()),
            escape(MOVES.get(look.move, look.move)),
            "<br>".join(escape(text) for text in (look.news if look.move in ("hold", "advance") else look.reasons)),
        ]
        for look in kept
    ]
    heads = ["look", "at", "stage", "verdict", "requests", "what followed", "news"]
    told = (
        "Every look"
        if len(kept) == len(report.looks)
        else (f"{len(kept)} of {len(report.looks):,} looks: those at which something changed, and others evenly")
    )
    return f"<h2>Looks</h2>\n{html_table(told, heads, rows)}"


def _telling(looks: Sequence[LookLine]) -> list[LookLine]:
    """Return the first look, the last one, those at which something changed, and others evenly."""
    if len(looks) <= MOST_LOOKS:
        return list(looks)
    changed = [
        place
        for place, (before, look) in enumerate(pairwise(looks), start=1)
        if look.news or (before.outcomes, before.move, before.stage) != (look.outcomes, look.move, look.stage)
    ]
    step = (len(looks) - 1) / (MOST_LOOKS // 2 - 1)
    evenly = [round(place * step) for place in range(MOST_LOOKS // 2)]
    return [looks[place] for place in sorted({*evenly, *changed[-MOST_ROWS:]})]


def _turns(report: ExperimentReport) -> str:
    if not report.turns:
        return ""
    rows = [
        [escape(moment(turn.at)), escape(turn.principal), TURNS.get(turn.to, escape(turn.to)), escape(turn.comment)]
        for turn in report.turns
    ]
    return "<h2>What people did</h2>\n" + html_table("What the rollout was told", ["at", "who", "what", "why"], rows)


def _decisions(report: ExperimentReport) -> str:
    if not report.decisions:
        return ""
    rows = [
        [
            f"#{line.entry}",
            escape(moment(line.at)),
            escape(line.action),
            "yes" if line.allowed else '<span class="bad">refused</span>',
            escape(line.principal),
            escape(line.text),
        ]
        for line in report.decisions
    ]
    heads = ["entry", "at", "decision", "allowed", "by", "why"]
    return "<h2>Decisions in the ledger</h2>\n" + html_table("Each can be proven by its entry", heads, rows)


def _foot(report: ExperimentReport) -> str:
    return (
        f"<footer><p>Rollout <code>{escape(report.rollout)}</code>, told as of {escape(moment(report.at))} from the stored "
        "records of each look; nothing was computed anew. Every interval holds at all looks together.</p></footer>"
    )


def _tag(mood: str, text: str) -> str:
    return f'<span class="tag {mood}">{escape(text)}</span>' if mood else f'<span class="tag">{escape(text)}</span>'
