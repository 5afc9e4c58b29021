"""Pages load nothing, escape what they are told, can be read aloud, and stand out in light, dark and print."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.core import Axis, Chart, html_facts, html_list, html_page, html_plots, html_table
from keelway.core.page import POLICY, STYLE

VOID = {"meta", "link", "br"}
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1)


class Outline(HTMLParser):
    """Reads a page strictly: every element is closed where it was opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@settings(deadline=None)
@given(TEXTS)
def test_any_text_is_shown_and_never_obeyed(text: str) -> None:
    shown = html_table(text, [text], [[html.escape(text), html_list([text, text])]])
    outline = Outline(shown)
    assert set(outline.tags) <= {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "ul", "li"}
    assert outline.text.count(text) >= 5


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_titles_and_facts_are_escaped(title: str, fact: str) -> None:
    outline = Outline(html_page(title, [html_facts([(fact, fact)])]))
    assert outline.text.count(fact) >= 2
    assert [tag for tag in outline.tags if tag not in {"html", "head", "meta", "title", "style", "body", "main"}] == [
        "h1", "dl", "dt", "dd",
    ]  # fmt: skip


def test_a_page_has_one_heading_and_a_policy_that_lets_nothing_in() -> None:
    page = html_page("Scores", ["<p>one</p>", "", "<p>two</p>"])
    assert f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">' in page
    assert POLICY.startswith("default-src 'none'")
    assert page.count("<h1>") == page.count("<main>") == 1
    assert "\n\n" not in page.split("</style>")[1]
    assert not re.search(r"<script|<link|src=|url\(|@import|https?:", page)


def test_charts_stand_in_a_page_as_they_are() -> None:
    chart = Chart("Lift", "better than chance", x=Axis("share"), y=Axis("lift"))
    shown = html_plots([chart.svg(), chart.svg()])
    assert shown.count("<figure>") == 2
    assert chart.svg().strip() in shown
    assert html_plots([]) == ""


def test_a_list_of_nothing_is_nothing() -> None:
    assert html_list([]) == ""


def test_colours_stand_out_in_light_dark_and_print() -> None:
    light, dark, printed = re.findall(r"--strong: #([0-9a-f]{6})", STYLE)
    assert _contrast(light, "ffffff") >= 4.5
    assert _contrast(dark, "121212") >= 4.5
    assert _contrast(printed, "ffffff") >= 4.5


def test_a_page_can_be_printed() -> None:
    assert "@media print" in STYLE
    assert "break-inside: avoid" in STYLE


def _contrast(one: str, other: str) -> float:
    """Return the contrast of two colours as WCAG 2.2 reckons it."""
    first, second = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (first + 0.05) / (second + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
