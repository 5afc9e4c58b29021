"""Writes a printed report as Markdown, or as an HTML page that loads nothing."""

from __future__ import annotations

import re
from html import escape
from itertools import groupby

from keelway.core import html_page, html_table
from keelway.report.document import PrintedReport, TablePart, TextPart

_SPECIAL = str.maketrans({letter: f"\\{letter}" for letter in "\\`*_<>|#"})


def report_markdown(report: PrintedReport) -> str:
    """Return a report as Markdown; what is red stands in bold after `GAP:`."""
    lines = [f"# {_plain(report.title)}", ""]
    in_list = False
    for part in report.parts:
        lines += [""] if in_list and _kind(part) != "item" else []
        in_list = _kind(part) == "item"
        lines += _markdown(part)
    return re.sub("\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def report_page(report: PrintedReport) -> str:
    """Return a report as an HTML page."""
    parts = []
    for kind, group in groupby(report.parts, key=_kind):
        given = list(group)
        if kind == "item":
            parts.append(f"<ul>{''.join(_html_item(part) for part in given if isinstance(part, TextPart))}</ul>")
        else:
            parts += [_html(part) for part in given]
    parts.append(f"<p><small>{escape(report.footer)}</small></p>")
    return html_page(report.title, parts)


def _kind(part: TextPart | TablePart) -> str:
    if isinstance(part, TablePart):
        return "table"
    return "item" if part.kind in ("item", "bad") else part.kind


def _markdown(part: TextPart | TablePart) -> list[str]:
    if isinstance(part, TablePart):
        rows = [[_plain(cell) for cell in row] for row in part.rows]
        rows = [[f"**{cell}**" for cell in row] if number in part.bad else row for number, row in enumerate(rows)]
        lines = [list(part.heads), ["---"] * len(part.heads), *rows]
        return ["", *(f"| {' | '.join(row)} |" for row in lines), ""]
    text = _plain(part.text)
    if part.kind == "heading":
        return ["", f"## {text}", ""]
    if part.kind == "subheading":
        return ["", f"### {text}", ""]
    if part.kind == "item":
        return [f"- {text}"]
    return [f"- **GAP: {text}**"] if part.kind == "bad" else [text, ""]


def _html(part: TextPart | TablePart) -> str:
    if isinstance(part, TablePart):
        rows = [
            [f'<span class="bad">{escape(cell)}</span>' if number in part.bad else escape(cell) for cell in row]
            for number, row in enumerate(part.rows)
        ]
        return html_table(part.heads[0], part.heads, rows)
    tag = {"heading": "h2", "subheading": "h3"}.get(part.kind, "p")
    return f"<{tag}>{escape(part.text)}</{tag}>"


def _html_item(part: TextPart) -> str:
    text = escape(part.text)
    return f'<li class="bad">{text}</li>' if part.kind == "bad" else f"<li>{text}</li>"


def _plain(text: str) -> str:
    return " ".join(text.split()).translate(_SPECIAL)
