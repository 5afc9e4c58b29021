"""Requests of named fields: rows come out as they were sent, whatever of them is null, and no key is taken twice."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.errors import BadRequestError
from keelway.features import FeatureColumn
from keelway.serve import RequestSchema

NOW = datetime(2026, 3, 1, tzinfo=UTC)
NUMBERS = (FeatureColumn("n", "numeric"), FeatureColumn("m", "numeric"))
TEXTS = (FeatureColumn("a", "categorical"), FeatureColumn("b", "text"))
WORDS = st.none() | st.sampled_from(["", "gold", "null", 'a "quoted" text', "back\\slash", "é"])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "entity": st.sampled_from(["7", "é", "a b"]),
            "features": st.fixed_dictionaries(
                {"n": st.none() | st.floats(-1e9, 1e9), "m": st.none() | st.integers(-9, 9), "a": WORDS, "b": WORDS}
            ),
        },
        optional={"as_of": st.none() | st.just("2026-02-01T00:00:00Z")},
    ),
    min_size=1,
    max_size=4,
)


def body_of(rows: list[Any]) -> bytes:
    return json.dumps({"instances": rows}, separators=(",", ":"), ensure_ascii=False).encode()


def shortened(rows: list[Any], names: list[str]) -> list[Any]:
    """Return rows with some of their features."""
    return [{**row, "features": {name: row["features"][name] for name in names}} for row in rows]


@pytest.mark.parametrize("features", [NUMBERS, (*NUMBERS, TEXTS[0]), (*NUMBERS, *TEXTS)], ids=len)
@given(rows=ROWS)
def test_rows_are_read_as_they_were_sent_whatever_is_null(features: tuple[FeatureColumn, ...], rows: list[Any]) -> None:
    names = [each.name for each in features]
    found, many = RequestSchema(features).read(body_of(shortened(rows, names)), now=NOW)
    assert many
    for (entity, as_of, values), row in zip(found, rows, strict=True):
        assert entity == row["entity"]
        assert as_of == (datetime.fromisoformat(row["as_of"]) if row.get("as_of") else NOW)
        assert values == [row["features"][name] for name in names]


@given(rows=ROWS, data=st.data())
def test_a_key_that_comes_twice_is_refused_whatever_is_null(rows: list[Any], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(rows) - 1))
    name = data.draw(st.sampled_from(["n", "m", "a", "b"]))
    bodies = [body_of([row])[len(b'{"instances":[') : -len(b"]}")] for row in rows]
    again = json.dumps({name: rows[place]["features"][name]}, separators=(",", ":"), ensure_ascii=False)[1:-1]
    bodies[place] = bodies[place].replace(b'"features":{', f'"features":{{{again},'.encode(), 1)
    with pytest.raises(BadRequestError, match="twice"):
        RequestSchema((*NUMBERS, *TEXTS)).read(b'{"instances":[' + b",".join(bodies) + b"]}", now=NOW)


@pytest.mark.parametrize("entity", ["a\nb", "\u202e1", "\ufeff"], ids=ascii)
def test_an_entity_that_cannot_be_shown_is_refused_among_others(entity: str) -> None:
    rows = [{"entity": each, "features": {"n": 1, "m": 1}} for each in ("7", entity, "8")]
    with pytest.raises(BadRequestError) as caught:
        RequestSchema(NUMBERS).read(body_of(rows), now=NOW)
    assert caught.value.field == "$.entity"
