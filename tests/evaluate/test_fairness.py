"""Decisions are compared between groups with enough people, and the four-fifths rule is applied as written."""

from __future__ import annotations

import math

import numpy as np
import pytest

from keelway.evaluate import (
    fairness_of,
    in_plain_words,
    newcombe_interval,
    proportions_test,
    ratio_interval,
    wilson_interval,
)


def people(counts: dict[str, tuple[int, int, int, int]]) -> tuple[list[int], list[float], list[str]]:
    """Return outcomes, probabilities and groups from (true positives, false positives, false negatives, true negatives)."""
    labels: list[int] = []
    given: list[float] = []
    names: list[str] = []
    for group, cells in counts.items():
        for count, (label, chance) in zip(cells, [(1, 0.9), (0, 0.8), (1, 0.2), (0, 0.1)], strict=True):
            labels += [label] * count
            given += [chance] * count
            names += [group] * count
    return labels, given, names


UNEVEN = people({"men": (60, 20, 20, 100), "women": (20, 10, 20, 150)})
EVEN = people({"men": (50, 10, 10, 130), "women": (49, 10, 11, 130)})


def test_every_rate_is_that_of_the_counts() -> None:
    found = fairness_of(*UNEVEN, column="sex")
    men, women = found.groups
    assert (men.group, men.rows, men.enough) == ("men", 200, True)
    assert (men.selected, women.selected) == (wilson_interval(80, 200), wilson_interval(30, 200))
    assert (men.true_positive, women.true_positive) == (wilson_interval(60, 80), wilson_interval(20, 40))
    assert (men.false_positive, women.false_positive) == (wilson_interval(20, 120), wilson_interval(10, 160))
    assert found.parity_difference == newcombe_interval((80, 200), (30, 200))
    assert found.parity_ratio == ratio_interval((30, 200), (80, 200))
    assert found.equal_opportunity == newcombe_interval((60, 80), (20, 40))
    assert found.equalised_odds == found.equal_opportunity
    assert found.p_value == proportions_test([(80, 200), (30, 200)]).p_value


def test_the_larger_of_both_rates_is_the_gap_of_equalised_odds() -> None:
    found = fairness_of(*people({"a": (40, 60, 40, 60), "b": (42, 10, 38, 110)}), column="g")
    assert found.equalised_odds == newcombe_interval((60, 120), (10, 120))


def test_four_fifths_fail_where_one_group_is_selected_far_less() -> None:
    found = fairness_of(*UNEVEN, column="sex")
    assert (found.four_fifths, found.sure) == ("fails", True)
    assert "sex: fails the four-fifths rule" in in_plain_words(found)
    assert "0.37 times as often" in in_plain_words(found)


def test_four_fifths_pass_where_both_are_selected_alike() -> None:
    found = fairness_of(*EVEN, column="sex")
    assert (found.four_fifths, found.parity_ratio.value) == ("passes", pytest.approx(59 / 60))
    assert not found.sure
    assert "though the interval reaches across 0.8" in in_plain_words(found)
    assert found.p_value > 0.05


@pytest.mark.parametrize(("most", "least"), [(50, 40), (35, 28), (70, 56), (15, 12), (85, 68)])
def test_exactly_four_fifths_pass(most: int, least: int) -> None:
    found = fairness_of(*people({"a": (most, 0, 0, 100 - most), "b": (least, 0, 0, 100 - least)}), column="g")
    assert (found.parity_ratio.value, found.four_fifths) == (pytest.approx(0.8), "passes")


def test_the_favourable_decision_may_be_the_negative_one() -> None:
    found = fairness_of(*UNEVEN, column="sex", favourable="negative")
    men, women = found.groups
    assert (men.selected, women.selected) == (wilson_interval(120, 200), wilson_interval(170, 200))
    assert (men.true_positive, men.false_positive) == (wilson_interval(100, 120), wilson_interval(20, 80))
    assert found.four_fifths == "fails"


def test_the_threshold_decides() -> None:
    labels, given, names = UNEVEN
    found = fairness_of(labels, given, names, column="sex", threshold=0.85)
    assert found.groups[0].selected == wilson_interval(60, 200)


def test_small_groups_are_shown_and_not_judged() -> None:
    labels, given, names = people({"a": (30, 10, 10, 50), "b": (30, 10, 10, 50), "tiny": (0, 0, 3, 3)})
    found = fairness_of(labels, given, names, column="g", min_support=50)
    assert [(each.group, each.enough) for each in found.groups] == [("a", True), ("b", True), ("tiny", False)]
    assert found.four_fifths == "passes"
    assert in_plain_words(found).endswith("1 of 3 groups are too small to judge")


@pytest.mark.parametrize(
    "counts",
    [{"only": (30, 10, 10, 50)}, {"a": (0, 0, 50, 50), "b": (0, 0, 50, 50)}],
    ids=["one group", "nobody selected"],
)
def test_nothing_is_judged_without_two_groups_or_anybody_selected(counts: dict[str, tuple[int, int, int, int]]) -> None:
    found = fairness_of(*people(counts), column="g")
    assert (found.four_fifths, found.parity_ratio, found.sure) == ("not judged", None, False)
    assert "not judged" in in_plain_words(found)


def test_a_group_where_nobody_is_deserving_has_no_such_rate() -> None:
    found = fairness_of(*people({"a": (30, 10, 10, 50), "b": (0, 30, 0, 70)}), column="g")
    assert found.groups[1].true_positive is None
    assert found.equal_opportunity is None
    assert found.equalised_odds is not None


def test_with_more_groups_the_intervals_of_the_extremes_are_wider() -> None:
    three = people({"a": (50, 10, 10, 130), "b": (50, 10, 10, 130), "c": (30, 10, 10, 150)})
    found = fairness_of(*three, column="g")
    assert found.parity_difference.level == pytest.approx(1 - 0.05 / 3)
    narrow = newcombe_interval((60, 200), (40, 200))
    assert found.parity_difference.low < narrow.low < narrow.high < found.parity_difference.high


def test_where_groups_are_alike_the_difference_covers_nothing_as_often_as_it_says() -> None:
    draw, covered = np.random.default_rng(4), 0
    for _ in range(300):
        names = draw.choice(list("abcd"), 800).tolist()
        given = draw.random(800)
        found = fairness_of(draw.integers(0, 2, 800), given, names, column="g")
        assert found.parity_difference is not None
        covered += found.parity_difference.low <= 0
    assert covered / 300 >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 300)


def test_ages_are_judged_by_quarters() -> None:
    draw = np.random.default_rng(5)
    ages = draw.integers(18, 90, 1000)
    found = fairness_of(draw.integers(0, 2, 1000), draw.random(1000), ages.tolist(), column="age")
    assert len(found.groups) == 4
