"""What MLflow's scoring server takes, read to rows: every layout, any order of columns, and what is refused."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.errors import BadRequestError
from keelway.features import FeatureColumn
from keelway.serve.wire import CsvReader, InvocationReader, WireLimits

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FEATURES = (
    FeatureColumn("recency_d", "numeric"),
    FeatureColumn("plan", "categorical"),
    FeatureColumn("note", "text"),
    FeatureColumn("spend", "array", 2),
)
FLAT = FEATURES[:2]
LIMITS = WireLimits(rows=3)
ROWS = [[12.5, "gold", "kind", [1.0, 2.0]], [None, None, "", [0.0, -1.0]]]
NAMES = [feature.name for feature in FEATURES]


def read(body: Any, features: tuple[FeatureColumn, ...] = FEATURES) -> list[Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return InvocationReader(features, limits=LIMITS).read(data, now=NOW)


def read_csv(text: str | bytes, features: tuple[FeatureColumn, ...] = FLAT) -> list[Any]:
    data = text if isinstance(text, bytes) else text.encode()
    return CsvReader(features, InvocationReader(features, limits=LIMITS), limits=LIMITS).read(data, now=NOW)


def refusal(body: Any, features: tuple[FeatureColumn, ...] = FEATURES) -> BadRequestError:
    with pytest.raises(BadRequestError) as caught:
        read(body, features)
    return caught.value


RECORDS = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
BACKWARDS = {"columns": NAMES[::-1], "data": [row[::-1] for row in ROWS]}
LAYOUTS = {
    "split": {"dataframe_split": {"columns": NAMES, "index": [0, "b"], "data": ROWS}},
    "another order": {"dataframe_split": BACKWARDS},
    "records": {"dataframe_records": RECORDS},
    "instances by name": {"instances": RECORDS},
    "instances in order": {"instances": ROWS},
    "inputs by column": {"inputs": {name: [row[at] for row in ROWS] for at, name in enumerate(NAMES)}},
    "inputs by row": {"inputs": RECORDS, "params": {}},
    "inputs in order": {"inputs": ROWS, "params": None},
}


@pytest.mark.parametrize("body", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_every_layout_gives_the_same_rows(body: Any) -> None:
    assert read(body) == [("", NOW, row) for row in ROWS]


def test_entity_and_time_may_stand_beside_the_features() -> None:
    record = RECORDS[0] | {"entity": "00042", "as_of": "2026-02-01T01:00:00+01:00"}
    entity, as_of, values = read({"dataframe_records": [record]})[0]
    assert (entity, as_of, values) == ("00042", datetime(2026, 2, 1, tzinfo=UTC), ROWS[0])
    split = {"columns": [*NAMES, "as_of", "entity"], "data": [[*ROWS[0], None, "7"]]}
    assert read({"dataframe_split": split}) == [("7", NOW, ROWS[0])]


def test_a_feature_that_is_called_entity_is_a_feature() -> None:
    features = (FeatureColumn("entity", "numeric"),)
    assert read({"inputs": {"entity": [3]}}, features) == [("", NOW, [3.0])]


WRONG: dict[str, tuple[Any, str]] = {
    "nothing": (b"", "$"),
    "no JSON": (b"{", "$"),
    "a list": ([1], "$"),
    "no layout": ({}, "$"),
    "two layouts": ({"instances": ROWS, "inputs": ROWS}, "$"),
    "another layout": ({"dataframe_table": []}, "$.dataframe_table"),
    "parameters": ({"instances": ROWS, "params": {"threshold": 0.5}}, "$.params"),
    "no rows": ({"dataframe_records": []}, "$.dataframe_records"),
    "too many rows": ({"instances": ROWS * 2}, "$.instances"),
    "a missing column": (
        {"dataframe_split": {"columns": NAMES[1:], "data": []}},
        "$.dataframe_split.columns.recency_d",
    ),
    "an unknown column": (
        {"dataframe_split": {"columns": [*NAMES, "more"], "data": []}},
        "$.dataframe_split.columns.more",
    ),
    "a repeated column": ({"dataframe_split": {"columns": [*NAMES, "plan"], "data": []}}, "$.dataframe_split.columns"),
    "a short row": ({"dataframe_split": {"columns": NAMES, "data": [ROWS[0][:2]]}}, "$.dataframe_split.data[0]"),
    "a wrong cell": (
        {"dataframe_split": {"columns": NAMES, "data": [["soon", *ROWS[0][1:]]]}},
        "$.dataframe_split.data[0][0] (recency_d)",
    ),
    "a wrong record": ({"dataframe_records": [RECORDS[0] | {"plan": 3}]}, "$.dataframe_records[0].plan"),
    "a missing field": ({"dataframe_records": [{"plan": "gold"}]}, "$.dataframe_records[0].recency_d"),
    "columns of two lengths": ({"inputs": LAYOUTS["inputs by column"]["inputs"] | {"plan": ["gold"]}}, "$.inputs.plan"),
    "an entity in some rows": ({"dataframe_records": [RECORDS[0] | {"entity": "1"}, RECORDS[1]]}, "entity"),
    "an entity of nothing": ({"dataframe_records": [RECORDS[0] | {"entity": ""}]}, "$.dataframe_records[0].entity"),
    "a time without zone": ({"dataframe_records": [RECORDS[0] | {"as_of": "2026-02-01T00:00:00"}]}, "as_of"),
    "an array of another length": ({"instances": [[1.0, "a", "b", [1.0]]]}, "$.instances[0][3] (spend)"),
    "a null in an array": ({"instances": [[1.0, "a", "b", [1.0, None]]]}, "$.instances[0][3][1] (spend)"),
    "a number too large": ({"instances": [[1e39, "a", "b", [1.0, 2.0]]]}, "$.instances[0][0] (recency_d)"),
    "a repeated layout": (b'{"instances":[[1,"a"]],"instances":[[2,"b"]]}', "instances"),
    "a repeated field": (b'{"dataframe_records":[{"plan":"a","plan":"b","recency_d":1}]}', "plan"),
    "a field repeated by an escape": (b'{"dataframe_records":[{"plan":"a","pl\\u0061n":"b","recency_d":1}]}', "plan"),
}


@pytest.mark.parametrize(("body", "field"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_named(body: Any, field: str) -> None:
    flat = isinstance(body, bytes) and b"1" in body
    error = refusal(body, FLAT if flat else FEATURES)
    assert error.field.endswith(field) if error.status == 422 else error.status == 400
    assert error.expected


def test_nan_is_missing_as_mlflows_client_writes_it_but_not_inside_a_text() -> None:
    body = b'{"instances":[[NaN,"NaN"],[ NaN ,NaN],[1,"a\\" NaN"]]}'
    assert [row[2] for row in read(body, FLAT)] == [[None, "NaN"], [None, None], [1.0, 'a" NaN']]


@pytest.mark.parametrize("token", [b"Infinity", b"-Infinity", b"-NaN", b"nan", b"NaNN"])
def test_what_else_is_no_number_is_refused(token: bytes) -> None:
    assert refusal(b'{"instances":[[' + token + b',"a"]]}', FLAT).status == 400


def test_csv_is_read_as_pandas_writes_it() -> None:
    import pandas as pd

    frame = pd.DataFrame({"plan": ["go,ld", None], "recency_d": [12.5, None], "entity": ["00042", '"7"']})
    text = io.StringIO()
    frame.to_csv(text, index=False)
    assert read_csv(text.getvalue()) == [("00042", NOW, [12.5, "go,ld"]), ('"7"', NOW, [None, None])]


def test_csv_knows_text_and_time() -> None:
    rows = read_csv("note,as_of\r\nkind words,2026-02-01T00:00:00Z\r\n,\r\n", FEATURES[2:3])
    assert rows == [("", datetime(2026, 2, 1, tzinfo=UTC), ["kind words"]), ("", NOW, [None])]


@pytest.mark.parametrize(
    "text",
    [
        b"", b"\xff\xfe", "plan,recency_d\n", "plan\ngold\n", "plan,recency_d,more\na,1,2\n", "plan,recency_d\na\n",
        "plan,recency_d\na,soon\n", "plan,recency_d\na,nan\n", "plan,recency_d\na,inf\n", "plan,recency_d\na,1_0\n",
        "plan,recency_d\na,1e39\n", "plan,recency_d\na,\u0661\n", "plan,recency_d,plan\na,1,b\n",
        "plan,recency_d,entity\na,1,\n", "plan,recency_d,as_of\na,1,soon\n", "plan,recency_d\n" + "a,1\n" * 4,
        "plan,recency_d\n" + "a" * 1001 + ",1\n", 'plan,recency_d\n"a,1\n', "plan,recency_d\n" + "a" * 200_000 + ",1\n",
        "plan,recency_d,as_of\na,1,0001-01-01T00:00:00+14:00\n",
    ],
)  # fmt: skip
def test_csv_that_is_wrong_is_refused(text: str | bytes) -> None:
    with pytest.raises(BadRequestError) as caught:
        read_csv(text)
    assert caught.value.expected


def test_csv_holds_no_arrays() -> None:
    with pytest.raises(BadRequestError, match="lists of numbers"):
        read_csv("spend\n[1 2]\n", FEATURES[3:])


numbers = st.none() | st.floats(-3e38, 3e38) | st.integers(-(2**60), 2**60)
texts = st.none() | st.text(st.characters(codec="utf-8"), max_size=20)


@given(st.lists(st.tuples(numbers, texts), min_size=1, max_size=3))
def test_any_values_come_through_every_layout(rows: list[tuple[Any, Any]]) -> None:
    expected = [("", NOW, [None if a is None else float(a), b]) for a, b in rows]
    listed = [list(row) for row in rows]
    columns = {"recency_d": [row[0] for row in rows], "plan": [row[1] for row in rows]}
    for body in (
        {"dataframe_split": {"columns": ["recency_d", "plan"], "data": listed}},
        {"dataframe_records": [dict(zip(("recency_d", "plan"), row, strict=True)) for row in rows]},
        {"instances": listed},
        {"inputs": columns},
    ):
        assert read(body, FLAT) == expected
        assert read(json.dumps(body, ensure_ascii=False).encode(), FLAT) == expected
