"""What a user's function does wrong is told with the line that did it, and with what would have been right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ibis
import pytest

from keelway.errors import FeatureError
from keelway.features.calls import called
from keelway.features.records import FeatureColumn, columns_apart

ORDERS = ibis.table({"customer": "string", "amount": "float64"}, name="orders")
PEOPLE = ibis.table({"customer": "string", "age": "int64"}, name="people")


def told(function: Callable[..., Any], *arguments: Any, hidden: frozenset[str] = frozenset()) -> FeatureError:
    with pytest.raises(FeatureError) as caught:
        called(function, arguments or (ORDERS,), what="Feature set 'activity'", hidden=hidden)
    return caught.value


def test_a_table_is_handed_back() -> None:
    assert called(lambda orders: orders, (ORDERS,), what="it") is ORDERS


def test_the_line_of_the_function_is_told_and_not_the_line_of_the_library() -> None:
    def broken(orders: Any) -> Any:
        known = orders.filter(orders.amount > 0)
        return known.select(known["nothing"])  # raised far inside Ibis

    error = told(broken)
    line = broken.__code__.co_firstlineno + 2
    assert error.fix.startswith(f"Mend the function, test_calls.py line {line}: return known.select(known[")
    assert error.__cause__ is not None


def helper(orders: Any) -> Any:
    return orders / 0


def test_of_a_function_that_calls_another_of_its_file_the_innermost_line_is_told() -> None:
    error = told(lambda orders: orders.mutate(half=helper(orders)))
    assert error.fix.endswith(": return orders / 0")
    assert "TypeError" in error.what


def test_a_column_that_is_not_there_is_told_with_those_that_are() -> None:
    error = told(lambda orders, people: orders.price + people.age, ORDERS, PEOPLE)
    assert error.expected == "one of the columns age, amount, customer"
    assert "price" in error.found


def test_an_attribute_that_something_else_lacks_is_not_taken_for_a_column() -> None:
    assert told(lambda orders: "text".column).expected == "an Ibis table"


def test_a_hidden_column_is_explained_where_it_is_asked_for() -> None:
    error = told(lambda orders: orders.churned, hidden=frozenset({"churned"}))
    assert "asks for column 'churned', which the label is made of" in error.what
    assert "asks for column" not in told(lambda orders: orders.churned_before, hidden=frozenset({"churned"})).what


@pytest.mark.parametrize("answer", [None, 3, ORDERS.amount, [ORDERS]], ids=lambda answer: type(answer).__name__)
def test_anything_but_a_table_is_refused_with_a_way_out(answer: Any) -> None:
    error = told(lambda _: answer)
    assert (error.what, error.found) == ("Feature set 'activity' returned no table", type(answer).__name__)
    assert "return" in error.fix


class Callable3:
    """Something that can be called, and has no code of its own that could be shown."""

    def __call__(self, orders: Any) -> Any:
        raise ValueError("on purpose")


def test_what_has_no_line_is_told_without_one() -> None:
    assert told(Callable3()).fix == "Mend the function."


def columns(*names: str) -> list[FeatureColumn]:
    return [FeatureColumn(name, "numeric") for name in names]


@pytest.mark.parametrize(
    ("before", "after", "expected", "found"),
    [
        (columns("a", "b"), columns("a"), "b (numeric)", "nothing in its place"),
        (columns("a"), columns("a", "b"), "a (numeric) and no other", "b (numeric) besides"),
        (columns("a", "b"), columns("a", "c"), "b (numeric)", "c (numeric) instead"),
        (columns("a"), [FeatureColumn("a", "text")], "a (numeric)", "a (text) instead"),
        (columns("a", "b"), columns("b", "a"), "a (numeric), b (numeric)", "b (numeric), a (numeric), in this order"),
    ],
    ids=["gone", "come", "another", "of another kind", "in another order"],
)
def test_only_what_differs_between_features_is_told(
    before: list[FeatureColumn], after: list[FeatureColumn], expected: str, found: str
) -> None:
    assert columns_apart(before, after) == {"expected": expected, "found": found}
