"""Canonical JSON: the same bytes as the rfc8785 package writes, whatever the value; and the same refusals."""

from __future__ import annotations

from typing import Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from keelway.core import LARGEST_PLAIN, SMALLEST_PLAIN, canonical_json, digest_of, plain_number
from keelway.core.canonical import canonical_bytes
from keelway.errors import KeelwayError

NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1e-4, 1e-4),
    st.floats(1e14, 1e22),
    st.integers(-(2**53) + 1, 2**53 - 1),
    st.integers(-(2**53) + 1, 2**53 - 1).map(float),
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner), st.lists(inner).map(tuple), st.dictionaries(TEXTS, inner)),
    max_leaves=20,
)


@given(value=PLAIN)
@example(value={"b": 1.0, "a": [True, None, False], "": {}})
@example(value={"é": 1, "\U0001f600": 2, "￿": 3})
@example(value="\x00\x1f\x7f\b\t\n\f\r\"\\/  <>&'")
@example(
    value=[0.0, -0.0, 1e15, -1e15, 1e-5, -1e-5, 1e21, 5e-324, 1.7976931348623157e308, 2**53 - 1, 9007199254740991.0]
)
def test_bytes_are_those_of_the_rfc8785_package(value: Any) -> None:
    assert canonical_bytes(value) == rfc8785.dumps(value)


@given(exponent=st.integers(-24, 24), digits=st.integers(1, 10**17))
def test_numbers_of_every_size_and_length_are_written_alike(exponent: int, digits: int) -> None:
    for number in (float(f"{digits}e{exponent}"), -float(f"0.{digits}e{exponent}")):
        assert canonical_bytes([number]) == rfc8785.dumps([number])


@pytest.mark.parametrize("edge", [LARGEST_PLAIN, SMALLEST_PLAIN, -LARGEST_PLAIN, -SMALLEST_PLAIN])
def test_the_edges_between_the_two_ways_of_writing_are_alike(edge: float) -> None:
    import math

    for number in (edge, math.nextafter(edge, 0), math.nextafter(edge, math.inf), math.nextafter(edge, -math.inf)):
        assert canonical_bytes(number) == rfc8785.dumps(number)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        -float("inf"),
        2**53,
        -(2**53),
        10**30,
        "\ud800",
        {"\udfff": 1},
        [{"a": [float("nan")]}],
    ],
)
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises((rfc8785.CanonicalizationError, UnicodeEncodeError)):
        rfc8785.dumps(value)
    with pytest.raises(KeelwayError) as refused:
        canonical_json(value)
    assert "canonical JSON" in str(refused.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_no_plain_one(value: float) -> None:
    with pytest.raises(rfc8785.CanonicalizationError):
        plain_number(value)


def test_equal_content_has_one_digest_whatever_its_order_or_class() -> None:
    assert digest_of({"a": 1.0, "b": [1, 2]}) == digest_of({"b": (1, 2.0), "a": 1})
