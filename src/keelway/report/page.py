"""Writes a compliance report as one HTML page that loads nothing: gaps in red, and every link leads to its entry below."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from keelway.core import html_facts, html_page, html_table, time_text

if TYPE_CHECKING:
    from keelway.report.records import AnswerStatus, ComplianceReport, ControlAnswer, EvidenceLink, Point

_NOTE = """<p>Made from the ledger alone: what was recorded later is not read. An aid for people who judge, and no legal
advice. Questions are in our own words; the source is what counts.</p>"""


def compliance_page(report: ComplianceReport) -> str:
    """Return a report as an HTML page; the same report gives the same bytes."""
    facts = [
        ("project", report.project),
        ("source", report.source),
        ("as of", time_text(report.at)),
        ("models", ", ".join(report.models) or "none"),
        ("ledger", f"{report.ledger_size} entries, root {report.ledger_root}"),
        ("controls", ", ".join(f"{number} {status}" for status, number in report.counts.items())),
    ]
    return html_page(
        f"{report.title}: {report.project}",
        [
            html_facts(facts),
            _NOTE,
            _overview(report),
            *(part for answer in report.answers for part in _control(answer)),
            _entries(report.answers),
        ],
    )


def _overview(report: ComplianceReport) -> str:
    rows = [
        [
            f'<a href="#{escape(one.control.control_id)}">{escape(one.control.control_id)}</a>',
            escape(one.control.reference),
            escape(one.control.title),
            _status(one.status),
        ]
        for one in report.answers
    ]
    return "<h2>Controls</h2>\n" + html_table(
        "Every control and its status", ["id", "reference", "control", "status"], rows
    )


def _control(answer: ControlAnswer) -> Iterable[str]:
    control = answer.control
    yield (
        f'<h2 id="{escape(control.control_id)}">{escape(control.reference)}: {escape(control.title)}'
        f" {_status(answer.status)}</h2>"
    )
    yield f"<p>{escape(answer.reason)}.</p>"
    if control.attach:
        kind = "Organisational, software cannot answer it" if control.organisational else "Also needed"
        yield f'<p class="gap"><strong>{kind}:</strong> {escape(control.attach)}.</p>'
    for one in answer.attachments:
        until = f", valid until {time_text(one.valid_until)}" if one.valid_until else ""
        yield (
            f"<p>Attached by {escape(one.attached_by)} on {time_text(one.attached_at)}{until}: {escape(one.name)}"
            f" (<code>{escape(one.file)}</code>). {escape(one.note)}</p>"
        )
    for each in answer.found:
        points = "".join(f"<li>{_point(point)}</li>" for point in each.points)
        yield f"<h3>{escape(each.finder.replace('_', ' '))} {_status(each.status)}</h3>\n<ul>{points}</ul>"


def _point(point: Point) -> str:
    links = " ".join(f'<a href="#entry-{index}">#{index}</a>' for index in point.entries)
    text = f"<strong class='bad'>{escape(point.text)}</strong>" if point.status == "gap" else escape(point.text)
    return f"{text} {links}".rstrip()


def _status(status: AnswerStatus) -> str:
    return f'<span class="tag{" bad" if status == "gap" else ""}">{escape(status)}</span>'


def _entries(answers: Iterable[ControlAnswer]) -> str:
    """Return every entry that is evidence, once, with the digests of its decision and records."""
    links: dict[int, EvidenceLink] = {link.entry: link for answer in answers for link in answer.links}
    rows = [
        [
            f'<span id="entry-{link.entry}">{link.entry}</span>',
            time_text(link.at),
            escape(f"{link.action} {link.subject}"),
            escape(link.principal),
            "yes" if link.allowed else "no",
            "<br>".join(
                f"{escape(role)} <code>{escape(digest)}</code>"
                for role, digest in {"decision": link.decision, **link.records}.items()
            ),
        ]
        for _, link in sorted(links.items())
    ]
    if not rows:
        return ""
    heads = ["entry", "at", "decision", "by", "allowed", "digests"]
    return "<h2>Evidence</h2>\n" + html_table("Ledger entries that this report rests on", heads, rows)
