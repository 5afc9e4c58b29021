"""A printed report as Markdown and as a page: the same words, gaps to be seen, and text that stays text."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from keelway.report import PrintedReport, TablePart, TextPart, report_markdown, report_page

PARTS = (
    TextPart("heading", "1. People"),
    TextPart("text", "Who acts."),
    TextPart("item", "ask"),
    TextPart("bad", "nobody is called"),
    TextPart("text", "After the list."),
    TablePart(("step", "who"), (("ask", "user:ana"), ("approve", "nobody")), (0.5, 0.5), frozenset({1})),
    TextPart("subheading", "Drills"),
)
REPORT = PrintedReport("Packet: churn", "shop, today", PARTS)


def test_markdown_reads_as_it_is_meant() -> None:
    assert report_markdown(REPORT) == (
        "# Packet: churn\n\n## 1. People\n\nWho acts.\n\n- ask\n- **GAP: nobody is called**\n\nAfter the list.\n\n"
        "| step | who |\n| --- | --- |\n| ask | user:ana |\n| **approve** | **nobody** |\n\n### Drills\n"
    )


def test_a_page_groups_items_and_shows_gaps_in_red() -> None:
    page = report_page(REPORT)
    assert '<ul><li>ask</li><li class="bad">nobody is called</li></ul>' in page
    assert '<span class="bad">nobody</span>' in page
    assert "<h2>1. People</h2>" in page
    assert "shop, today" in page


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40))
def test_what_people_wrote_never_becomes_markup(text: str) -> None:
    report = PrintedReport("t", "f", (TextPart("item", text), TablePart(("a",), ((text,),), (1.0,))))
    page = report_page(report)
    inside = re.search(r"<li>(.*?)</li>", page, re.DOTALL)
    assert inside is not None
    assert "<" not in inside[1]
    row = report_markdown(report).splitlines()[-1]
    assert row.count("|") - row.count("\\|") == 2
    assert "\n" not in row


def test_the_same_report_gives_the_same_text() -> None:
    assert report_markdown(REPORT) == report_markdown(PrintedReport("Packet: churn", "shop, today", PARTS))
