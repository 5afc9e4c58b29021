"""A page of the documentation is held to what was measured, to a tolerance where one is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from keelway.testing.pages import Page, alike

TEXT = "# Page\n\n<!-- one -->\n| a | 0.846 (0.836 to 0.856) | 7 rows |\n<!-- end of one -->\n\nAfter.\n"


@pytest.fixture
def page(tmp_path: Path) -> Page:
    path = tmp_path / "page.md"
    path.write_text(TEXT, "utf8")
    return Page(path)


def test_a_block_is_read_without_its_marks(page: Page) -> None:
    assert page.told("one") == "| a | 0.846 (0.836 to 0.856) | 7 rows |"


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("| a | 0.846 (0.836 to 0.856) | 7 rows |", True),
        ("| a | 0.848 (0.834 to 0.856) | 7 rows |", True),
        ("| a | 0.849 (0.836 to 0.856) | 7 rows |", False),
        ("| a | 0.846 (0.836 to 0.856) | 8 rows |", False),
        ("| b | 0.846 (0.836 to 0.856) | 7 rows |", False),
        ("| a | 0.846 (0.836 to 0.856, 0.1) | 7 rows |", False),
    ],
    ids=["the same", "near", "too far", "another count", "another word", "a number more"],
)
def test_numbers_may_differ_by_the_tolerance_and_nothing_else(page: Page, text: str, holds: bool) -> None:
    if holds:
        page.must_tell("one", text, tolerance=0.0021)
        return
    with pytest.raises(AssertionError, match="does not tell"):
        page.must_tell("one", text, tolerance=0.0021)


def test_without_a_tolerance_every_digit_counts(page: Page) -> None:
    with pytest.raises(AssertionError, match="does not tell"):
        page.must_tell("one", "| a | 0.847 (0.836 to 0.856) | 7 rows |")


def test_a_page_that_is_rewritten_keeps_what_stands_around(page: Page) -> None:
    Page(page.path, rewrite=True).must_tell("one", "new")
    assert page.path.read_text("utf8") == "# Page\n\n<!-- one -->\nnew\n<!-- end of one -->\n\nAfter.\n"


@pytest.mark.parametrize("text", ["# Page\n", "<!-- one -->\nnever closed\n"], ids=["no block", "no end"])
def test_a_block_that_is_not_there_is_told(page: Page, text: str) -> None:
    page.path.write_text(text, "utf8")
    with pytest.raises(AssertionError, match="block one"):
        page.told("one")


def test_signs_count_and_nothing_is_rounded() -> None:
    assert not alike("-0.5", "0.5", tolerance=0.9)
    assert alike("-0.5", "0.5", tolerance=1.0)
