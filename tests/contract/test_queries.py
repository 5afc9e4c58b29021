"""A query of a contract reads the batch and nothing else, and says the same on every engine."""

from __future__ import annotations

import pytest

from keelway.contract.rules.queries import NUMBER, number_of, query_of, query_on
from keelway.errors import ContractError


@pytest.mark.parametrize("spelling", ["{object}", "${object}", "{table}", "${table}"])
def test_the_batch_has_several_spellings(spelling: str) -> None:
    assert query_of(f"SELECT count(*) FROM {spelling}") == "SELECT count(*) FROM {object}"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM {object}",
        "SELECT max(a) - min(a) FROM {object} WHERE b = 'x;y'",
        "WITH busy AS (SELECT a, count(*) AS n FROM {object} GROUP BY a) SELECT max(n) FROM busy",
        "SELECT count(*) FROM {object} x JOIN {object} y ON x.a = y.b",
        "SELECT avg(CASE WHEN a > 1 THEN 1 ELSE 0 END) FROM {object} -- the share of large ones",
        "SELECT count(*) FROM {object} WHERE a IN (SELECT b FROM {object})",
        "SELECT quantile_cont(a, 0.5) FROM {object}",
    ],
)
def test_a_query_over_the_batch_is_kept_as_it_is(query: str) -> None:
    assert query_of(query) == query


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "SELECT"),
        ("SELECT", "query"),
        ("SELECT 1", "a query over"),
        ("SELECT count(*) FROM orders", "orders"),
        ("SELECT count(*) FROM main.{object}", "main"),
        ("SELECT count(*) FROM {object}, 'secrets.csv'", "secrets.csv"),
        ("SELECT count(*) FROM {object} JOIN read_csv('/etc/passwd') ON TRUE", "READ_CSV"),
        ("SELECT count(*) FROM {object} JOIN glob('/*') ON TRUE", "GLOB"),
        ("SELECT getenv('HOME') FROM {object}", "GETENV"),
        ("SELECT random() FROM {object}", "RAND"),
        ("SELECT max(a) FROM {object} WHERE b < now()", "NOW"),
        ("SELECT max(a) FROM {object} WHERE b < current_date", "CURRENT_DATE"),
        ("SELECT max(a) FROM {object} USING SAMPLE 10%", "SAMPLE"),
        ("SELECT a, b FROM {object}", "2 columns"),
        ("SELECT * FROM {object}", "1 columns"),
        ("SELECT count(*) FROM {object}; DROP TABLE x", "2"),
        ("DELETE FROM {object}", "Delete"),
        ("COPY {object} TO 'x'", "Copy"),
        ("ATTACH 'x'", "Attach"),
        ("SELECT count(* FROM {object}", "query"),
    ],
)
def test_a_query_that_may_read_or_write_anything_else_is_refused(query: str, said: str) -> None:
    with pytest.raises(ContractError) as caught:
        query_of(query)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        ("duckdb", 'SELECT COUNT(*) FROM "kept" WHERE "A" >= CAST(\'2026-01-01\' AS DATE)'),
        ("snowflake", 'SELECT COUNT(*) FROM "kept" WHERE "A" >= CAST(\'2026-01-01\' AS DATE)'),
        ("databricks", "SELECT COUNT(*) FROM `kept` WHERE `A` >= CAST('2026-01-01' AS DATE)"),
    ],
)
def test_names_are_quoted_so_that_case_means_the_same_everywhere(dialect: str, expected: str) -> None:
    query = "SELECT count(*) FROM {object} WHERE A >= DATE '2026-01-01'"
    assert query_on(query, "kept", dialect=dialect) == expected


def test_the_answer_is_one_row_with_one_number() -> None:
    import duckdb

    query = number_of("SELECT count(*) FROM {object} WHERE a > 1", "SELECT unnest([1, 2, 3]) AS a", dialect="duckdb")
    answer = duckdb.sql(query)
    assert answer.columns == [NUMBER]
    assert answer.fetchall() == [(2.0,)]
