"""A bandit believes what it saw and draws from its seed; findings among many e-values are corrected."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.deploy.analysis import Moments, RateCounts, e_bh, moments_of, thompson_arm, thompson_shares
from keelway.errors import UsageError


def test_the_chance_of_being_best_is_the_closed_form() -> None:
    found = thompson_shares(
        {"a": RateCounts(0, 1), "b": RateCounts(1, 1)}, seed=1
    )  # beta(1, 2) against beta(2, 1): 1/6
    assert found["a"] == pytest.approx(1 / 6, abs=4 * math.sqrt(5 / 36 / 20_000))
    assert sum(found.values()) == pytest.approx(1.0)


def test_nothing_known_is_shared_equally() -> None:
    found = thompson_shares({name: RateCounts(0, 0) for name in "abcd"}, seed=2)
    assert list(found.values()) == pytest.approx([0.25] * 4, abs=0.02)


def test_what_is_better_gets_more_and_smaller_can_be_better() -> None:
    arms = {"fast": moments_of([1.0, 1.2, 0.8, 1.1]), "slow": moments_of([3.0, 3.3, 2.8, 3.2])}
    assert thompson_shares(arms, seed=3)["slow"] > 0.99
    assert thompson_shares(arms, seed=3, greater_is_better=False)["fast"] > 0.99


def test_a_floor_keeps_every_arm_alive() -> None:
    found = thompson_shares({"good": RateCounts(90, 100), "bad": RateCounts(1, 100)}, seed=4, floor=0.05)
    assert found["bad"] == pytest.approx(0.05, abs=1e-3)
    assert sum(found.values()) == pytest.approx(1.0)


def test_an_arm_without_values_is_tried_first() -> None:
    arms = {"old": moments_of([5.0] * 50 + [6.0]), "new": Moments(), "newer": moments_of([0.0, 9.0])}
    found = thompson_shares(arms, seed=5)
    assert found["old"] == 0.0
    assert found["new"] == pytest.approx(0.5, abs=0.02)


def test_the_same_seed_draws_the_same() -> None:
    arms = {"a": RateCounts(5, 10), "b": RateCounts(6, 10)}
    assert thompson_shares(arms, seed=6) == thompson_shares(dict(reversed(arms.items())), seed=6)
    assert [thompson_arm(arms, seed=seed) for seed in range(20)] == [
        thompson_arm(arms, seed=seed) for seed in range(20)
    ]


def test_one_draw_at_a_time_goes_to_arms_as_often_as_their_shares_say() -> None:
    arms = {"a": RateCounts(20, 50), "b": RateCounts(25, 50)}
    chosen = Counter(thompson_arm(arms, seed=seed) for seed in range(1_000))
    assert chosen["b"] / 1_000 == pytest.approx(thompson_shares(arms, seed=7)["b"], abs=0.05)
    fewer = Counter(thompson_arm(arms, seed=seed, greater_is_better=False) for seed in range(1_000))
    assert fewer["a"] == chosen["b"]


def test_a_bandit_finds_the_best_arm_and_earns_more_than_an_equal_split() -> None:
    rates = {"a": 0.10, "b": 0.12, "c": 0.20}
    draw = np.random.default_rng(8)
    arms = dict.fromkeys(rates, RateCounts(0, 0))
    for day in range(20):
        shares = thompson_shares(arms, seed=day, draws=2_000)
        for name, rate in rates.items():
            rows = round(300 * shares[name])
            arms[name] = RateCounts(arms[name].count + int(draw.binomial(rows, rate)), arms[name].rows + rows)
    assert arms["c"].rows > 0.7 * sum(arm.rows for arm in arms.values())
    earned = sum(arm.count for arm in arms.values())
    assert earned > 1.2 * np.mean(list(rates.values())) * sum(arm.rows for arm in arms.values())


def test_what_a_bandit_cannot_do_is_refused() -> None:
    with pytest.raises(UsageError, match="needs arms"):
        thompson_arm({"a": RateCounts(1, 2)}, seed=1)
    with pytest.raises(UsageError, match="floor"):
        thompson_shares({"a": RateCounts(1, 2), "b": RateCounts(1, 2)}, seed=1, floor=0.6)
    with pytest.raises(UsageError, match="needs values"):
        thompson_shares({"a": moments_of([1.0, 2.0, math.nan]), "b": moments_of([1.0, 2.0, 3.0])}, seed=1)


def test_e_values_are_corrected_as_wang_and_ramdas_do() -> None:
    assert e_bh([math.log(59), math.log(29), 0.0], level=0.05) == [False, False, False]
    assert e_bh([math.log(61), math.log(1), 0.0], level=0.05) == [True, False, False]
    assert e_bh([math.log(31), math.log(31), 0.0], level=0.05) == [True, True, False]
    assert e_bh([], level=0.05) == []


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-5, 12), min_size=1, max_size=12), st.integers(0, 11), st.floats(0, 5))
def test_more_evidence_never_takes_a_finding_away(log_evidence: list[float], place: int, more: float) -> None:
    before = e_bh(log_evidence, level=0.1)
    stronger = list(log_evidence)
    stronger[place % len(stronger)] += more
    after = e_bh(stronger, level=0.1)
    assert all(late or not early for early, late in zip(before, after, strict=True))
    single = [each >= math.log(len(log_evidence) / 0.1) for each in log_evidence]
    assert all(found or not bonferroni for found, bonferroni in zip(before, single, strict=True))


def test_false_findings_stay_a_small_part_however_the_figures_depend_on_each_other() -> None:
    draw = np.random.default_rng(9)
    false_shares = []
    for _ in range(400):
        shared = draw.normal()
        z = 0.7 * shared + math.sqrt(1 - 0.49) * draw.normal(size=10) + np.array([5.0] * 3 + [0.0] * 7)
        found = e_bh([float(each - 0.5) if (each := 2 * value - 2) > 0 else -1.0 for value in z], level=0.1)
        false_shares.append(sum(found[3:]) / max(sum(found), 1))
    assert np.mean(false_shares) < 0.1


def test_findings_need_e_values_and_a_level() -> None:
    for wrong, level in (([math.nan], 0.05), ([1.0], 0.0), ([1.0], 1.0)):
        with pytest.raises(UsageError, match="Findings cannot be told"):
            e_bh(wrong, level=level)
