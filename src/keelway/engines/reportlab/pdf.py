"""Writes a report as PDF. Neither the time nor the machine gets into the bytes.

The fonts of every PDF reader are used, so that no font is embedded; they hold the letters of Western Europe. Another
letter is written as its number in Unicode, such as [U+4E2D]: the HTML and JSON of a report hold every letter.
"""

from __future__ import annotations

import hashlib
import io
import time
from html import escape
from typing import TYPE_CHECKING, Any

from keelway.errors import MissingExtraError
from keelway.report import TablePart

if TYPE_CHECKING:
    from keelway.report import PrintedReport, ReportWriter, TextPart

RED = "#b00020"
_MARGIN_PT = 48
_SIZES = {"heading": 12, "subheading": 9.5, "text": 9, "item": 9, "bad": 9}


def report_pdf(report: PrintedReport) -> bytes:
    """Return a report as PDF.

    Raises:
        MissingExtraError: ReportLab is not installed.
    """
    try:
        from reportlab.lib.pagesizes import A4
        from reportlab.platypus import Paragraph, SimpleDocTemplate
    except ImportError as error:
        raise MissingExtraError(
            "PDF needs one more package",
            expected="reportlab",
            found="not installed",
            fix="Run: pip install 'keelway[report]', or ask for --format html --format json.",
        ) from error
    sink = io.BytesIO()
    made = SimpleDocTemplate(
        sink,
        pagesize=A4,
        leftMargin=_MARGIN_PT,
        rightMargin=_MARGIN_PT,
        topMargin=_MARGIN_PT,
        bottomMargin=_MARGIN_PT,
        invariant=1,  # no time of making, no random id
        pageCompression=0,  # what a compressor writes depends on its version
        title=_latin(report.title),
        author="Keelway",
        lang="en",
    )
    styles = _styles()
    story = [Paragraph(_text(report.title), styles["title"])]
    story += [
        _table(part, made.width, styles) if isinstance(part, TablePart) else _paragraph(part, styles)
        for part in report.parts
    ]
    footer = _footer(report.footer)
    made.build(story, onFirstPage=footer, onLaterPages=footer, canvasmaker=_timeless)
    return sink.getvalue()


def _timeless(*arguments: Any, **settings: Any) -> Any:
    """Return a canvas whose time is always the same; ReportLab takes it from SOURCE_DATE_EPOCH where that is set."""
    from reportlab.lib.utils import TimeStamp
    from reportlab.pdfgen.canvas import Canvas

    canvas = Canvas(*arguments, **settings)
    canvas._doc.signature = hashlib.md5(b"keelway", usedforsecurity=False)  # the file's id, begun without a time
    stamp = canvas._doc._timeStamp = TimeStamp(invariant=1)
    stamp.t, stamp.lt = 0, tuple(time.gmtime(0))
    stamp.YMDhms = stamp.lt[:6]
    return canvas


def _styles() -> dict[str, Any]:
    from reportlab.lib.colors import HexColor
    from reportlab.lib.styles import ParagraphStyle

    base = ParagraphStyle("text", fontName="Helvetica", fontSize=9, leading=12, spaceAfter=3, splitLongWords=1)
    styles = {"text": base, "title": ParagraphStyle("title", base, fontName="Helvetica-Bold", fontSize=17, leading=21)}
    for name in ("heading", "subheading"):
        size = _SIZES[name]
        styles[name] = ParagraphStyle(
            name, base, fontName="Helvetica-Bold", fontSize=size, leading=size * 1.3, spaceBefore=8, keepWithNext=1
        )
    styles["item"] = ParagraphStyle("item", base, leftIndent=10, bulletIndent=0)
    styles["bad"] = ParagraphStyle("bad", styles["item"], textColor=HexColor(RED), fontName="Helvetica-Bold")
    styles["cell"] = ParagraphStyle("cell", base, fontSize=7.5, leading=9.5, spaceAfter=0)
    styles["head"] = ParagraphStyle("head", styles["cell"], fontName="Helvetica-Bold")
    styles["bad cell"] = ParagraphStyle("bad cell", styles["head"], textColor=HexColor(RED))
    return styles


def _paragraph(part: TextPart, styles: dict[str, Any]) -> Any:
    from reportlab.platypus import Paragraph

    bullet = "-" if part.kind in ("item", "bad") else None
    return Paragraph(_text(part.text), styles[part.kind], bulletText=bullet)


def _table(part: TablePart, width: float, styles: dict[str, Any]) -> Any:
    from reportlab.lib.colors import HexColor
    from reportlab.platypus import LongTable, Paragraph, TableStyle

    rows = [[Paragraph(_text(head), styles["head"]) for head in part.heads]]
    for number, row in enumerate(part.rows):
        style = styles["bad cell" if number in part.bad else "cell"]
        rows.append([Paragraph(_text(cell), style) for cell in row])
    table = LongTable(rows, colWidths=[width * share for share in part.widths], repeatRows=1, spaceBefore=6)
    line = HexColor("#888888")
    table.setStyle(
        TableStyle([("LINEBELOW", (0, 0), (-1, -1), 0.4, line), ("VALIGN", (0, 0), (-1, -1), "TOP"),
                    ("LEFTPADDING", (0, 0), (-1, -1), 3), ("RIGHTPADDING", (0, 0), (-1, -1), 3)])
    )  # fmt: skip
    return table


def _footer(text: str) -> Any:
    def draw(canvas: Any, document: Any) -> None:
        canvas.saveState()
        canvas.setFont("Helvetica", 7)
        canvas.drawString(_MARGIN_PT, _MARGIN_PT / 2, _latin(text))
        canvas.drawRightString(_MARGIN_PT + document.width, _MARGIN_PT / 2, str(document.page))
        canvas.restoreState()

    return draw


def _text(text: str) -> str:
    """Return text as the markup of a paragraph."""
    return escape(_latin(text), quote=False)


def _latin(text: str) -> str:
    """Return text in which a letter that the fonts lack is its number."""
    return "".join(
        letter if letter.isprintable() and letter.encode("cp1252", "ignore") else f"[U+{ord(letter):04X}]"
        for letter in text.replace("\n", " ").replace("\t", " ")
    )


if TYPE_CHECKING:
    _: ReportWriter = report_pdf
