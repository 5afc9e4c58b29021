"""What looks like a leak is found, and honest columns are left alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.errors import FeatureError
from keelway.features import FeatureColumn, LeakageReport, leakage
from keelway.features.leakage.alone import auc_of, single_scores

ROWS = 600
NOW = datetime(2025, 6, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Part:
    train: Any
    validate: Any
    name: str = "part"


def halves(rows: int = ROWS) -> Part:
    return Part(np.arange(rows // 2), np.arange(rows // 2, rows))


def world(**columns: Any) -> tuple[pa.Table, list[FeatureColumn]]:
    """Return rows with six honest columns that know something of the label, and some more."""
    draw = np.random.default_rng(5)
    truth = draw.normal(size=ROWS)
    made: dict[str, Any] = {f"sign_{n}": truth + draw.normal(scale=1.5, size=ROWS) for n in range(5)}
    made["plan"] = draw.choice(["a", "b", "c"], ROWS).tolist()
    label = (truth + draw.normal(scale=0.7, size=ROWS) > 0.8).astype(np.int8)
    made |= {name: make(label, draw) for name, make in columns.items()}
    rows = pa.table({**made, "label": label})
    kinds = {name: "categorical" if pa.types.is_string(rows.schema.field(name).type) else "numeric" for name in made}
    return rows, [FeatureColumn(name, kind) for name, kind in kinds.items()]


def look(
    task: Any = "binary", *, folds: Any = None, groups: Any = None, accept: Any = (), **columns: Any
) -> LeakageReport:
    rows, features = world(**columns)
    return leakage(rows, features, task=task, folds=folds, groups=groups, accept=accept)


def checks(report: LeakageReport) -> set[tuple[str, str, str]]:
    return {(each.check, each.severity, each.column) for each in report.findings}


def test_honest_columns_raise_nothing() -> None:
    report = look(folds=[halves()])
    assert report.findings == ()
    assert {score.column for score in report.scores} == {f"sign_{n}" for n in range(5)} | {"plan"}


def test_a_column_that_is_the_label_stops() -> None:
    report = look(refund=lambda label, draw: label * 100.0 + draw.normal(size=ROWS))
    assert ("alone", "stop", "refund") in checks(report)
    assert report.findings[0] in report.stops
    assert report.scores[0].column == "refund"
    assert report.scores[0].low > 0.95


def test_a_missing_value_that_is_the_label_stops() -> None:
    def end_date(label: Any, draw: Any) -> Any:
        return pa.array(draw.normal(size=ROWS), mask=label == 0)

    assert ("alone", "stop", "ended") in checks(look(ended=end_date))


def test_a_category_and_a_curve_that_turns_round_are_seen() -> None:
    report = look(
        reason=lambda label, draw: np.where(label == 1, "cancelled", "active").tolist(),
        both_ends=lambda label, draw: (
            np.where(label == 1, 5.0, 0.0) * draw.choice([-1, 1], ROWS) + draw.normal(size=ROWS)
        ),
    )
    assert {("alone", "stop", "reason"), ("alone", "stop", "both_ends")} <= checks(report)


def test_few_rows_are_no_proof() -> None:
    rows = pa.table({"x": [0.0, 0.1, 0.2, 1.0, 1.1, 1.2], "label": pa.array([0, 0, 0, 1, 1, 1], pa.int8())})
    assert leakage(rows, [FeatureColumn("x", "numeric")], task="binary").stops == ()


def test_names_predict_nothing_by_being_remembered() -> None:
    report = look(name=lambda label, draw: [f"n{n}" for n in draw.permutation(ROWS)])
    assert checks(report) == {("identifier", "note", "name")}
    assert next(each for each in report.scores if each.column == "name").score < 0.6


@pytest.mark.parametrize(
    ("make", "flagged"),
    [
        (lambda label, draw: draw.permutation(ROWS).astype(float), True),
        (lambda label, draw: np.arange(ROWS) * 1.5, True),
        (lambda label, draw: -np.arange(ROWS).astype(float), True),
        (lambda label, draw: draw.normal(size=ROWS), False),
        (lambda label, draw: draw.integers(0, 400, ROWS).astype(float), False),
    ],
    ids=["whole and each another", "rising", "falling", "real numbers", "whole and repeated"],
)
def test_numbers_that_name_rows(make: Any, flagged: bool) -> None:
    assert (("identifier", "note", "number") in checks(look(number=make))) == flagged


def test_a_decisive_column_stops_although_it_is_not_perfect() -> None:
    draw = np.random.default_rng(1)
    label = (draw.random(ROWS * 3) < 0.3).astype(np.int8)
    columns = {f"weak_{n}": label * 0.35 + draw.normal(size=ROWS * 3) for n in range(5)}
    columns["length"] = np.where(label == 1, draw.gamma(6, 100, ROWS * 3), draw.gamma(1.5, 100, ROWS * 3))
    rows = pa.table({**columns, "label": label})
    features = [FeatureColumn(name, "numeric") for name in columns]
    found = leakage(rows, features, task="binary")
    assert [(each.check, each.column) for each in found.stops] == [("decisive", "length")]
    assert found.stops[0].figure > 0.5
    assert leakage(rows, features, task="binary", accept=["length"]).stops == ()
    few = leakage(rows, features[-3:], task="binary")
    assert few.stops == (), "one good column among two is no wonder"


def test_an_accepted_column_is_noted() -> None:
    report = look(refund=lambda label, draw: label * 100.0, accept=["refund"])
    assert report.stops == ()
    assert any(each.column == "refund" and each.text.endswith("Accepted.") for each in report.findings)


def test_classes_are_judged_one_against_the_others() -> None:
    draw = np.random.default_rng(2)
    label = draw.choice(["red", "green", "blue"], ROWS)
    columns = {"is_red": np.where(label == "red", 1.0, 0.0), "noise": draw.normal(size=ROWS)}
    rows = pa.table({**columns, "label": label.tolist()})
    report = leakage(rows, [FeatureColumn(name, "numeric") for name in columns], task="multiclass")
    [finding] = report.stops
    assert (finding.column, finding.check) == ("is_red", "alone")
    assert "'red'" in finding.text


def test_a_number_is_judged_by_r2() -> None:
    draw = np.random.default_rng(3)
    label = draw.normal(size=ROWS * 10) * 10
    columns = {"copy": label * 2 + 1, "noise": draw.normal(size=ROWS * 10)}
    rows = pa.table({**columns, "label": label})
    report = leakage(rows, [FeatureColumn(name, "numeric") for name in columns], task="regression")
    assert [each.column for each in report.stops] == ["copy"]
    assert {each.column: round(each.score, 1) for each in report.scores} == {"copy": 1.0, "noise": 0.0}


def test_moments_after_the_cut_stop() -> None:
    rows, features = world()
    moments = [NOW + timedelta(days=(n % 3) - 1) for n in range(ROWS)]
    rows = rows.append_column("as_of", pa.array([NOW] * ROWS, pa.timestamp("us", "UTC")))
    rows = rows.append_column("delivered", pa.array(moments, pa.timestamp("us", "UTC")))
    rows = rows.append_column("joined", pa.array([NOW.date() - timedelta(days=1 + n % 9) for n in range(ROWS)]))
    features = [*features, FeatureColumn("delivered", "numeric"), FeatureColumn("joined", "numeric")]
    found = {each.column: each.figure for each in leakage(rows, features, task="binary").stops if each.check == "late"}
    assert found == {"delivered": 400}


def copied(share: float) -> tuple[pa.Table, list[FeatureColumn], int]:
    rows, features = world()
    count = int(ROWS * share)
    return pa.concat_tables([rows, rows.slice(0, count)]), features, count


def test_copies_are_counted_and_stop_across_folds() -> None:
    rows, features, count = copied(0.1)
    part = Part(np.arange(ROWS), np.arange(ROWS, ROWS + count), "the test rows")
    report = leakage(rows, features, task="binary", folds=[part])
    assert {(each.check, each.severity, each.figure) for each in report.findings} == {
        ("copies", "note", count), ("copies across folds", "stop", count),
    }  # fmt: skip
    assert "'the test rows'" in report.stops[0].text


def test_a_copy_in_a_hundred_is_only_noted() -> None:
    rows, features, _ = copied(0.005)
    report = leakage(
        rows, features, task="binary", folds=[Part(np.arange(ROWS - 300), np.arange(ROWS - 300, ROWS + 3))]
    )
    assert {(each.check, each.severity) for each in report.findings} == {
        ("copies", "note"),
        ("copies across folds", "note"),
    }


def test_copies_at_a_later_cut_are_only_noted() -> None:
    rows, features, count = copied(0.5)
    cuts = [NOW] * ROWS + [NOW + timedelta(days=30)] * count
    rows = rows.append_column("as_of", pa.array(cuts, pa.timestamp("us", "UTC")))
    report = leakage(rows, features, task="binary", folds=[Part(np.arange(ROWS), np.arange(ROWS, ROWS + count))])
    assert report.stops == ()


def test_rows_with_the_same_features_and_another_label_are_no_copies() -> None:
    rows = pa.table({"x": [1.0, 1.0, None, None], "label": pa.array([0, 1, 0, 0], pa.int8())})
    [finding] = leakage(rows, [FeatureColumn("x", "numeric")], task="binary").findings
    assert (finding.check, finding.figure) == ("copies", 1)


def test_groups_that_a_fold_cuts_in_two_stop() -> None:
    together = [f"house {n // 2}" for n in range(ROWS)]
    assert look(groups=together, folds=[halves()]).stops == ()
    apart = [f"house {n % 300}" for n in range(ROWS)]
    [finding] = look(groups=apart, folds=[halves()]).stops
    assert (finding.check, finding.figure) == ("groups", 300)


def test_a_label_of_one_value_tells_nothing() -> None:
    rows = pa.table({"x": [float(n) for n in range(40)], "label": pa.array([1] * 40, pa.int8())})
    assert leakage(rows, [FeatureColumn("x", "numeric")], task="binary").scores == ()


def test_texts_are_judged_by_length_and_arrays_not_at_all() -> None:
    label = pa.array([n % 2 for n in range(300)], pa.int8())
    rows = pa.table(
        {"body": ["long " * 9 if n % 2 else "short" for n in range(300)], "pixels": [[1.0, 2.0]] * 300, "label": label}
    )
    features = [FeatureColumn("body", "text"), FeatureColumn("pixels", "array", 2)]
    report = leakage(rows, features, task="binary")
    assert [(each.check, each.column) for each in report.stops] == [("alone", "body")]


def test_a_column_that_is_not_there_is_told() -> None:
    rows, _ = world()
    with pytest.raises(FeatureError, match="'gone'"):
        leakage(rows, [FeatureColumn("gone", "numeric")], task="binary")
    with pytest.raises(FeatureError, match="'label'"):
        leakage(rows.drop_columns(["label"]), [], task="binary")


@given(st.lists(st.tuples(st.booleans(), st.integers(-5, 5)), min_size=2, max_size=60))
def test_the_area_is_the_share_of_pairs_in_the_right_order(pairs: list[tuple[bool, int]]) -> None:
    truth = np.array([float(positive) for positive, _ in pairs])
    scores = np.array([float(score) for _, score in pairs])
    higher, lower = scores[truth == 1], scores[truth == 0]
    if len(higher) and len(lower):
        right = (higher[:, None] > lower).mean() + 0.5 * (higher[:, None] == lower).mean()
        assert auc_of(truth, scores) == pytest.approx(right)
    else:
        assert auc_of(truth, scores) == 0.5


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(st.booleans(), st.one_of(st.none(), st.floats(allow_infinity=False, allow_nan=False))), max_size=80
    )
)
def test_every_score_lies_in_its_range(pairs: list[tuple[bool, float | None]]) -> None:
    rows = pa.table(
        {"x": pa.array([x for _, x in pairs], pa.float64()), "label": pa.array([int(y) for y, _ in pairs], pa.int8())}
    )
    for score in single_scores(rows, [FeatureColumn("x", "numeric")], task="binary", seed=0):
        assert 0.5 <= score.score <= 1
        assert score.low <= score.score
