"""A trial sees what became of a file, and counts the rows that got in wrongly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keelway.testing.feed import hour
from keelway.testing.mutations import SeenAs
from keelway.testing.pages import Page, table
from keelway.testing.trials import HISTORY_H, FeedWorld, Seen

FEED = hour(HISTORY_H)


def test_a_clean_file_is_harmless_and_nothing_is_told(world: FeedWorld) -> None:
    with world.trial() as trial:
        assert trial.see(FEED.name, FEED.csv(), FEED) == Seen(SeenAs.HARMLESS, "", 0)


def test_a_trial_leaves_the_world_as_it_was(world: FeedWorld) -> None:
    for _ in range(2):
        with world.trial() as trial:
            assert trial.see(FEED.name, FEED.csv(), FEED).outcome is SeenAs.HARMLESS


def test_a_row_that_nobody_noticed_is_missed(world: FeedWorld) -> None:
    order, _, *rest = FEED.rows[0]
    spoilt = FEED.with_rows([(order, "000001", *rest), *FEED.rows[1:]])
    with world.trial() as trial:
        assert trial.see(FEED.name, spoilt.csv(), FEED) == Seen(SeenAs.MISSED, "", 1)


def test_a_file_that_comes_twice_is_refused_with_its_first_name(world: FeedWorld) -> None:
    with world.trial() as trial:
        trial.see(FEED.name, FEED.csv(), FEED)
        later = replace(FEED, start=hour(HISTORY_H + 1).start)
        found = trial.see(later.name, FEED.csv(), later)
    assert found == Seen(SeenAs.REFUSED, f"duplicate of {FEED.name}", 0)


def test_a_page_must_tell_what_was_measured(tmp_path: Path) -> None:
    page = Page(tmp_path / "page.md")
    page.path.write_text("before\n<!-- a -->\n\n<!-- end of a -->\nafter\n", "utf8")
    told = table(["name", "value"], [["x", 1]])
    with pytest.raises(AssertionError, match="does not tell"):
        page.must_tell("a", told)
    replace(page, rewrite=True).must_tell("a", told)
    page.must_tell("a", told)
    text = page.path.read_text("utf8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    with pytest.raises(AssertionError, match="no block b"):
        page.must_tell("b", told)
