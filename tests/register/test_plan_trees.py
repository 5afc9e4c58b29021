"""Sums of tree leaves: by tables of ruled-out leaves, by walking, and by walking one tree at a time in plain Python."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.errors import ServingError
from keelway.features import FeatureColumn
from keelway.register import PlanScorer, ScoringPlan, plan_bytes, read_plan
from keelway.register.plan import masks
from keelway.register.plan.masks import MaskTables, cut_of
from keelway.register.plan.records import FORMAT, PlanHead, PlanLevels, PlanMember, PlanModel, PlanNumber
from keelway.register.plan.walk import WalkedTrees

FEATURES = (FeatureColumn("n", "numeric"), FeatureColumn("m", "numeric"), FeatureColumn("c", "categorical"))
LEVELS = ("", "a", "b")
VALUES = (0.0, 0.5, -0.5, 1.0, 2.0, 3.0, 1e-30, 1e6)


class Forest:
    """Trees drawn at random over five columns: two numbers, where one of them is missing, and two made of a category."""

    def __init__(self, seed: int, *, trees: int, leaves: int, outputs: int = 1, vectors: bool = False) -> None:
        self.draw = np.random.default_rng(seed)
        self.nodes: list[list[Any]] = []
        self.outputs, self.vectors = outputs, vectors
        self.sums = [0 if vectors else tree % outputs for tree in range(trees)]
        for _ in range(trees):
            self.nodes.append(self._grown(int(self.draw.integers(1, leaves + 1)), outputs if vectors else 1))
        self.base = self.draw.normal(size=outputs)

    def _grown(self, leaves: int, width: int) -> list[Any]:
        """Return nodes (column, threshold, left, right, values), split one after the other at random."""
        nodes: list[Any] = [[0, 0.0, -1, -1, self.draw.normal(size=width).tolist()]]
        ends = [0]
        while len(ends) < leaves:
            place = ends.pop(int(self.draw.integers(len(ends))))
            threshold = float(self.draw.choice(VALUES)) + float(self.draw.choice([0.0, 1e-9]))
            nodes[place] = [int(self.draw.integers(5)), threshold, len(nodes), len(nodes) + 1, [0.0] * width]
            ends += [len(nodes), len(nodes) + 1]
            nodes += [[0, 0.0, -1, -1, self.draw.normal(size=width).tolist()] for _ in range(2)]
        return nodes

    def plan(self) -> ScoringPlan:
        flat = [node for tree in self.nodes for node in tree]
        names = ("feature", "threshold", "left", "right", "values")
        kinds = ("<i4", "<f8", "<i4", "<i4", "<f8")
        arrays: dict[str, Any] = {
            f"t.{name}": np.array([node[place] for node in flat], dtype=kind)
            for place, (name, kind) in enumerate(zip(names, kinds, strict=True))
        }
        arrays["t.sizes"] = np.array([len(tree) for tree in self.nodes], dtype="<i4")
        arrays["t.outputs"] = np.array(self.sums, dtype="<i4")
        arrays["t.base"] = self.base
        arrays["levels"] = np.array([[1, 0.5], [0, 2], [1, 0.5], [0, 0]], dtype="<f4")
        numbers = (PlanNumber(0, 0, 1.0, 0.0, 0.5, 2), PlanNumber(1, 1, 1.0, 0.0, -0.5, -1))
        model = PlanModel("trees", "t.", self.outputs)
        member = PlanMember(5, numbers, (PlanLevels(2, (3, 4), LEVELS, "levels"),), (model,))
        several = self.outputs > 1
        classes = tuple(map(str, range(self.outputs))) if several else ()
        task: Any = "multiclass" if several else "regression"
        return ScoringPlan(PlanHead(FORMAT, task, classes, FEATURES, (member,), None, 64), arrays)

    def expected(self, row: list[Any]) -> Any:
        """Return the sums of a row by walking each tree."""
        rounded = [None if value is None else float(np.float32(value)) for value in row[:2]]
        category = {"": (1.0, 0.5), None: (1.0, 0.5), "a": (0.0, 2.0), "b": (1.0, 0.5)}.get(row[2], (0.0, 0.0))
        seen = [0.5 if rounded[0] is None else rounded[0], -0.5 if rounded[1] is None else rounded[1]]
        seen += [float(rounded[0] is None), *category]
        totals = self.base.tolist()
        for output, tree in zip(self.sums, self.nodes, strict=True):
            place = 0
            while tree[place][2] >= 0:
                place = tree[place][2 if seen[tree[place][0]] <= tree[place][1] else 3]
            for number, value in enumerate(tree[place][4]):
                totals[output + number] += value
        return totals if self.outputs > 1 else totals[0]


NUMBERS = st.one_of(st.none(), st.sampled_from(VALUES), st.floats(-1e9, 1e9, width=64))
ROWS = st.lists(st.tuples(NUMBERS, NUMBERS, st.sampled_from([None, "", "a", "b", "new"])), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    trees=st.integers(1, 6),
    leaves=st.sampled_from([1, 2, 32, 33, 64, 65, 200]),
    shape=st.sampled_from([(1, False), (3, False), (3, True)]),
    rows=ROWS,
)
def test_tables_and_walks_give_the_sums_of_plain_trees_to_the_last_bit(
    seed: int, trees: int, leaves: int, shape: tuple[int, bool], rows: list[Any]
) -> None:
    forest = Forest(seed, trees=trees * shape[0], leaves=leaves, outputs=shape[0], vectors=shape[1])
    plan = read_plan(plan_bytes(forest.plan()))
    expected = [forest.expected(list(row)) for row in rows]
    scorer = PlanScorer(plan)
    assert [scorer.predictions([row])[0] for row in rows] == expected
    assert scorer.predictions(rows * 6) == expected * 6
    (member,) = plan.head.members
    walked = WalkedTrees(member.models[0], member, plan)
    assert [walked.one(row) for row in rows] == [each if isinstance(each, list) else [each] for each in expected]


def test_a_split_that_sends_every_row_one_way_still_does() -> None:
    """Its only column tells where a number is missing, and whether it is or not, the row goes to the right."""
    forest = Forest(0, trees=1, leaves=1)
    forest.nodes = [[[2, -0.5, 1, 2, [0.0]], [0, 0.0, -1, -1, [1.0]], [0, 0.0, -1, -1, [2.0]]]]
    rows = [[0.5, 0.5, "a"], [None, 0.5, "a"]]
    assert PlanScorer(forest.plan()).predictions(rows) == [forest.expected(row) for row in rows]


@given(threshold=st.floats(-1e38, 1e38), value=st.floats(-1e38, 1e38))
def test_a_cut_stands_for_rounding_to_32_bits(threshold: float, value: float) -> None:
    below, above = (float(np.nextafter(np.float32(threshold), np.float32(way))) for way in (-np.inf, np.inf))
    middle = (float(np.float32(threshold)) + above) / 2
    for each in (value, threshold, below, above, middle, np.nextafter(middle, -np.inf), np.nextafter(middle, np.inf)):
        assert (each <= cut_of(threshold)) == (float(np.float32(each)) <= threshold)


def test_trees_whose_tables_would_be_too_large_are_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    forest = Forest(3, trees=4, leaves=20)
    rows = [[1.0, None, "a"], [None, 2.0, "new"]] * 5
    kinds = []
    for most in (masks.LARGEST_TABLE, 100):
        monkeypatch.setattr(masks, "LARGEST_TABLE", most)
        scorer = PlanScorer(forest.plan())
        kinds.append(type(scorer._members[0][0][0]))
        assert scorer.predictions(rows) == [forest.expected(row) for row in rows]
    assert kinds == [MaskTables, WalkedTrees]


@pytest.mark.parametrize("count", [masks.CHUNK_ROWS + 1, masks.BLOCK_ROWS + 1, masks.BLOCK_ROWS + masks.CHUNK_ROWS + 9])
@pytest.mark.parametrize(("outputs", "vectors"), [(1, False), (3, False), (3, True)])
def test_rows_beyond_a_chunk_are_answered_in_their_order(count: int, outputs: int, vectors: bool) -> None:
    forest = Forest(5, trees=5 * outputs, leaves=40, outputs=outputs, vectors=vectors)
    numbers = np.random.default_rng(1).normal(size=count).tolist()
    rows = [[number, None, "ab"[place % 2]] for place, number in enumerate(numbers)]
    assert PlanScorer(forest.plan()).predictions(rows) == [forest.expected(row) for row in rows]


@pytest.mark.parametrize("shared", [0, masks.SHARED_BYTES], ids=["apart", "together"])
def test_categories_that_share_a_table_give_what_they_give_apart(monkeypatch: pytest.MonkeyPatch, shared: int) -> None:
    monkeypatch.setattr(masks, "SHARED_BYTES", shared)
    forest = Forest(7, trees=9, leaves=30)
    plan = forest.plan()
    (member,) = plan.head.members
    arrays = {**plan.arrays, "first": plan.arrays["levels"][:, :1], "second": plan.arrays["levels"][:, 1:]}
    levels = (PlanLevels(2, (3,), LEVELS, "first"), PlanLevels(2, (4,), LEVELS, "second"))
    head = replace(plan.head, members=(replace(member, levels=levels),))
    rows = [[number, number, level] for number in (None, *VALUES) for level in (None, "", "a", "b", "new")]
    expected = [forest.expected(row) for row in rows]
    scorer = PlanScorer(ScoringPlan(head, arrays))
    assert scorer.predictions(rows) == expected
    assert [scorer.predictions([row])[0] for row in rows] == expected


@pytest.mark.parametrize("count", [1, 9])
@pytest.mark.parametrize("wrong", [float("inf"), -1e39, "1.0", [1.0], b"1"], ids=repr)
def test_what_is_no_number_of_32_bits_is_told(wrong: Any, count: int) -> None:
    scorer = PlanScorer(Forest(1, trees=3, leaves=9).plan())
    with pytest.raises(ServingError):
        scorer.predictions([[0.0, 0.0, "a"]] * (count - 1) + [[wrong, 0.0, "a"]])


@pytest.mark.parametrize("count", [1, 9])
def test_a_category_that_cannot_be_looked_up_is_told(count: int) -> None:
    scorer = PlanScorer(Forest(1, trees=3, leaves=9).plan())
    with pytest.raises(ServingError, match="cannot be read"):
        scorer.predictions([[0.0, 0.0, "a"]] * (count - 1) + [[0.0, 0.0, ["a"]]])
