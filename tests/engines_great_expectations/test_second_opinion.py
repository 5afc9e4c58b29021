"""Great Expectations and Keelway count the same rows for every rule that both can ask."""

from __future__ import annotations

import re
import socket
import sys
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keelway.contract import Contract, PiiClass, RuleKind, Severity, load_contract
from keelway.engines.great_expectations import plan_of, second_opinion, suite_of
from keelway.errors import MissingExtraError

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: shop-orders
version: 1.2.0
status: active
schema:
  - name: orders
    quality:
      - {type: custom, engine: keelway, implementation: "paid <= price", name: paid too much}
      - {type: custom, engine: keelway, implementation: "paid > 0 or plan = 'free'", name: unpaid}
      - {metric: rowCount, mustBeBetween: [2, 1000], severity: stop}
      - {type: custom, engine: keelway, implementation: {dependency: {determinant: [receipt], dependent: [plan]}}}
    properties:
      - {name: order_id, logicalType: string, primaryKey: true, primaryKeyPosition: 1, required: true}
      - {name: line, logicalType: integer, primaryKey: true, primaryKeyPosition: 2, required: true}
      - name: receipt
        logicalType: string
        unique: true
        logicalTypeOptions: {pattern: '^R[0-9]{3}$', minLength: 4, maxLength: 4}
      - {name: day, logicalType: date, logicalTypeOptions: {minimum: '2020-01-01'}}
      - {name: at, logicalType: timestamp, logicalTypeOptions: {maximum: '2026-01-01T00:00:00Z'}}
      - {name: price, logicalType: number, logicalTypeOptions: {minimum: 0, exclusiveMinimum: true, maximum: 100}}
      - {name: paid, logicalType: number}
      - {name: units, logicalType: integer, logicalTypeOptions: {minimum: 1, maximum: 9}}
      - {name: plan, logicalType: string, enum: [{value: basic}, {value: plus}, {value: free}]}
"""
SCHEMA = pa.schema(
    [
        ("order_id", pa.string()),
        ("line", pa.int64()),
        ("receipt", pa.string()),
        ("day", pa.date32()),
        ("at", pa.timestamp("us", "UTC")),
        ("price", pa.float64()),
        ("paid", pa.float64()),
        ("units", pa.int64()),
        ("plan", pa.string()),
    ]
)
GOOD = {
    "order_id": "a",
    "line": 1,
    "receipt": "R001",
    "day": date(2025, 1, 1),
    "at": datetime(2025, 1, 1, tzinfo=UTC),
    "price": 10.0,
    "paid": 5.0,
    "units": 3,
    "plan": "plus",
}
BAD: dict[str, list[Any]] = {
    "order_id": [None, "b"],
    "line": [None, 1, 2],
    "receipt": ["R001", "R002", "r003", "R0004", "R003\n", None, ""],
    "day": [date(2019, 12, 31), date(2020, 1, 1), None],
    "at": [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC), None],
    "price": [0.0, -1.0, 100.0, 100.5, None],
    "paid": [10.0, 11.0, 0.0, None],
    "units": [0, 1, 9, 10, None],
    "plan": ["gold", "basic", "free", "Plus", None],
}

pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    path = tmp_path_factory.mktemp("gx") / "orders.odcs.yaml"
    path.write_text(CONTRACT, "utf8")
    return load_contract(path, "orders")


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    """Skip where Great Expectations is not installed."""
    try:
        suite_of(_no_rules(), of_version=True)
    except MissingExtraError as error:
        pytest.skip(str(error))


def _no_rules() -> Contract:
    from keelway.contract import UnknownColumns
    from keelway.core import digest_bytes

    return Contract(
        "empty", "empty", "1", (), (), (), UnknownColumns.IGNORE, 1.0, "", ",", '"', "utf-8", True, "", None,
        digest_bytes(b""), "",
    )  # fmt: skip


def rows(*changes: dict[str, Any]) -> pa.Table:
    """Return good rows, each with its own receipt and line, and with changes."""
    made = [{**GOOD, "line": 10 + at, "receipt": f"R{500 + at}", **change} for at, change in enumerate(changes)]
    return pa.Table.from_pylist(made, schema=SCHEMA)


def counts(opinion: Any) -> dict[str, tuple[int, int]]:
    return {
        each.reason: (each.keelway, each.great_expectations)
        for each in opinion.opinions
        if (each.keelway, each.great_expectations) != (0, 0)
    }


def test_good_rows_are_good_to_both(contract: Contract) -> None:
    opinion = second_opinion(contract, rows({}, {}, {}))
    assert opinion.agree
    assert opinion.rows == 3
    assert counts(opinion) == {}


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ([{"order_id": None}], {"order_id: missing": 1}),
        (
            [{"price": 0.0, "paid": 0.0}, {"price": 100.0}, {"price": 100.5}],
            {"price: not above 0": 1, "price: above 100": 1},
        ),
        ([{"units": 0}, {"units": None}, {"units": 10}], {"units: below 1": 1, "units: above 9": 1}),
        ([{"day": date(2019, 12, 31)}, {"day": date(2020, 1, 1)}], {"day: below 2020-01-01": 1}),
        (
            [{"at": datetime(2026, 1, 1, tzinfo=UTC)}, {"at": datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)}],
            {"at: above 2026-01-01T00:00:00Z": 1},
        ),
        ([{"plan": "gold"}, {"plan": None}, {"plan": "free"}], {"plan: not an allowed value": 1}),
        ([{"receipt": "r001"}], {"receipt: does not match ^R[0-9]{3}$": 1}),
        (
            [{"receipt": "R001\n"}],
            {"receipt: does not match ^R[0-9]{3}$": 1, "receipt: longer than 4": 1},
        ),
        ([{"receipt": "R1"}], {"receipt: does not match ^R[0-9]{3}$": 1, "receipt: shorter than 4": 1}),
        ([{"receipt": "R001"}, {"receipt": "R001"}, {}], {"receipt: repeats an earlier row": 2}),
        ([{"line": 1}, {"line": 1}, {"line": 1}], {"order_id, line: repeats an earlier row": 3}),
        ([{"paid": 11.0}, {"paid": 10.0}, {"paid": None}], {"paid too much": 1}),
    ],
    ids=lambda value: "" if isinstance(value, list) else ", ".join(value),
)
def test_both_count_the_same_rows(contract: Contract, changes: list[dict[str, Any]], broken: dict[str, int]) -> None:
    found = counts(second_opinion(contract, rows(*changes)))
    assert found == {reason: (count, count) for reason, count in broken.items()}


CELLS = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from([GOOD[name], *values]) for name, values in BAD.items()}
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(CELLS, min_size=1, max_size=25))
def test_any_rows_are_the_same_to_both(contract: Contract, changes: list[dict[str, Any]]) -> None:
    opinion = second_opinion(contract, rows(*changes), of_version=False)
    assert [each for each in opinion.opinions if each.keelway != each.great_expectations] == []


def test_a_rule_on_the_batch_is_asked_of_a_batch(contract: Contract) -> None:
    few = second_opinion(contract, rows({}), of_version=False)
    (told,) = (each for each in few.opinions if each.expectation == "ExpectTableRowCountToBeBetween")
    assert (told.keelway, told.great_expectations) == (1, 1)
    assert "ExpectTableRowCountToBeBetween" not in {
        each.expectation for each in second_opinion(contract, rows({})).opinions
    }


def test_what_is_not_asked_is_listed_with_why(contract: Contract) -> None:
    unasked = {each.reason: each.why for each in plan_of(contract).unasked}
    assert "other than the comparison of two columns" in unasked["unpaid"]
    assert "rows that share a value" in unasked["plan: does not follow from receipt"]
    assert any("many" in why for why in unasked.values())
    assert sum("types" in why for why in unasked.values()) == 6


def test_every_rule_is_asked_or_listed(contract: Contract) -> None:
    plan = plan_of(contract)
    told = [planned.rule.reason for planned in plan.asked] + [each.reason for each in plan.unasked]
    assert Counter(told) == Counter(rule.reason for rule in contract.rules)


def test_two_rules_that_ask_the_same_are_both_answered(contract: Contract) -> None:
    (floor,) = (rule for rule in contract.rules if rule.reason == "units: below 1")
    twice = replace(contract, rules=(*contract.rules, replace(floor, reason="units: none sold")))
    found = counts(second_opinion(twice, rows({"units": 0}, {})))
    assert found == {"units: below 1": (1, 1), "units: none sold": (1, 1)}


def test_numbers_that_a_double_does_not_hold_are_left_to_keelway(contract: Contract) -> None:
    (floor,) = (rule for rule in contract.rules if rule.reason == "units: below 1")
    huge = replace(contract, rules=(replace(floor, minimum=str(2**53 + 1)),))
    (unasked,) = plan_of(huge).unasked
    assert "double" in unasked.why


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("paid <= price", ("price", "paid", True)),
        ("paid < price", ("price", "paid", False)),
        ("price >= paid", ("price", "paid", True)),
        (" price>paid ", ("price", "paid", False)),
        ("price > 3", None),
        ("price >= paid and units > 1", None),
        ("price != paid", None),
    ],
)
def test_a_comparison_of_two_columns_has_words_there(contract: Contract, text: str, asked: Any) -> None:
    (compared,) = (rule for rule in contract.rules if rule.reason == "paid too much")
    plan = plan_of(replace(contract, rules=(replace(compared, text=text),)))
    found = [tuple(list(each.arguments.values())[:3]) for each in plan.asked]
    assert found == ([] if asked is None else [asked])


def test_the_suite_knows_the_contract(contract: Contract) -> None:
    suite = suite_of(contract)
    assert suite.meta["keelway"] == {"contract": "shop-orders", "version": "1.2.0"}
    kinds = {each.meta["keelway"]["kind"] for each in suite.expectations}
    assert {RuleKind.REQUIRED, RuleKind.UNIQUE, RuleKind.PATTERN, RuleKind.EXPRESSION} <= kinds


def test_a_rule_that_warns_is_a_warning_there(contract: Contract) -> None:
    mild = replace(contract, rules=tuple(replace(rule, severity=Severity.WARN) for rule in contract.rules))
    assert {each.severity.value for each in suite_of(mild).expectations} == {"warning"}
    assert {each.severity.value for each in suite_of(contract).expectations} == {"critical"}


def test_of_people_only_what_a_token_keeps_is_asked(contract: Contract) -> None:
    subject = replace(
        contract,
        columns=tuple(
            replace(column, pii=PiiClass.SUBJECT) if column.name == "receipt" else column for column in contract.columns
        ),
    )
    asked = [each.rule.kind for each in plan_of(subject).asked if each.rule.columns == ("receipt",)]
    assert asked == [RuleKind.UNIQUE]
    dropped = replace(contract, columns=tuple(replace(column, pii=PiiClass.DROP) for column in contract.columns))
    assert plan_of(dropped).asked == ()
    assert second_opinion(dropped, rows({})).opinions == ()


def test_data_docs_are_written_and_load_nothing_from_anywhere(contract: Contract, tmp_path: Path) -> None:
    opinion = second_opinion(contract, rows({"plan": "gold"}, {}), docs=tmp_path / "docs")
    assert opinion.page == str(tmp_path / "docs" / "index.html")
    pages = sorted((tmp_path / "docs").rglob("*.html"))
    assert len(pages) >= 3
    for page in pages:
        head = page.read_text("utf8").partition("</head>")[0]
        assert re.search(r"<head><meta http-equiv=.Content-Security-Policy. content=.default-src 'self'", head)
    assert any("gold" in page.read_text("utf8") for page in pages)


def test_nothing_leaves_the_machine(contract: Contract, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*arguments: Any, **named: Any) -> Any:
        raise AssertionError(f"somebody called {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert second_opinion(contract, rows({}), docs=tmp_path / "docs").agree


def test_a_missing_package_is_told(contract: Contract, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "great_expectations", None)
    with pytest.raises(MissingExtraError) as told:
        second_opinion(contract, rows({}))
    assert told.value.fix == "pip install 'keelway[great-expectations]'"
