"""What goes wrong with a clean feed is seen, and nothing is seen of a clean one."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from keelway.testing.crash import stride
from keelway.testing.feed import hour
from keelway.testing.mutations import CATALOGUE, GROUPS, Mutation, SeenAs
from keelway.testing.pages import Page, table
from keelway.testing.trials import HISTORY_H, FeedWorld, Seen

pytestmark = pytest.mark.timeout(1800)  # minutes where nothing else runs, many more where much does
PAGE = Page(Path(__file__).parents[2] / "docs" / "mutations.md", rewrite="KEELWAY_WRITE_PAGES" in os.environ)
MORNING = HISTORY_H
"""The hour that is spoilt: 10:00 on a Monday."""
NIGHT_AND_EVENING = (HISTORY_H + 17, HISTORY_H + 33)
CLEAN = 200 // stride() ** 2
"""Clean hours in which nothing may be seen; 200 where a sweep tries everything."""
UNSEEN = (SeenAs.HARMLESS, SeenAs.REPAIRED, SeenAs.MISSED)
"""Outcomes of which nobody has to hear; a mutation that does harm must have none of them."""
SOME = 12
"""Mutations of which a share is tried at other hours; all where a sweep tries everything."""


@pytest.fixture(scope="module")
def seen(world: FeedWorld) -> dict[str, Seen]:
    """What is seen of each mutation of one hour."""
    return {name: world.see(mutation, MORNING) for name, mutation in CATALOGUE.items()}


def test_the_catalogue_is_long_and_names_each_mutation_once() -> None:
    assert len(CATALOGUE) == sum(len(group) for group in GROUPS.values())
    assert len(CATALOGUE) >= 40
    assert len({mutation.what for mutation in CATALOGUE.values()}) > 0.9 * len(CATALOGUE)


@pytest.mark.parametrize("mutation", CATALOGUE.values(), ids=lambda mutation: mutation.name)
def test_a_mutation_is_pure_and_changes_the_file(mutation: Mutation) -> None:
    feed = hour(MORNING)
    spoilt = mutation.spoilt(feed, seed=1)
    assert spoilt == mutation.spoilt(hour(MORNING), seed=1)
    assert (spoilt, mutation.place(feed)) != (feed.csv(), feed.name)


def test_each_mutation_is_seen_as_it_should_be(seen: dict[str, Seen]) -> None:
    assert {name: found.outcome for name, found in seen.items()} == {
        name: mutation.expected for name, mutation in CATALOGUE.items()
    }


def test_what_is_seen_is_told(seen: dict[str, Seen]) -> None:
    silent = (SeenAs.HARMLESS, SeenAs.MISSED)
    assert [name for name, found in seen.items() if not found.told and found.outcome not in silent] == []


def test_only_a_warning_lets_wrong_rows_in(seen: dict[str, Seen]) -> None:
    let_in = {found.outcome for found in seen.values() if found.wrong}
    assert let_in <= {SeenAs.WARNED, SeenAs.MISSED}


def test_at_least_95_percent_of_what_does_harm_is_caught(seen: dict[str, Seen]) -> None:
    harmful = [name for name, mutation in CATALOGUE.items() if mutation.harmful]
    caught = [name for name in harmful if seen[name].outcome not in UNSEEN]
    print(f"\n{len(caught)} of {len(harmful)} caught ({len(caught) / len(harmful):.1%})")
    assert len(caught) >= 0.95 * len(harmful)


@pytest.mark.parametrize("number", NIGHT_AND_EVENING, ids=["night", "evening"])
def test_the_same_is_caught_at_other_hours(number: int, world: FeedWorld) -> None:
    caught = [mutation for mutation in CATALOGUE.values() if mutation.expected not in UNSEEN]
    chosen = Random(number).sample(caught, SOME)[:: stride()]
    assert [each.name for each in chosen if world.see(each, number, seed=number).outcome in UNSEEN] == []


def test_clean_hours_raise_no_alarm(world: FeedWorld) -> None:
    found = Counter()
    with world.trial() as trial:
        for number in range(HISTORY_H, HISTORY_H + CLEAN):
            feed = hour(number)
            found[trial.see(feed.name, feed.csv(), feed)] += 1
    assert found == {Seen(SeenAs.HARMLESS, "", 0): CLEAN}


def test_the_page_tells_what_was_seen(seen: dict[str, Seen]) -> None:
    head = ["mutation", "what the source did", "seen", "told", "wrong rows loaded"]
    blocks = []
    for title, group in GROUPS.items():
        rows = [_row(mutation, seen[mutation.name]) for mutation in group]
        blocks.append(f"### {title}\n\n{table(head, rows)}")
    PAGE.must_tell("mutations", "\n\n".join(blocks))


def test_the_page_tells_the_figures(seen: dict[str, Seen]) -> None:
    counts = Counter(found.outcome for found in seen.values())
    rows = [[outcome, counts[outcome]] for outcome in SeenAs]
    harmful = [name for name, mutation in CATALOGUE.items() if mutation.harmful]
    caught = sum(seen[name].outcome not in UNSEEN for name in harmful)
    share = f"{caught} of the {len(harmful)} that do harm are caught: {caught / len(harmful):.1%}."
    PAGE.must_tell("figures", f"{table(['seen', 'mutations'], rows)}\n\n{share}")


def _row(mutation: Mutation, found: Seen) -> list[object]:
    told = f"{found.told[:117]}..." if len(found.told) > 120 else found.told
    return [mutation.name, mutation.what, found.outcome, told, found.wrong]
