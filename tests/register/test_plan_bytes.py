"""A plan as bytes: the same back, nothing in it is run, and what does not fit together is refused."""

from __future__ import annotations

import json
import math
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.errors import IntegrityError
from keelway.features import FeatureColumn
from keelway.register import PlanScorer, ScoringPlan, plan_bytes, read_plan, scorer_of
from keelway.register.plan.answers import answer_of, calibrated, mixed, sigmoid, softmax
from keelway.register.plan.packed import MAGIC
from keelway.register.plan.records import (
    FORMAT,
    PlanCalibration,
    PlanHead,
    PlanLevels,
    PlanMember,
    PlanMixture,
    PlanModel,
    PlanNumber,
)
from keelway.testing.training import TrainingWorld

FEATURES = (FeatureColumn("n", "numeric"), FeatureColumn("c", "categorical"))
LINEAR = PlanModel("linear", "w.", 1, "sigmoid")
TREES = PlanModel("trees", "t.", 1)


def small() -> ScoringPlan:
    """Return a linear model and one tree of three nodes, whose answers are averaged."""
    arrays: dict[str, Any] = {
        "w.weights": np.array([[1.0, 2.0]]),
        "w.intercepts": np.array([-1.0]),
        "t.sizes": np.array([3], "<i4"),
        "t.outputs": np.array([0], "<i4"),
        "t.feature": np.array([0, 0, 0], "<i4"),
        "t.threshold": np.array([0.5, 0.0, 0.0]),
        "t.left": np.array([1, -1, -1], "<i4"),
        "t.right": np.array([2, -1, -1], "<i4"),
        "t.values": np.array([[0.0], [0.25], [0.75]]),
        "t.base": np.array([0.0]),
        "levels": np.array([[1.0], [0.0]], "<f4"),
    }
    member = PlanMember(
        2, (PlanNumber(0, 0, 1.0, 0.0, 0.0, -1),), (PlanLevels(1, (1,), ("a",), "levels"),), (LINEAR, TREES)
    )
    return ScoringPlan(PlanHead(FORMAT, "binary", (), FEATURES, (member,), None, 64), arrays)


def test_a_plan_comes_back_and_answers() -> None:
    data = plan_bytes(small())
    plan = read_plan(data)
    assert plan.head == small().head
    assert plan_bytes(plan) == data
    expected = (1 / (1 + math.exp(-2.0)) + 0.75) / 2
    assert PlanScorer(plan).predictions([[1.0, "a"]]) == [expected]


Change = Callable[[dict[str, Any], dict[str, Any]], Any]


def with_array(name: str, place: int, value: float) -> Change:
    return lambda _head, arrays: arrays[name].ravel().__setitem__(place, value)


def with_head(*path: Any, value: Any) -> Change:
    def change(head: dict[str, Any], _arrays: Any) -> None:
        inner = head
        for each in path[:-1]:
            inner = inner[each]
        inner[path[-1]] = value

    return change


CHANGES: dict[str, Change] = {
    "a tree that leads to itself": with_array("t.left", 0, 0),
    "a tree that leads elsewhere": with_array("t.right", 0, 3),
    "a leaf with one way": with_array("t.left", 1, 2),
    "a column that is not there": with_array("t.feature", 0, 2),
    "a negative column": with_array("t.feature", 0, -1),
    "an output that is not there": with_array("t.outputs", 0, 1),
    "a tree of no nodes": with_array("t.sizes", 0, 0),
    "a tree of more nodes": with_array("t.sizes", 0, 4),
    "not a number": with_array("w.weights", 0, math.nan),
    "infinity": with_array("t.values", 1, math.inf),
    "no array": lambda _head, arrays: arrays.pop("t.base"),
    "weights of another shape": lambda _head, arrays: arrays.update({"w.weights": np.ones((1, 3))}),
    "a table of another shape": lambda _head, arrays: arrays.update(levels=np.ones((3, 1), "<f4")),
    "a feature that is not there": with_head("members", 0, "numbers", 0, "feature", value=2),
    "a column behind the last": with_head("members", 0, "numbers", 0, "column", value=2),
    "a category's feature": with_head("members", 0, "levels", 0, "feature", value=-1),
    "a category's column": with_head("members", 0, "levels", 0, "columns", value=[9]),
    "no members": with_head("members", value=[]),
    "no estimators": with_head("members", 0, "models", value=[]),
    "another format": with_head("format", value="keelway.plan/9"),
    "another task": with_head("task", value="multiclass"),
    "a division by nothing": with_head("members", 0, "models", 0, "divisor", value=0.0),
    "a calibration that falls": with_head(
        "members", 0, "models", 0, "calibrations", value=[{"slope": 0, "shift": 0, "x": [1, 0], "y": [0, 1]}]
    ),
    "weights of another ensemble": with_head(
        "mixture", value={"weights": [0.5, 0.5], "coefficients": [], "intercepts": []}
    ),
    "coefficients of another ensemble": with_head(
        "mixture", value={"weights": [], "coefficients": [[1, 2]], "intercepts": [0]}
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_does_not_fit_together_is_refused(change: Change) -> None:
    data = plan_bytes(small())
    (length,) = struct.unpack_from("<Q", data, len(MAGIC))
    head = json.loads(data[len(MAGIC) + 8 : len(MAGIC) + 8 + length])["plan"]
    arrays = {name: array.copy() for name, array in small().arrays.items()}
    change(head, arrays)
    written = plan_bytes(replace(small(), arrays=arrays))
    (length,) = struct.unpack_from("<Q", written, len(MAGIC))
    begin = len(MAGIC) + 8
    told = json.loads(written[begin : begin + length])
    told["plan"] = head
    text = json.dumps(told, separators=(",", ":"), sort_keys=True).encode()
    front = MAGIC + struct.pack("<Q", len(text)) + text
    behind = written[begin + length + (-(begin + length) % 8) :]
    with pytest.raises(IntegrityError):
        read_plan(front + bytes(-len(front) % 8) + behind)


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_never_does_more_than_change_a_number(place: float, bit: int) -> None:
    """The digest refuses every one of them; this is what is behind it."""
    data = bytearray(plan_bytes(small()))
    data[int(place * len(data))] ^= 1 << bit
    try:
        scorer = PlanScorer(read_plan(bytes(data)))
    except IntegrityError:
        return
    assert len(scorer.predictions([[1.0, "a"], [None, None]])) == 2


@given(cut=st.floats(0, 1, exclude_max=True))
def test_a_cut_plan_is_refused(cut: float) -> None:
    data = plan_bytes(small())
    with pytest.raises(IntegrityError):
        read_plan(data[: int(cut * len(data))])


def test_a_plan_of_another_model_is_not_served(world: TrainingWorld) -> None:
    version = world.register(world.fit())
    with pytest.raises(IntegrityError, match="is of another model"):
        scorer_of(version, plan_bytes(small()))
    with pytest.raises(IntegrityError, match="cannot be read"):
        scorer_of(version, world.artifacts.get(version.onnx))
    with pytest.raises(IntegrityError, match="no ONNX model"):
        scorer_of(replace(version, plan=None), world.artifacts.get(version.served))


ALONE = """
import sys
from pathlib import Path
from keelway.register import PlanScorer, read_plan
print(PlanScorer(read_plan(Path(sys.argv[1]).read_bytes())).predictions([[1.0, "a"], [None, "b"]] * 9)[:2])
heavy = {"sklearn", "pandas", "lightgbm", "xgboost", "onnxruntime", "scipy", "pyarrow", "duckdb"} & set(sys.modules)
status = Path("/proc/self/status").read_text()
print(sorted(heavy), next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM")))
"""


def test_a_plan_answers_without_the_libraries_that_fitted_it(tmp_path: Path) -> None:
    (tmp_path / "plan").write_bytes(plan_bytes(small()))
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(tmp_path / "plan")], capture_output=True, text=True, check=True
    )
    answers, rest = done.stdout.splitlines()
    assert answers == str(PlanScorer(small()).predictions([[1.0, "a"], [None, "b"]]))
    heavy, megabytes = rest.rsplit(" ", 1)
    assert heavy == "[]"
    assert int(megabytes) < 200


@pytest.mark.parametrize("score", [-1e308, -710.0, -1.0, 0.0, 3.5, 800.0])
def test_a_sigmoid_is_one_over_one_plus_the_exponential(score: float) -> None:
    with np.errstate(over="ignore"):
        assert sigmoid(score) == pytest.approx(float(1 / (1 + np.exp(-score))), rel=1e-15)
    assert math.isnan(sigmoid(math.nan))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=6))
def test_shares_sum_to_one_and_keep_the_order(scores: list[float]) -> None:
    shares = softmax(scores)
    assert sum(shares) == pytest.approx(1.0)
    assert [each for _, each in sorted(zip(scores, shares, strict=True))] == sorted(shares)


@given(
    points=st.lists(st.tuples(st.floats(-9, 9), st.floats(0, 1)), min_size=1, max_size=6, unique_by=lambda each: each[0]),
    score=st.floats(-20, 20),
)  # fmt: skip
def test_an_isotonic_calibration_is_a_line_between_its_points(points: Any, score: float) -> None:
    x = tuple(sorted(each[0] for each in points))
    y = tuple(sorted(each[1] for each in points))
    assert calibrated(score, PlanCalibration(x=x, y=y)) == pytest.approx(float(np.interp(score, x, y)), abs=1e-9)


def test_calibrated_classes_without_any_share_are_equally_likely() -> None:
    nothing = PlanCalibration(x=(0.0,), y=(0.0,))
    answer = answer_of(PlanModel("linear", "w.", 3, calibrations=(nothing,) * 3))
    assert answer([1.0, 2.0, 3.0]) == [1 / 3] * 3


def test_members_are_weighed_or_stacked() -> None:
    assert mixed(PlanMixture((0.25, 0.75)), [[0.4], [0.8]], "binary") == [0.25 * 0.4 + 0.75 * 0.8]
    stacked = PlanMixture((), ((2.0, -1.0),), (0.5,))
    assert mixed(stacked, [[1.0], [3.0]], "regression") == [-0.5]
    assert mixed(stacked, [[1.0], [3.0]], "binary") == [sigmoid(-0.5)]
    several = PlanMixture((), ((1.0, 0.0), (0.0, 1.0)), (0.0, 0.0))
    assert mixed(several, [[0.3, 0.7]], "multiclass") == softmax([0.3, 0.7])
