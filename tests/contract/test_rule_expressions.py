"""A row rule is true for exactly the rows that break it, on a table from files and on a table of a warehouse."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.contract import ROW_RULES, Column, Contract, Rule, load_contract, violations
from keelway.contract import RuleKind as K
from keelway.contract import Severity as S
from keelway.contract.rules.expressions import rules_asked, typed
from keelway.testing.shop import contract_text

# Ibis 12 calls a method that DuckDB 2.0 has renamed; the answer is the same.
ARROW = {
    "string": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_(), "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
}  # fmt: skip
A = ("a",)


@pytest.fixture(scope="session")
def any_contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    path = tmp_path_factory.mktemp("contract") / "c.yaml"
    path.write_text(contract_text())
    return load_contract(path, "orders")


def broken(
    contract: Contract, rule: Rule, kind: str, values: list[Any], texts: list[str | None] | None = None
) -> list[bool]:
    """Return which values of a column `a` break a rule."""
    import duckdb

    contract = replace(contract, columns=(Column("a", kind),), rules=(rule,))
    arrays = {"n": pa.array(range(len(values))), "a": pa.array(values, ARROW[kind])}
    if texts is not None:
        arrays["_text_a"] = pa.array(texts, pa.string())
    arrow = pa.table(arrays)
    table = ibis.table(ibis.schema(arrow.schema), name="given")
    ((found, expression),) = violations(table, contract)
    assert found == rule
    query = ibis.to_sql(table.select("n", bad=expression).order_by("n"), dialect="duckdb")
    with duckdb.connect() as connection:
        connection.register("given", arrow)
        return [bool(bad) for _, bad in connection.execute(str(query)).fetchall()]


D, T = date, datetime
CASES: list[tuple[str, Rule, str, list[Any], list[bool]]] = [
    ("required", Rule(K.REQUIRED, A, "r"), "string", ["x", None], [False, True]),
    ("required number", Rule(K.REQUIRED, A, "r"), "number", [0.0, None], [False, True]),
    ("minimum", Rule(K.MINIMUM, A, "r", minimum="2"), "integer", [1, 2, 3, None], [True, False, False, False]),
    ("above", Rule(K.MINIMUM, A, "r", minimum="2", exclusive=True), "integer", [2, 3], [True, False]),
    ("maximum", Rule(K.MAXIMUM, A, "r", maximum="0.1"), "number", [0.1, 0.2, None], [False, True, False]),
    ("below", Rule(K.MAXIMUM, A, "r", maximum="0.1", exclusive=True), "number", [0.1, 0.09], [True, False]),
    (
        "date", Rule(K.MINIMUM, A, "r", minimum="2026-02-01"), "date",
        [D(2026, 1, 31), D(2026, 2, 1), None], [True, False, False],
    ),
    (
        "time", Rule(K.MAXIMUM, A, "r", maximum="2026-02-01T01:00:00+01:00"), "timestamp",
        [T(2026, 2, 1), T(2026, 2, 1, 0, 0, 0, 1)], [False, True],
    ),
    ("short", Rule(K.MIN_LENGTH, A, "r", minimum="2"), "string", ["é", "éé", "", None], [True, False, True, False]),
    ("long", Rule(K.MAX_LENGTH, A, "r", maximum="2"), "string", ["👍👍👍", "👍👍", None], [True, False, False]),
    ("pattern", Rule(K.PATTERN, A, "r", text="^[0-9]+$"), "string", ["1", "1\n", "x", None], [False, True, True, False]),
    ("part", Rule(K.PATTERN, A, "r", text="b|c"), "string", ["abc", "xyz"], [False, True]),
    ("allowed", Rule(K.ALLOWED, A, "r", allowed=("x", "it's")), "string", ["it's", "X", None], [False, True, False]),
    ("allowed number", Rule(K.ALLOWED, A, "r", allowed=("1", "2.50")), "number", [2.5, 1.0, 3.0], [False, False, True]),
    ("allowed day", Rule(K.ALLOWED, A, "r", allowed=("2026-02-01",)), "date", [D(2026, 2, 1), D(2026, 2, 2)], [False, True]),
    ("allowed truth", Rule(K.ALLOWED, A, "r", allowed=("true",)), "boolean", [True, False, None], [False, True, False]),
    ("condition", Rule(K.EXPRESSION, A, "r", text="a > 1"), "integer", [1, 2, None], [True, False, False]),
    ("infinite", Rule(K.TYPE, A, "r"), "number", [1e308, math.inf, -math.inf, math.nan, None], [False, True, True, True, False]),
    ("any text", Rule(K.TYPE, A, "r"), "string", ["x", None], [False, False]),
    ("any day", Rule(K.TYPE, A, "r"), "date", [D(2026, 1, 1), None], [False, False]),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "kind", "values", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_rule_is_true_for_the_rows_that_break_it(
    any_contract: Contract, rule: Rule, kind: str, values: list[Any], expected: list[bool]
) -> None:
    assert broken(any_contract, rule, kind, values) == expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [(Rule(K.TYPE, A, "r"), [False, True, False]), (Rule(K.REQUIRED, A, "r"), [False, False, True])],
    ids=["type", "required"],
)
def test_the_text_tells_a_wrong_value_from_none(any_contract: Contract, rule: Rule, expected: list[bool]) -> None:
    assert broken(any_contract, rule, "integer", [1, None, None], ["1", "one", None]) == expected


def test_every_row_rule_has_a_case() -> None:
    assert {case[1].kind for case in CASES} == ROW_RULES


def test_rules_on_more_than_a_row_are_left_to_others(any_contract: Contract) -> None:
    others = tuple(Rule(kind, A, kind) for kind in K if kind not in ROW_RULES)
    table = ibis.table({"a": "string"}, name="given")
    assert violations(table, replace(any_contract, columns=(Column("a", "string"),), rules=others)) == []


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1), st.integers(-(2**63), 2**63 - 1))
def test_an_integer_is_kept_exactly_where_it_is_not_below(
    any_contract: Contract, values: list[int], least: int
) -> None:
    rule = Rule(K.MINIMUM, A, "r", minimum=str(least))
    assert broken(any_contract, rule, "integer", list(values)) == [value < least for value in values]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(allow_nan=False), min_size=1), st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_kept_exactly_where_it_is_not_above(
    any_contract: Contract, values: list[float], most: float
) -> None:
    rule = Rule(K.MAXIMUM, A, "r", maximum=repr(most))
    assert broken(any_contract, rule, "number", list(values)) == [value > most for value in values]


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)), min_size=1),
    st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)),
    st.integers(-720, 720),
)
def test_a_time_is_kept_exactly_where_it_is_not_before(
    any_contract: Contract, values: list[datetime], first: datetime, offset_min: int
) -> None:
    written = (first + timedelta(minutes=offset_min)).isoformat() + offset(offset_min)
    rule = Rule(K.MINIMUM, A, "r", minimum=written)
    assert broken(any_contract, rule, "timestamp", list(values)) == [value < first for value in values]


def offset(minutes: int) -> str:
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1), st.integers(0, 8)
)
def test_a_text_is_as_long_as_it_has_characters(any_contract: Contract, values: list[str], most: int) -> None:
    rule = Rule(K.MAX_LENGTH, A, "r", maximum=str(most))
    assert broken(any_contract, rule, "string", list(values)) == [len(value) > most for value in values]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text("ab'\\\n%_é", max_size=4), min_size=2))
def test_a_text_is_allowed_exactly_where_it_is_on_the_list(any_contract: Contract, values: list[str]) -> None:
    allowed = tuple(values[: len(values) // 2])
    rule = Rule(K.ALLOWED, A, "r", allowed=allowed)
    assert broken(any_contract, rule, "string", list(values)) == [value not in allowed for value in values]


@pytest.mark.parametrize("engine", ["duckdb", "snowflake", "databricks"])
@pytest.mark.parametrize("zone", ["", "('UTC')"])
def test_all_rules_compile_for_a_warehouse(any_contract: Contract, engine: str, zone: str) -> None:
    kinds = ["string", "integer", "number", "boolean", "date", "timestamp"]
    types = {"integer": "int64", "number": "float64", "timestamp": f"timestamp{zone}"}
    table = ibis.table({kind: types.get(kind, kind) for kind in kinds}, name="given")
    rules = []
    for _, rule, kind, _, _ in CASES:
        text = rule.text.replace("a >", f"{kind} >")
        rules.append(replace(rule, columns=(kind,), reason=f"r{len(rules)}", text=text))
    contract = replace(any_contract, columns=tuple(Column(kind, kind) for kind in kinds), rules=tuple(rules))
    found = violations(table, contract, engine=engine)
    sql = str(ibis.to_sql(table.select(**{rule.reason: test for rule, test in found}), dialect=engine))
    assert all(rule.reason in sql for rule in rules)


def test_a_pattern_is_spelled_for_the_engine(any_contract: Contract) -> None:
    contract = replace(any_contract, columns=(Column("a", "string"),), rules=(Rule(K.PATTERN, A, "r", text="^a$"),))
    table = ibis.table({"a": "string"}, name="given")
    ((_, test),) = violations(table, contract, engine="databricks")
    assert r"'^a\\z'" in str(ibis.to_sql(table.select(r=test), dialect="databricks"))


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("-3", "integer", -3), ("1e3", "number", 1000.0), ("TRUE", "boolean", True), ("x", "string", "x"),
        ("2026-01-02", "date", date(2026, 1, 2)),
        ("2026-01-02 03:00:00", "timestamp", datetime(2026, 1, 2, 3, tzinfo=UTC)),
        ("2026-01-02T03:00:00+02:00", "timestamp", datetime(2026, 1, 2, 1, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_a_text_of_a_contract_is_a_value_of_its_kind(text: str, kind: str, value: Any) -> None:
    assert typed(text, kind) == value


def test_a_row_must_say_when_it_happened(any_contract: Contract) -> None:
    plain = replace(any_contract, rules=(Rule(K.REQUIRED, ("date",), "w", severity=S.WARN),))
    asked = rules_asked(plain, "date")
    assert asked[0] == Rule(K.REQUIRED, ("date",), "date: missing")
    assert asked[1:] == plain.rules
    assert rules_asked(any_contract, "date") == any_contract.rules
    assert rules_asked(plain, "") == plain.rules


@pytest.fixture
def orders_yaml(tmp_path: Path) -> Path:
    path = tmp_path / "orders.yaml"
    path.write_text(contract_text())
    return path


def test_the_rules_of_a_loaded_contract_all_have_an_expression(orders_yaml: Path) -> None:
    contract = load_contract(orders_yaml, "orders")
    types = {"string": "string", "date": "date", "integer": "int64", "number": "float64"}
    table = ibis.table({column.name: types[column.kind] for column in contract.columns}, name="given")
    assert [rule for rule, _ in violations(table, contract)] == list(contract.rules)
