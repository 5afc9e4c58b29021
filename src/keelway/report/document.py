"""A report as pages see it, for writers of other forms such as PDF: headings, paragraphs and tables of plain text.

Report and packet are turned into the same few parts, so that a writer needs to know nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from keelway.core import short, time_text

if TYPE_CHECKING:
    from keelway.report.records import ComplianceReport, ControlAnswer, EvidenceLink

PartKind = Literal["heading", "subheading", "text", "item", "bad"]


@dataclass(frozen=True, slots=True)
class TextPart:
    """A heading or a paragraph; `bad` is a paragraph in red."""

    kind: PartKind
    text: str


@dataclass(frozen=True, slots=True)
class TablePart:
    """Rows of plain text under heads; `bad` names the rows in red."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    widths: tuple[float, ...]
    bad: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class PrintedReport:
    """What is to be printed.

    Attributes:
        footer: Stands on every page, beside its number.
    """

    title: str
    footer: str
    parts: tuple[TextPart | TablePart, ...]


class ReportWriter(Protocol):
    """Writes a report into a file format. Promise: the same report gives the same bytes, at any time and place."""

    def __call__(self, report: PrintedReport) -> bytes:
        """Return the file's bytes.

        Raises:
            MissingExtraError: A package that it needs is not installed.
        """
        ...


def printed(report: ComplianceReport) -> PrintedReport:
    """Return a compliance report as it is printed."""
    footer = f"{report.title}, {report.project}, as of {time_text(report.at)}, ledger root {report.ledger_root[:16]}"
    return PrintedReport(f"{report.title}: {report.project}", footer, tuple(_parts(report)))


def _parts(report: ComplianceReport) -> Iterator[TextPart | TablePart]:
    yield TextPart(
        "text", f"Source: {report.source}. As of {time_text(report.at)}. Models: {', '.join(report.models) or 'none'}."
    )
    yield TextPart("text", f"Ledger: {report.ledger_size} entries, root {report.ledger_root}.")
    yield TextPart("text", ", ".join(f"{number} {status}" for status, number in report.counts.items()) + ".")
    yield TextPart("text", "Made from the ledger alone; an aid for people who judge, and no legal advice.")
    rows = tuple(
        (one.control.control_id, one.control.reference, one.control.title, one.status) for one in report.answers
    )
    bad = frozenset(number for number, one in enumerate(report.answers) if one.status == "gap")
    yield TablePart(("id", "reference", "control", "status"), rows, (0.13, 0.25, 0.47, 0.15), bad)
    for answer in report.answers:
        yield from _control(answer)
    links = {link.entry: link for answer in report.answers for link in answer.links}
    if links:
        yield TextPart("heading", "Evidence: ledger entries that this report rests on")
        yield TablePart(
            ("entry", "at", "decision", "by", "digests"),
            tuple(_entry(link) for _, link in sorted(links.items())),
            (0.08, 0.18, 0.22, 0.14, 0.38),
        )


def _control(answer: ControlAnswer) -> Iterator[TextPart]:
    control = answer.control
    yield TextPart("heading", f"{control.reference}: {control.title} [{answer.status}]")
    yield TextPart("bad" if answer.status == "gap" else "text", f"{answer.reason}.")
    if control.attach:
        kind = "Organisational, software cannot answer it" if control.organisational else "Also needed"
        yield TextPart("text", f"{kind}: {control.attach}.")
    for one in answer.attachments:
        until = f", valid until {time_text(one.valid_until)}" if one.valid_until else ""
        yield TextPart(
            "item", f"Attached by {one.attached_by} on {time_text(one.attached_at)}{until}: {one.name} {one.file}"
        )
    for each in answer.found:
        yield TextPart("subheading", f"{each.finder.replace('_', ' ')} [{each.status}]")
        for point in each.points:
            entries = " ".join(f"#{index}" for index in point.entries)
            yield TextPart("bad" if point.status == "gap" else "item", f"{point.text} {entries}".rstrip())


def _entry(link: EvidenceLink) -> tuple[str, ...]:
    digests = {"decision": link.decision, **link.records}
    return (
        f"#{link.entry}",
        time_text(link.at),
        f"{link.action} {link.subject}" + ("" if link.allowed else " (refused)"),
        link.principal,
        "  ".join(f"{role} {short(digest)}" for role, digest in digests.items()),
    )
