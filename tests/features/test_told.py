"""An error about rows tells how many and of which cut date, and names neither an entity nor a value."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from keelway.errors import FeatureError
from keelway.features.finish import Finisher
from keelway.features.label_values import checked_labels
from keelway.features.records import FeatureColumn
from keelway.features.told import counted, without_values

ANA = "ana.lopez@example.org"
APRIL, MAY = datetime(1997, 4, 1, tzinfo=UTC), datetime(1997, 5, 1, tzinfo=UTC)


def rows(**columns: Any) -> pa.Table:
    given = {"entity": [ANA, "bo"], "as_of": pa.array([MAY, APRIL], pa.timestamp("us", "UTC"))}
    return pa.table(given | columns)


def test_rows_are_counted_with_the_first_cut_date() -> None:
    assert counted(rows()) == "2 rows, the first at 1997-04-01T00:00:00Z"
    assert counted(rows().slice(0, 1)) == "1 row, the first at 1997-05-01T00:00:00Z"
    assert counted(rows(), "entity", "entities").startswith("2 entities, ")


QUOTING = {
    "a number from a text": f"SELECT CAST(who AS INTEGER) FROM (VALUES ('{ANA}')) t(who)",
    "a time from a text": f"SELECT CAST(who AS TIMESTAMP) FROM (VALUES ('{ANA}')) t(who)",
    "a list from a text": f"SELECT CAST(who AS INTEGER[]) FROM (VALUES ('{ANA}')) t(who)",
    "a format": f"SELECT strptime(who, '%Y') FROM (VALUES ('{ANA}')) t(who)",
    "an error of its own": f"SELECT error(who) FROM (VALUES ('{ANA}')) t(who)",
}


@pytest.mark.parametrize("case", QUOTING)
def test_a_value_that_the_engine_quotes_is_left_out(case: str) -> None:
    with pytest.raises(duckdb.Error, match=r"ana\.lopez") as caught:
        duckdb.sql(QUOTING[case]).fetchall()
    assert ANA not in without_values(caught.value)
    assert without_values(caught.value).startswith("a value")


def test_what_names_no_value_is_told_as_it_is() -> None:
    with pytest.raises(duckdb.Error) as caught:
        duckdb.sql("SELECT nothing FROM (VALUES (1)) t(one)")
    assert without_values(caught.value) == str(caught.value).strip()
    number = duckdb.OutOfRangeException("Overflow in addition of INT64 (9223372036854775807 + 1)!")
    assert without_values(number) == "a value that is out of range"


def test_the_column_and_the_type_of_a_cast_are_told() -> None:
    with pytest.raises(duckdb.ConversionException) as caught:
        duckdb.sql("SELECT CAST(spent AS DECIMAL(3,1)) FROM (VALUES ('12345')) t(spent)").fetchall()
    assert without_values(caught.value) == "a value of column spent that cannot be cast to DECIMAL(3,1)"


def numbers(values: list[float | None]) -> Callable[[], object]:
    column = FeatureColumn("spent", "numeric")
    return lambda: checked(rows(spent=pa.array(values, pa.float64())), column)


def arrays(values: list[list[float | None]]) -> Callable[[], object]:
    column = FeatureColumn("ink", "array", 2)
    return lambda: checked(rows(ink=pa.array(values)), column)


def checked(rows: pa.Table, column: FeatureColumn) -> None:
    finisher = Finisher([column], splitting=(), model="churn")
    finisher.finished(rows)
    finisher.check()


def labels(values: list[float | None]) -> Callable[[], object]:
    return lambda: checked_labels(rows(label=pa.array(values, pa.float64())), "binary", what="Label of customer")


WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "infinite": (numbers([float("inf"), 1.0]), "infinity in 1 row, the first at 1997-05-01T00:00:00Z"),
    "short": (arrays([[1.0], [1.0, 2.0]]), "1 numbers in 1 row, the first at 1997-05-01T00:00:00Z"),
    "missing in an array": (arrays([[1.0, None], [1.0, 2.0]]), "null, NaN or infinity in 1 row, the first at 1997-05"),
    "label": (labels([2.0, 1.0]), "another number in 1 row, the first at 1997-05-01T00:00:00Z"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_value_names_nobody(case: str) -> None:
    make, found = WRONG[case]
    with pytest.raises(FeatureError) as caught:
        make()
    assert caught.value.found.startswith(found)
    assert ANA not in str(caught.value)
