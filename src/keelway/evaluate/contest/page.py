"""A contest as one HTML page that people read: verdicts first, then figures, plots and slices, then how it was made.

The page holds no moment at which it was written, so the same contest gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from keelway.core import html_facts, html_list, html_page, html_plots, html_table
from keelway.evaluate.contest.records import Contest, Contestant, ContestSlice, Duel
from keelway.evaluate.contest.words import chance_of
from keelway.evaluate.metrics import greater_is_better
from keelway.evaluate.uncertainty import Interval

NOTHING = "-"


def contest_page(
    found: Contest,
    *,
    about: Sequence[tuple[str, str]],
    told: Mapping[str, Sequence[tuple[str, str]]],
    warnings: Sequence[str] = (),
    plots: Mapping[str, str],
) -> str:
    """Return a contest as an HTML page.

    Args:
        found: The contest.
        about: Where the rows come from, as names and texts.
        told: What each model is, by its name; all say the same things in the same order.
        warnings: What a reader must know, in sentences.
        plots: The charts as SVG, by name.
    """
    title = f"{found.baseline.name} and {', '.join(each.name for each in found.models[1:])}"
    return html_page(
        f"Comparison of {title}",
        [
            _verdict(found),
            f"<h2>What to know</h2>\n{html_list(warnings)}" if warnings else "",
            _figures(found),
            _duels(found),
            f"<h2>Plots</h2>\n{html_plots(plots.values())}" if plots else "",
            _slices(found),
            _models(told),
            f"<h2>How it was compared</h2>\n{html_facts([*about, *_method(found)])}",
        ],
    )


def _verdict(found: Contest) -> str:
    """Return what the first metric says, and which model it speaks for."""
    said = [each.sentence for each in found.deciding]
    if found.leader == found.baseline.name:
        answer = f"By {found.metrics[0]}, nothing here speaks for leaving {found.baseline.name}."
    else:
        answer = f"By {found.metrics[0]}, {found.leader} is the one to take."
    return f"<h2>Verdict</h2>\n<p><strong>{escape(answer)}</strong></p>\n{html_list(said)}"


def _figures(found: Contest) -> str:
    heads = ("Model", *(f"{name} ({'high' if greater_is_better(name) else 'low'} is good)" for name in found.metrics))
    rows = [[_code(each.name), *(_interval(each.figures[name]) for name in found.metrics)] for each in found.models]
    return "<h2>Figures</h2>\n" + html_table("Each figure with its 95 % interval", heads, rows)


def _duels(found: Contest) -> str:
    heads = ("Model", "Metric", "Difference", "Margin", "Chance", "Test", "Verdict")
    rows = [
        [
            _code(each.name),
            escape(each.comparison.metric),
            _signed(each.comparison.difference),
            f"{each.comparison.smallest_difference:g}" if each.comparison.smallest_difference else "any",
            escape(chance_of(each.comparison)),
            escape(each.comparison.difference.method),
            f'<span class="tag">{escape(each.word)}</span>',
        ]
        for each in found.duels
    ]
    return f"<h2>Differences</h2>\n{html_table(f'Each model minus {found.baseline.name}', heads, rows)}"


def _slices(found: Contest) -> str:
    if not found.slices:
        return ""
    heads = ("Slice", "Rows", *(each.name for each in found.models), "Verdict")
    rows = [_slice(each, found.models) for each in found.slices]
    caption = f"{found.metrics[0]} on the rows that share a value, with 95 % intervals"
    return f"<h2>Slices</h2>\n{html_table(caption, heads, rows)}"


def _slice(part: ContestSlice, models: Sequence[Contestant]) -> list[str]:
    name = f"{escape(part.column)} = {escape(part.level)}"
    figures = [_interval(part.figures[each.name]) if each.name in part.figures else NOTHING for each in models]
    return [name, f"{part.rows:,}", *figures, _words(part.duels) if part.duels else "too few rows to judge"]


def _words(duels: Iterable[Duel]) -> str:
    said = [f"{_code(each.name)} {escape(each.word)}" for each in duels]
    return "<br>".join(said)


def _models(told: Mapping[str, Sequence[tuple[str, str]]]) -> str:
    heads = ("Model", *(name for name, _ in next(iter(told.values()))))
    rows = [[_code(name), *(escape(text) or NOTHING for _, text in facts)] for name, facts in told.items()]
    return "<h2>Models</h2>\n" + html_table("What was compared", heads, rows)


def _method(found: Contest) -> list[tuple[str, str]]:
    """Return how the figures were made."""
    several = "the only one there is" if found.correction == "none" else f"corrected by {found.correction}"
    counted = f"{found.rows:,}" + (f", of {found.groups:,} entities" if found.groups else "")
    margins = ", ".join(f"{name} {margin:g}" for name, margin in found.margins.items() if margin) or "none"
    return [
        ("Rows", counted + (f", {found.positives:,} positive" if found.task == "binary" else "")),
        ("Margins", margins),
        ("p-values", f"{len(found.duels)} comparisons, {several}" if len(found.duels) > 1 else several),
        ("Intervals", "95 %, each by itself"),
        ("Seed", str(found.seed)),
    ]


def _interval(figure: Interval) -> str:
    return f"{figure.value:.4g} [{figure.low:.4g}, {figure.high:.4g}]"


def _signed(figure: Interval) -> str:
    return f"{figure.value:+.4g} [{figure.low:+.4g}, {figure.high:+.4g}]"


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"
