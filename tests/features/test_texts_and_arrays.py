"""Free texts and lists of numbers are features too: typed as declared, checked, profiled and joined."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from keelway.core import canonical_json, parse_json, parse_time, revive
from keelway.errors import FeatureError
from keelway.features import (
    FeatureColumn,
    FeatureTable,
    Profile,
    build_features,
    columns_for_scoring,
    profile_of,
    rows_of,
)
from keelway.project import Dataset, Estimator, FeatureSet, Label, Model, RandomSplit, feature_set
from keelway.testing.features import StaticTable

LETTERS = Dataset("letters", contract="letters.yaml", source="letters/*.csv", event_time="")
KNOWN = parse_time("2025-01-01")
PRESENT = KNOWN + timedelta(days=1)
COLUMNS: dict[str, Any] = {
    "letter": ["l1", "l2", "l3"],
    "body": ["Dear Ana", None, "Regards, Cem"],
    "kind": ["a", "b", None],
    "pixels": ["0 0.5", "1 2", "0.25 0.125"],
    "spam": [0, 1, 0],
}

NUMBERS = [[0.0, 0.5], [1.0, 2.0], [0.25, 0.125]]


@Label.define(entity="letter", source=LETTERS)
def spam(letters: Any, as_of: Any) -> Any:
    return letters.select("letter", "spam")


def whole(letters: Any, as_of: Any) -> Any:
    """Return every column, the numbers in `pixels` as a list; a `?` is a missing one."""
    numbers = letters.pixels.split(" ").map(lambda number: number.nullif("?")).cast("array<float64>")
    return letters.mutate(pixels=numbers)


BOTH = feature_set(entity="letter", sources=[LETTERS], texts=["body"], arrays={"pixels": 2})(whole)
BODY, KIND, PIXELS = (
    FeatureColumn("body", "text"),
    FeatureColumn("kind", "categorical"),
    FeatureColumn("pixels", "array", 2),
)


def model(*features: FeatureSet) -> Model:
    logistic = Estimator("logistic", "sklearn.linear_model.LogisticRegression")
    return Model("spam", features=features, label=spam, estimators=[logistic], cuts=None, split=RandomSplit())  # type: ignore[arg-type]


@pytest.fixture
def build(tmp_path: Path, artifacts: Any, state: Any) -> Callable[..., FeatureTable]:
    def build(*features: FeatureSet, **columns: Any) -> FeatureTable:
        table = StaticTable(tmp_path, "letters", COLUMNS | columns, KNOWN)
        return build_features(
            model(*(features or (BOTH,))), {"letters": table.snapshot()}, as_ofs=(PRESENT,), purpose="training",
            with_label=True, paths_of=table.paths_of, artifacts=artifacts, state=state, now=PRESENT,
        )  # fmt: skip

    return build


def test_texts_and_arrays_have_their_kind_and_their_type(build: Any, artifacts: Any) -> None:
    table = build()
    rows = rows_of(table, artifacts)

    assert table.features == (BODY, KIND, PIXELS)
    assert rows["body"].to_pylist() == ["Dear Ana", "", "Regards, Cem"]
    assert rows["pixels"].to_pylist() == NUMBERS
    assert rows.schema.field("pixels").type.value_type == pa.float32()
    assert columns_for_scoring(rows, table.features)["pixels"] == NUMBERS


def test_an_array_can_be_made_of_columns(build: Any, artifacts: Any) -> None:
    def pair(letters: Any, as_of: Any) -> Any:
        import ibis

        return letters.select(
            "letter", pair=ibis.array([letters.body.length().fill_null(0), letters.kind.length().fill_null(0)])
        )

    table = build(feature_set(entity="letter", sources=[LETTERS], arrays={"pair": 2})(pair))
    assert rows_of(table, artifacts)["pair"].to_pylist() == [[8.0, 1.0], [0.0, 1.0], [12.0, 0.0]]


def test_sets_with_arrays_are_joined(build: Any, artifacts: Any) -> None:
    def bodies(letters: Any, as_of: Any) -> Any:
        return letters.filter(letters.letter != "l2").select("letter", "body")

    def images(letters: Any, as_of: Any) -> Any:
        return whole(letters, as_of).select("letter", "pixels")

    table = build(
        feature_set(entity="letter", sources=[LETTERS], texts=["body"])(bodies),
        feature_set(entity="letter", sources=[LETTERS], arrays={"pixels": 2})(images),
    )
    rows = rows_of(table, artifacts)
    assert rows["body"].to_pylist() == ["Dear Ana", "", "Regards, Cem"]
    assert rows["pixels"].to_pylist() == NUMBERS


@pytest.mark.parametrize(
    ("pixels", "told"),
    [
        pytest.param(
            ["0 1", "1", "1 1"],
            "expected 2 numbers in each row, found 1 numbers in 1 row, the first at 2025",
            id="short",
        ),
        pytest.param(["0 1", None, "1 1"], "found nothing in 1 row,", id="none"),
        pytest.param(["0 1 2"] * 3, "found 3 numbers in 3 rows,", id="long"),
        pytest.param(["0 1", "1 nan", "1 1"], "no number.*in 1 row,", id="not a number"),
        pytest.param(["0 ?", "1 1", "? 1"], "no number.*in 2 rows,", id="a missing number"),
        pytest.param(["0 1", "1 1", "inf 1"], "no number.*in 1 row,", id="infinite"),
    ],
)
def test_a_wrong_array_is_refused_with_how_many_rows_have_it_and_no_entity(
    build: Any, pixels: list[str | None], told: str
) -> None:
    with pytest.raises(FeatureError, match=told) as refused:
        build(pixels=pixels)
    assert not re.search("l[123]", str(refused.value))


def _declared(**given: Any) -> FeatureSet:
    return feature_set(entity="letter", sources=[LETTERS], **given)(whole)


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        pytest.param(_declared(texts=["body"]), "'pixels' as array<float64>", id="an array that nobody declared"),
        pytest.param(
            _declared(arrays={"body": 2, "pixels": 2}), "a list of numbers, as it is declared", id="a text as array"
        ),
        pytest.param(_declared(texts=["pixels"]), "a text, as it is declared", id="an array as text"),
        pytest.param(_declared(arrays={"pixels": 2}, texts=["subject"]), "no column 'subject'", id="no such text"),
    ],
)
def test_a_column_that_is_not_what_was_declared_is_refused(build: Any, declared: FeatureSet, told: str) -> None:
    with pytest.raises(FeatureError, match=told):
        build(declared)


def test_a_text_is_profiled_by_length_and_an_array_by_its_mean() -> None:
    rows = pa.table({"body": ["", "abc", "abcdef"], "pixels": pa.array(NUMBERS, pa.list_(pa.float32()))})
    profile = profile_of(rows, [BODY, PIXELS])
    body, pixels = profile.columns["body"], profile.columns["pixels"]

    assert (body.kind, body.count, body.nulls, body.mean) == ("text", 2, 1, 4.5)
    assert (pixels.kind, pixels.count, pixels.nulls) == ("array", 3, 0)
    assert pixels.mean == pytest.approx(np.mean(NUMBERS))
    assert revive(parse_json(canonical_json(profile)), Profile) == profile


def test_longer_texts_fall_into_later_bins() -> None:
    before = profile_of(pa.table({"body": ["a" * length for length in range(1, 101)]}), [BODY])
    after = profile_of(pa.table({"body": ["b" * 500] * 10}), [BODY], reference=before)
    assert after.columns["body"].counts == (0,) * 9 + (10,)
