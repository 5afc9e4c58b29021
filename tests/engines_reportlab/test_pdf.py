"""The PDF engine: every word, long tables over pages, red gaps, and bytes that depend on the report alone."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from keelway.engines.reportlab import report_pdf
from keelway.errors import MissingExtraError
from keelway.report import PrintedReport, TablePart, TextPart

REPORT = PrintedReport(
    "The Law: shop",
    "shop, 1 March",
    (
        TextPart("heading", "Article 1 [gap]"),
        TextPart("text", "What is asked & why <now>."),
        TextPart("subheading", "risk [gap]"),
        TextPart("item", "looked at #3"),
        TextPart("bad", "nobody assessed it"),
        TablePart(("id", "status"), (("art-1", "gap"), ("art-2", "met")), (0.5, 0.5), frozenset({0})),
    ),
)
RED = b".690196 0 .12549 rg"


def words(data: bytes) -> str:
    return " ".join(" ".join(page.extract_text() for page in PdfReader(io.BytesIO(data)).pages).split())


def drawn(data: bytes) -> bytes:
    """Return the drawing commands of the first page."""
    contents = PdfReader(io.BytesIO(data)).pages[0].get_contents()
    assert contents is not None
    return contents.get_data()


def test_every_word_is_there() -> None:
    told = words(report_pdf(REPORT))
    for said in (
        "The Law: shop", "Article 1 [gap]", "What is asked & why <now>.", "looked at #3", "nobody assessed it", "art-2",
        "shop, 1 March",
    ):  # fmt: skip
        assert said in told


def test_gaps_are_red() -> None:
    calm = PrintedReport("t", "f", (TextPart("item", "fine"), TablePart(("a",), (("b",),), (1.0,))))
    assert RED in drawn(report_pdf(REPORT))
    assert RED not in drawn(report_pdf(calm))


def test_a_long_table_goes_over_pages_with_its_head_on_each() -> None:
    rows = tuple((f"row-{number}", "met") for number in range(200))
    pages = PdfReader(
        io.BytesIO(report_pdf(PrintedReport("t", "f", (TablePart(("id", "status"), rows, (0.5, 0.5)),))))
    ).pages
    assert len(pages) > 2
    assert all("status" in page.extract_text() for page in pages)
    assert [page.extract_text().strip().rsplit(maxsplit=1)[-1] for page in pages][-1]
    assert "row-199" in pages[-1].extract_text()


def test_a_word_longer_than_the_line_is_broken() -> None:
    long = "sha256:" + "0123456789abcdef" * 12
    told = words(
        report_pdf(PrintedReport("t", "f", (TextPart("text", long), TablePart(("a", "b"), ((long, "x"),), (0.2, 0.8)))))
    )
    assert told.replace(" ", "").count(long) == 2


def test_another_process_at_another_time_and_place_writes_the_same_bytes() -> None:
    code = (
        "import sys\n"
        "from keelway.engines.reportlab import report_pdf\n"
        "from keelway.report import PrintedReport, TextPart\n"
        "sys.stdout.buffer.write(report_pdf(PrintedReport('t', 'f', (TextPart('text', 'x'),))))"
    )
    elsewhere = os.environ | {"TZ": "Pacific/Auckland", "LC_ALL": "C", "PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "1"}
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=elsewhere).stdout
    assert other == report_pdf(PrintedReport("t", "f", (TextPart("text", "x"),)))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ömer, Łódź", "Ömer, [U+0141]ód[U+017A]"),
        ("中文", "[U+4E2D][U+6587]"),
        ("€ 5, “so”", "€ 5, “so”"),
        ("a\tb\nc", "a b c"),
        ("bell\x07", "bell[U+0007]"),
    ],
)
def test_letters_that_the_fonts_lack_are_numbers(text: str, shown: str) -> None:
    assert shown in words(report_pdf(PrintedReport("t", "f", (TextPart("text", text),))))


@given(st.text(max_size=60))
@settings(max_examples=25, deadline=None)
def test_whatever_people_wrote_can_be_printed(text: str) -> None:
    report = PrintedReport(text or "t", text, (TextPart("bad", text), TablePart(("a",), ((text,),), (1.0,))))
    assert report_pdf(report) == report_pdf(report)


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*(name for name in sys.modules if name.partition(".")[0] == "reportlab"), "reportlab"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError) as caught:
        report_pdf(REPORT)
    assert "keelway[report]" in caught.value.fix
    assert "--format html" in caught.value.fix
