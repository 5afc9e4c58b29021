"""One report, three forms: whatever the JSON holds stands on the page and in print, and nothing else."""

from __future__ import annotations

import re
from html import unescape

import pytest

from keelway.core import short, time_text
from keelway.report import (
    ComplianceReport,
    PrintedReport,
    TablePart,
    compliance_page,
    compliance_report,
    framework_names,
    load_framework,
    printed,
)
from keelway.testing.reports import ReportWorld

NAMES = framework_names()


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ComplianceReport]:
    """Return a report of each framework about a world that is neither whole nor empty."""
    world = ReportWorld(tmp_path_factory.mktemp("some"), without={"monitored", "asked", "erased"}, data=("health",))
    with world.reading() as past:
        return {name: compliance_report(load_framework(name), past, project="shop & co") for name in NAMES}


def page_text(report: ComplianceReport) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", compliance_page(report))).split())


def print_text(report: PrintedReport) -> str:
    texts = [report.title, report.footer]
    for part in report.parts:
        texts += [cell for row in part.rows for cell in row] if isinstance(part, TablePart) else [part.text]
    return " ".join(" ".join(texts).split())


def squeezed(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("name", NAMES)
def test_every_answer_stands_in_both_forms(reports: dict[str, ComplianceReport], name: str) -> None:
    report = reports[name]
    page, paper = page_text(report), print_text(printed(report))
    for one in report.answers:
        for text in (one.control.title, one.control.reference, one.reason, one.control.attach):
            assert squeezed(text) in page
            assert squeezed(text) in paper
        for found in one.found:
            for point in found.points:
                assert squeezed(point.text) in page
                assert squeezed(point.text) in paper


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_stands_once_with_its_digests(reports: dict[str, ComplianceReport], name: str) -> None:
    report = reports[name]
    page, paper = compliance_page(report), print_text(printed(report))
    links = {link.entry: link for one in report.answers for link in one.links}
    assert links
    for index, link in links.items():
        assert page.count(f'id="entry-{index}"') == 1
        for digest in (link.decision, *link.records.values()):
            assert digest in page
            assert short(digest) in paper
        assert time_text(link.at) in page


@pytest.mark.parametrize("name", NAMES)
def test_counts_are_those_of_the_answers(reports: dict[str, ComplianceReport], name: str) -> None:
    report = reports[name]
    for status, number in report.counts.items():
        assert sum(one.status == status for one in report.answers) == number
    assert ", ".join(f"{number} {status}" for status, number in report.counts.items()) in page_text(report)


@pytest.mark.parametrize("name", NAMES)
def test_rows_in_red_are_the_gaps(reports: dict[str, ComplianceReport], name: str) -> None:
    report = reports[name]
    table = next(part for part in printed(report).parts if isinstance(part, TablePart))
    assert [row[3] for number, row in enumerate(table.rows) if number in table.bad] == ["gap"] * report.counts["gap"]
    assert sum(table.widths) == pytest.approx(1.0)


@pytest.mark.parametrize("name", NAMES)
def test_a_status_follows_from_its_parts(reports: dict[str, ComplianceReport], name: str) -> None:
    for one in reports[name].answers:
        parts = {found.status for found in one.found} - {"not applicable"}
        if one.control.attach and one.status != "not applicable":
            parts.add("gap")
        expected = {frozenset(): "not applicable"}.get(frozenset(parts), parts.pop() if len(parts) == 1 else "partly")
        if one.found or one.status != "not applicable":
            assert one.status == expected, one.control.control_id
        assert one.reason


def test_the_head_says_of_what_it_tells(reports: dict[str, ComplianceReport]) -> None:
    report = reports["gdpr"]
    page = page_text(report)
    for said in (
        "shop & co",
        "Regulation (EU) 2016/679",
        time_text(report.at),
        report.ledger_root,
        "no legal advice",
        "churn",
    ):
        assert said in page
    assert printed(report).title == "General Data Protection Regulation: shop & co"
    assert report.ledger_root[:16] in printed(report).footer
