"""The writer of the prediction log: the bytes of RFC 8785 whatever a value is, and ids that are unique and sort by time."""

from __future__ import annotations

import json
import time
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.core import (
    Digest,
    Environment,
    Prediction,
    VersionName,
    canonical_json,
    sortable_id,
    sortable_ids,
    time_text,
)
from keelway.errors import UsageError
from keelway.serve import LineWriter, RequestMark, WriterParts, moment_text
from keelway.serve.line import (
    BLOCK_ROWS,
    COLUMNS_FROM,
    LARGEST_PLAIN,
    SMALLEST_PLAIN,
    lines_of,
    number_text,
    number_texts,
)

NOW = datetime(1998, 1, 1, tzinfo=UTC)
DIGEST = Digest("sha256:" + "0" * 64)
EDGES = [
    0.0, -0.0, 1.0, -1.0, 0.1, 2.5, 1e-4, SMALLEST_PLAIN, 9.999999999999999e-06, 1e-6, -1e-6, 9.9e-7, 1e-7, 5e-324,
    LARGEST_PLAIN, 999999999999999.9, 1000000000000000.5, 1e16, 2.0**53, 123456789012345680.0, 1e20, 1e21, -1e21, 3.4028234663852886e38,
    1.7976931348623157e308,
]  # fmt: skip
TEXTS = ["", "gold", 'a "quoted" text', "back\\slash", "line\nfeed", "\x00\x1f\x7f", "é", "\u2028", "😀", "1.0,", "1e5"]


LATER = datetime(2026, 3, 1, 12, 30, 0, 250_000, tzinfo=UTC)
NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(EDGES) | st.integers(-9, 9)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
PLACES = st.tuples(WORDS, st.sampled_from([NOW, LATER]), st.tuples(NUMBERS, st.none() | WORDS, NUMBERS).map(list))


def writer_of(*names: str, arm: str = "stable", policy: str = "") -> LineWriter:
    return LineWriter(WriterParts(
        model="churn", version="churn:1", version_digest=DIGEST, deployment=DIGEST, environment="prod", arm=arm,
        features=names, policy=policy,
    ))  # fmt: skip


def written(*values: object, names: tuple[str, ...] | None = None) -> bytes:
    writer = writer_of(*(names or [f"feature_{place}" for place in range(len(values))]))
    return writer.lines([f"{1:032x}"], [("7", NOW, list(values))], ["0.25"], at=time_text(NOW))


def expected(
    features: dict[str, object], *, number: int = 1, entity: str = "7", as_of: datetime = NOW, arm: str = "stable",
    value: float = 0.25, **more: Any,
) -> bytes:  # fmt: skip
    prediction = Prediction(
        prediction_id=f"{number:032x}", model="churn", version=VersionName("churn:1"), version_digest=DIGEST,
        deployment=DIGEST, environment=Environment("prod"), arm=arm, entity=entity, as_of=as_of, features=features,
        value=value, event_time=NOW, **more,
    )  # fmt: skip
    return canonical_json(prediction) + b"\n"


@pytest.mark.parametrize("number", EDGES)
def test_a_number_is_written_as_rfc_8785_writes_it(number):
    assert written(number) == expected({"feature_0": number})
    assert number_text(number).encode() == canonical_json(number)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_written_as_rfc_8785_writes_it(text):
    assert written(text) == expected({"feature_0": text})


@given(st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5), max_size=6))
def test_any_row_is_written_as_its_canonical_json(values):
    assert written(*values) == expected({f"feature_{place}": value for place, value in enumerate(values)})


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5))
def test_an_array_is_written_number_by_number(numbers):
    assert written(numbers) == expected({"feature_0": tuple(numbers)})
    assert written(tuple(numbers)) == expected({"feature_0": tuple(numbers)})


@given(st.lists(PLACES, min_size=1, max_size=8), st.sampled_from([1, COLUMNS_FROM]), st.integers(1, 2))
def test_many_rows_are_written_as_their_canonical_json_whoever_writes_each(few, times, arms):
    names, rows = ("b", "é", "a"), few * times
    values = [place / len(rows) for place in range(len(rows))]
    writers = [writer_of(*names, arm=f"arm {place}") for place in range(arms)]
    found = lines_of(
        [writers[place % arms] for place in range(len(rows))], [f"{place:032x}" for place in range(len(rows))], rows,
        number_texts(values), at=time_text(NOW),
    )  # fmt: skip
    assert found == b"".join(
        expected(
            dict(zip(names, row[2], strict=True)), number=place, entity=row[0], as_of=row[1], value=values[place],
            arm=f"arm {place % arms}",
        )
        for place, row in enumerate(rows)
    )  # fmt: skip


@given(
    st.lists(st.sampled_from(["one", "two", 'é"', ""]), min_size=1, max_size=8),
    st.sampled_from([1, COLUMNS_FROM]),
    st.integers(1, 2),
)
def test_each_line_tells_of_the_request_that_asked_for_it_and_how_long_it_took(few, times, arms):
    requests = few * times
    began = time.perf_counter() - 1.5
    marks = {request: RequestMark(request, began if request else None) for request in set(requests)}
    writers = [writer_of("a", arm=f"arm {place}", policy=str(DIGEST)) for place in range(arms)]
    ids, count = [f"{place:032x}" for place in range(len(requests))], len(requests)
    found = lines_of(
        [writers[place % arms] for place in range(count)], ids, [("7", NOW, [1.5])] * count, ["0.25"] * count,
        at=time_text(NOW), marks=[marks[request] for request in requests],
    )  # fmt: skip
    took = [json.loads(line)["latency_us"] for line in found.splitlines()]
    assert all(
        each is None if not request else 1.5e6 <= each < 60e6 for request, each in zip(requests, took, strict=True)
    )
    assert found == b"".join(
        expected(
            {"a": 1.5},
            number=place,
            arm=f"arm {place % arms}",
            policy=DIGEST,
            request_id=request,
            latency_us=took[place],
        )
        for place, request in enumerate(requests)
    )


COLUMNS = {
    "numbers": EDGES,
    "numbers without an exponent": [0.5, -0.0, 3.0, -2.0, 10.0, None],
    "texts": TEXTS,
    "texts without an escape": ["gold", "é", ",", "null", "-0,", "1.0,"],
    "texts and null": [None, "gold", 'a "quoted" text'],
    "nothing": [None],
    "arrays": [[1.0, 2.5], [1e-7, -0.0], []],
    "whole numbers": [1, 2, True],
    "both kinds": ["gold", 1.0, 1e-7, None, [1.0]],
}


@pytest.mark.parametrize("values", COLUMNS.values(), ids=COLUMNS.keys())
def test_a_column_of_many_rows_is_written_value_by_value(values):
    count = 2 * BLOCK_ROWS + 1
    given = [values[place % len(values)] for place in range(count)]
    rows = [(f"c{place}", NOW, [value, place / 7]) for place, value in enumerate(given)]
    ids = [f"{place:032x}" for place in range(count)]
    writer = writer_of("b", "a")
    alone = [writer.lines([number], [row], ["0.25"], at=time_text(NOW)) for number, row in zip(ids, rows, strict=True)]
    assert writer.lines(ids, rows, ["0.25"] * count, at=time_text(NOW)).splitlines(keepends=True) == alone


def test_rows_without_features_are_written():
    rows = [("7", NOW, [])] * COLUMNS_FROM
    found = writer_of().lines([f"{1:032x}"] * COLUMNS_FROM, rows, ["0.25"] * COLUMNS_FROM, at=time_text(NOW))
    assert found == expected({}) * COLUMNS_FROM


@given(st.lists(NUMBERS.filter(lambda each: each is not None), min_size=1, max_size=9))
def test_numbers_are_written_together_as_each_alone(numbers):
    assert number_texts(numbers) == [number_text(each) for each in numbers]


def test_numbers_of_numpy_are_written_as_those_of_python():
    assert written(*np.array([0.1, 2.0, 1e-7])) == written(0.1, 2.0, 1e-7)


def test_a_whole_number_and_its_float_are_the_same_line():
    assert written(12) == written(12.0)


def test_names_are_written_in_the_order_of_their_utf16_units_and_keep_their_values():
    names = ("b", "😀", "\uff5e", "a.b", 'q"')
    found = json.loads(written(1.5, 2.5, 3.5, 4.5, 5.5, names=names))["features"]
    assert found == dict(zip(names, (1.5, 2.5, 3.5, 4.5, 5.5), strict=True))
    assert list(found) == sorted(names, key=lambda name: name.encode("utf-16-be"))


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_moment_is_written_as_everywhere_else(moment):
    assert moment_text(moment) == time_text(moment)


def test_a_moment_of_another_zone_is_written_in_utc_and_one_of_no_zone_is_refused():
    assert moment_text(datetime(2026, 3, 1, 2, tzinfo=timezone(timedelta(hours=2)))) == "2026-03-01T00:00:00Z"
    with pytest.raises(UsageError, match="zone"):
        moment_text(datetime(2026, 3, 1))


def test_ids_are_uuids_of_version_7_none_twice_and_later_ones_are_greater():
    found = sortable_ids(2_000)
    assert len(set(found)) == len(found)
    for each in found:
        told = uuid.UUID(each)
        assert (told.version, told.variant, len(each)) == (7, uuid.RFC_4122, 32)
    assert sortable_ids(0) == []
    assert sortable_id()[:12] >= max(found)[:12]
