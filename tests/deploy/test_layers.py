"""Entities stay where they were sent, experiments of a layer exclude each other, layers know nothing of each other."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.deploy import BUCKETS, Allocation, Layer, bucket_of
from keelway.errors import UsageError
from keelway.evaluate import independence_test, shares_test

ENTITIES = [f"customer {number}" for number in range(20_000)]
shares = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 50), min_size=1).filter(
    lambda each: any(each.values())
)


def moved(before: Allocation, after: Allocation) -> int:
    """Return how many buckets changed hands."""
    return sum(one != two for one, two in zip(table_of(before), table_of(after), strict=True))


def table_of(allocation: Allocation) -> list[str]:
    stops = (*allocation.starts[1:], BUCKETS)
    return [
        holder
        for start, stop, holder in zip(allocation.starts, stops, allocation.holders, strict=True)
        for _ in range(start, stop)
    ]


def test_an_entity_gets_the_holder_of_its_bucket() -> None:
    allocation = Allocation.of({"a": 30, "b": 70}, salt="x")
    table = table_of(allocation)
    for entity in ENTITIES[:200]:
        assert allocation.holder_of(entity) == table[bucket_of(entity, "x")]


@pytest.mark.parametrize("percent", [1, 5, 20, 50, 99])
def test_a_canary_grows_and_shrinks_at_its_upper_end_as_deployments_have_it(percent: int) -> None:
    allocation = Allocation.of({"canary": 10, "stable": 90}, salt="prod/churn:2")
    after = allocation.changed({"canary": percent, "stable": 100 - percent})
    for entity in ENTITIES[:500]:
        below = bucket_of(entity, "prod/churn:2") < percent * BUCKETS // 100
        assert after.holder_of(entity) == ("canary" if below else "stable")


@settings(max_examples=30, deadline=None)
@given(shares, shares)
def test_other_shares_move_the_fewest_entities(first: dict[str, int], second: dict[str, int]) -> None:
    before = Allocation.of(first, salt="x")
    after = before.changed(second)
    held, wanted = before.counts(), Allocation.of(second, salt="x").counts()
    assert after.counts() == wanted
    assert moved(before, after) == sum(max(wanted.get(arm, 0) - held.get(arm, 0), 0) for arm in "abcd")


@settings(max_examples=20, deadline=None)
@given(shares)
def test_the_same_shares_move_nobody(given_shares: dict[str, int]) -> None:
    allocation = Allocation.of(given_shares, salt="x")
    assert allocation.changed(given_shares) == allocation
    assert sum(allocation.counts().values()) == BUCKETS


def test_thirds_are_as_equal_as_buckets_can_be() -> None:
    assert sorted(Allocation.of({"a": 1, "b": 1, "c": 1}, salt="x").counts().values()) == [3333, 3333, 3334]


def test_shares_are_kept() -> None:
    allocation = Allocation.of({"a": 10, "b": 30, "c": 60}, salt="shares")
    found = Counter(map(allocation.holder_of, ENTITIES))
    assert shares_test([found["a"], found["b"], found["c"]], [10, 30, 60]).p_value > 0.001


@pytest.mark.parametrize("wrong", [{}, {"a": 0}, {"a": -1, "b": 2}, {"a": float("nan")}], ids=str)
def test_what_is_no_share_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="no shares"):
        Allocation.of(wrong, salt="x")


def test_experiments_of_a_layer_exclude_each_other_and_leave_the_rest_alone() -> None:
    layer = Layer.of("prices", {"discount": 30, "bundle": 20})
    found = Counter(map(layer.experiment_of, ENTITIES))
    assert set(found) == {"discount", "bundle", None}
    assert shares_test([found["discount"], found["bundle"], found[None]], [30, 20, 50]).p_value > 0.001


def test_an_experiment_that_starts_or_ends_moves_nobody_of_another() -> None:
    layer = Layer.of("prices", {"discount": 30, "bundle": 20})
    more = layer.changed({"discount": 30, "bundle": 20, "gift": 40})
    less = more.changed({"discount": 30, "gift": 40})
    for entity in ENTITIES[:3_000]:
        was = layer.experiment_of(entity)
        if was is not None:
            assert more.experiment_of(entity) == was
        if was == "discount":
            assert less.experiment_of(entity) == "discount"
        if was == "bundle":
            assert less.experiment_of(entity) is None


@pytest.mark.parametrize("wrong", [{"a": 60, "b": 50}, {"": 10}], ids=["too much", "no name"])
def test_a_layer_has_room_for_a_hundred_percent(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="no room"):
        Layer.of("prices", wrong)


def test_layers_know_nothing_of_each_other() -> None:
    prices, texts = Layer.of("prices", {"a": 30, "b": 30}), Layer.of("texts", {"c": 50, "d": 25})
    pairs = Counter((prices.experiment_of(entity), texts.experiment_of(entity)) for entity in ENTITIES)
    table = [[pairs[one, two] for two in ("c", "d", None)] for one in ("a", "b", None)]
    assert independence_test(table).p_value > 0.001
    assert min(min(row) for row in table) > 500


def test_arms_of_an_experiment_know_nothing_of_the_layer_nor_of_each_others_experiments() -> None:
    layer = Layer.of("prices", {"a": 50, "b": 50})
    arms = {name: layer.arms_of(name, {"control": 1, "treatment": 1}) for name in ("a", "b")}
    pairs = Counter((layer.experiment_of(entity), arms["a"].holder_of(entity)) for entity in ENTITIES)
    table = [[pairs[one, two] for two in ("control", "treatment")] for one in ("a", "b")]
    assert independence_test(table).p_value > 0.001
    both = Counter((arms["a"].holder_of(entity), arms["b"].holder_of(entity)) for entity in ENTITIES)
    assert (
        independence_test([[both[x, y] for y in ("control", "treatment")] for x in ("control", "treatment")]).p_value
        > 0.001
    )
