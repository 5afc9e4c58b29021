"""Guesses from values: a bound holds what it was made from, a shape matches it, a reading gives it back."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.contract.drafting.guess_column import guess_column
from keelway.contract.drafting.guess_pii import guess_pii, may_name_person, may_name_subject, words_of
from keelway.contract.drafting.guess_reading import guess_reading, read_as_dates
from keelway.contract.drafting.guess_rules import (
    allowed_values,
    first_of_year,
    length_bounds,
    likely_key,
    outer_bounds,
    shape,
)
from keelway.contract.drafting.sample import SampledColumn

FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@settings(deadline=None)
@given(FLOATS, FLOATS)
def test_outer_bounds_hold_what_they_were_made_from(one: float, other: float) -> None:
    low, high = (float(text) for text in outer_bounds(min(one, other), max(one, other)))
    assert low <= min(one, other)
    assert high >= max(one, other)


@settings(deadline=None)
@given(st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12))
def test_outer_bounds_of_whole_numbers_are_whole(one: int, other: int) -> None:
    low, high = outer_bounds(min(one, other), max(one, other))
    assert int(low) <= min(one, other) <= max(one, other) <= int(high)


@settings(deadline=None)
@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_bounds_of_what_is_never_negative_are_not_negative(one: float, other: float) -> None:
    assert float(outer_bounds(min(one, other), max(one, other))[0]) >= 0


@settings(deadline=None)
@given(st.floats(1, 1e6), st.floats(1, 1e6))
def test_bounds_are_no_farther_out_than_the_leading_digit(one: float, other: float) -> None:
    lowest, highest = min(one, other), max(one, other)
    low, high = (float(text) for text in outer_bounds(lowest, highest))
    spread = highest - lowest
    if spread > 1e-6:
        assert high - low <= 3 * spread + 1e-9


def test_bounds_are_written_without_exponents() -> None:
    assert outer_bounds(0.0, 1e-7) == ("0", "0.0000001")
    assert outer_bounds(-2.5e10, 0) == ("-30000000000", "0")


def test_the_year_of_a_date_is_written_with_four_digits() -> None:
    assert first_of_year(date(812, 6, 1)) == "0812-01-01"


@settings(deadline=None)
@given(st.lists(st.from_regex(r"[A-Z]{2}[0-9]{1,4}-[a-z.]{3}", fullmatch=True), min_size=1, max_size=60))
def test_a_shape_matches_every_value_it_was_made_from(values: list[str]) -> None:
    found = shape(set(values))
    if found is not None:
        assert pc.all(pc.match_substring_regex(pa.array(values), found)).as_py()


@settings(deadline=None)
@given(st.lists(st.text(st.characters(max_codepoint=127), max_size=6), min_size=20, max_size=40, unique=True))
def test_a_shape_of_any_texts_is_an_expression_that_matches_them(values: list[str]) -> None:
    found = shape(values)
    if found is not None:
        assert pc.all(pc.match_substring_regex(pa.array(values), found)).as_py()


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([f"{n:05d}" for n in range(30)], "^[0-9]{5}$"),
        ([f"A{n}" for n in range(30)], "^[A-Z][0-9]+$"),
        ([f"a+b({n:02d})" for n in range(30)], r"^[a-z]\+[a-z]\([0-9]{2}\)$"),
        ([f"{n:02d} €" for n in range(30)], None),
        ([f"w{'x' * n}" for n in range(30)], None),
        ([f"{n}" for n in range(30)], None),
        ([f"1.2.3.4.5.6.{n:02d}" for n in range(30)], None),
        (["one", "2"] * 20, None),
        ([], None),
    ],
)
def test_a_shape_is_told_only_where_it_says_something(values: list[str], found: str | None) -> None:
    assert shape(values) == found


def test_lengths_are_rounded_up_and_left_open_where_they_are_huge() -> None:
    assert length_bounds([""]) == (None, 10)
    assert length_bounds(["x" * 11, "y"]) == (None, 20)
    assert length_bounds(["x" * 2_000_000, "y"]) == (None, None)
    assert length_bounds(["ab", "cd"]) == (2, 2)


def test_a_set_needs_several_values_and_many_rows_of_each() -> None:
    assert allowed_values(Counter(a=10, b=10)) == ("a", "b")
    assert allowed_values(Counter(a=19)) == ()
    assert allowed_values(Counter(a=18, b=1)) == ()
    assert allowed_values(Counter({f"v{n}": 10 for n in range(20)})) != ()
    assert allowed_values(Counter({f"v{n}": 10 for n in range(21)})) == ()


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30))
def test_a_key_never_repeats_and_none_is_shorter(rows: list[tuple[int, int, int]]) -> None:
    columns: dict[str, list[object]] = {name: [row[at] for row in rows] for at, name in enumerate("abc")}
    key = likely_key(columns, leading="abc")
    assert len(rows) > 1 or key == ()
    if key:
        assert len(set(zip(*(columns[name] for name in key), strict=True))) == len(rows)
    if len(key) > 1:
        assert all(len(set(columns[name])) < len(rows) for name in "abc")


def test_a_key_of_several_columns_holds_an_identifier_or_a_time() -> None:
    columns: dict[str, list[object]] = {"x": [1, 1, 2], "y": [1, 2, 1]}
    assert likely_key(columns, leading=[]) == ()
    assert likely_key(columns, leading=["y"]) == ("x", "y")
    assert likely_key({}, leading=[]) == ()


def test_a_key_that_repeats_late_is_no_key() -> None:
    late: list[object] = [*range(6000), 0]
    assert likely_key({"n": late}, leading=["n"]) == ()
    assert likely_key({"n": late[:-1]}, leading=["n"]) == ("n",)


@settings(deadline=None)
@given(st.sets(st.integers(-(2**63) + 1, 2**63 - 1), min_size=1, max_size=30))
def test_whole_numbers_are_read_back(numbers: set[int]) -> None:
    reading = guess_reading({str(number) for number in numbers})
    assert reading.kind == "integer"
    assert set(reading.values.values()) == numbers


@settings(deadline=None)
@given(st.sets(FLOATS, min_size=1, max_size=30))
def test_numbers_are_read_back(numbers: set[float]) -> None:
    reading = guess_reading({f"{number!r}" for number in numbers})
    assert reading.kind == "number"
    assert set(reading.values.values()) == numbers


@settings(deadline=None)
@given(st.sets(st.decimals(-(10**6), 10**6, places=2), min_size=1, max_size=30))
def test_numbers_with_a_decimal_comma_and_thousands_are_read_back(numbers: set[Any]) -> None:
    texts = {f"{number:,.2f}".translate(str.maketrans(",.", ".,")): float(number) for number in numbers}
    reading = guess_reading(texts)
    assert (reading.kind, reading.decimal_comma) == ("number", True)
    assert all(math.isclose(reading.values[text], value) for text, value in texts.items())


@settings(deadline=None)
@given(st.sets(st.dates(date(1900, 1, 1), date(2100, 12, 31)), min_size=1, max_size=30), st.sampled_from("./-"))
def test_days_are_read_back_whatever_the_sign_between(days: set[date], sign: str) -> None:
    texts = {f"{day:%d{sign}%m{sign}%Y}": day for day in days}
    reading = guess_reading(texts)
    assert reading.kind == "date"
    if reading.formats == (f"%d{sign}%m{sign}%Y",):
        assert reading.values == texts
    else:
        assert "would fit as well" in reading.note


@settings(deadline=None)
@given(st.sets(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)), min_size=1, max_size=20))
def test_moments_are_read_back_in_utc(moments: set[datetime]) -> None:
    reading = guess_reading({f"{moment.isoformat()}+02:00" for moment in moments})
    assert reading.kind == "timestamp"
    assert {value.tzinfo for value in reading.values.values()} == {UTC}


@settings(deadline=None)
@given(st.sets(st.text(max_size=10), max_size=20))
def test_any_texts_have_a_reading_that_keeps_each_text_or_calls_it_missing(texts: set[str]) -> None:
    reading = guess_reading(texts)
    trimmed = {text.strip(" \t\xa0\u202f") for text in texts} - {""}
    assert set(reading.values) | set(reading.missing) == trimmed
    assert not set(reading.values) & set(reading.missing)


def test_texts_that_mean_nothing_are_missing_beside_numbers_and_kept_beside_texts() -> None:
    assert guess_reading({"1", "unknown", "-"}).missing == ("-", "unknown")
    assert guess_reading({"red", "unknown", "-"}).missing == ()
    assert guess_reading({"n/a", "?"}).kind == "string"


def test_a_unit_that_is_cut_off_is_pointed_out() -> None:
    reading = guess_reading({"$5", "$6.50"})
    assert reading.strip == ("$",)
    assert "the unit stays" in reading.note
    assert "thousands" in guess_reading({"1,000", "2,000"}).note


def test_numbers_are_dates_only_where_all_of_them_can_be() -> None:
    assert read_as_dates(guess_reading({"20200131"})) is not None
    assert read_as_dates(guess_reading({"20200131", "20201331"})) is None
    assert read_as_dates(guess_reading({"18000101"})) is None
    assert read_as_dates(guess_reading({"2020013"})) is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("customerID", ("customer", "id")),
        ("EMailAddress", ("e", "mail", "address")),
        ("tax_id2", ("tax", "id", "2")),
        ("Call  Failure", ("call", "failure")),
        ("emp.var.rate", ("emp", "var", "rate")),
        ("...", ()),
    ],
)
def test_a_name_is_cut_into_words(name: str, words: tuple[str, ...]) -> None:
    assert words_of(name) == words


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("email", "e-mail"),
        ("eMail", "e-mail"),
        ("lastName", "name"),
        ("home_street", "address"),
        ("user", "a person"),
        ("patient_no", "a person"),
        ("patients", ""),
        ("user_count", ""),
        ("postcard", ""),
        ("ip", "ip"),
        ("trip", ""),
        ("phone", "phone"),
    ],
)
def test_a_name_speaks_of_a_person(name: str, held: str) -> None:
    assert may_name_person(name) == held


def test_a_subject_is_named_by_an_identifier() -> None:
    assert may_name_subject("householdKey")
    assert not may_name_subject("customer_plan")
    assert not may_name_subject("id")
    assert not may_name_subject("")


def test_few_values_that_look_like_it_are_no_person() -> None:
    mails = [f"p{n}@example.org" for n in range(10)]
    assert guess_pii("text", mails) == "e-mail"
    assert guess_pii("text", [*mails, *["hello"] * 10]) == ""
    assert guess_pii("email", [*mails, *["none"] * 10]) == "e-mail"
    assert guess_pii("email", []) == ""


@settings(deadline=None)
@given(st.text(max_size=12), st.lists(st.text(max_size=20), max_size=10))
def test_any_column_can_be_asked_about(name: str, values: list[str]) -> None:
    assert isinstance(guess_pii(name, values), str)


def test_a_column_says_what_it_was_guessed_from() -> None:
    column = SampledColumn("paid")
    column.add(["1", "2", "", None, "2"])
    guessed = guess_column(column, rows=5, texts=True)
    assert (guessed.missing, guessed.distinct, guessed.column.required) == (2, 2, False)
    assert guessed.key_values == []


def test_a_time_and_an_identifier_lead_a_key() -> None:
    day, order, note = (SampledColumn(name) for name in ("day", "order_id", "note"))
    for each, values in ((day, ["2020-01-01"]), (order, ["a"]), (note, ["b"])):
        each.add(values)
    leads = [guess_column(each, rows=1, texts=True).leads for each in (day, order, note)]
    assert leads == [True, True, False]
