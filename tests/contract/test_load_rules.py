"""Each rule of a contract is read as what it asks, or refused."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from keelway.contract import Rule, load_contract
from keelway.contract import RuleKind as K
from keelway.contract import Severity as S
from keelway.errors import ContractError


def rules(
    tmp_path: Path,
    *,
    column: list[dict[str, Any]] | None = None,
    schema: list[dict[str, Any]] | None = None,
    kind: str = "string",
    fields: dict[str, Any] | None = None,
    relations: list[dict[str, Any]] | None = None,
    more: Iterable[str] = (),
) -> list[Rule]:
    """Return the rules of a contract whose column `a` or whose schema has some rules under `quality`."""
    document = {
        "apiVersion": "v3.1.0", "kind": "DataContract", "id": "orders", "version": "1.0.0", "status": "active",
        "schema": [
            {
                "name": "orders",
                "quality": schema or [],
                "relationships": relations or [],
                "properties": [
                    {"name": "a", "logicalType": kind, "quality": column or [], **(fields or {})},
                    {"name": "b", "logicalType": "integer"},
                    *({"name": name, "logicalType": "string"} for name in more),
                ],
            }
        ],
    }  # fmt: skip
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    return [rule for rule in load_contract(tmp_path / "c.yaml", "orders").rules if rule.kind is not K.TYPE]


def keelway(implementation: Any, **more: Any) -> dict[str, Any]:
    return {"type": "custom", "engine": "keelway", "implementation": implementation, **more}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"metric": "nullValues", "mustBe": 0}, Rule(K.REQUIRED, ("a",), "a: missing")),
        ({"rule": "nullValues", "mustBe": 0}, Rule(K.REQUIRED, ("a",), "a: missing")),
        ({"type": "library", "metric": "nullValues", "mustBe": 0}, Rule(K.REQUIRED, ("a",), "a: missing")),
        ({"metric": "missingValues", "mustBe": 0}, Rule(K.REQUIRED, ("a",), "a: missing")),
        ({"metric": "nullValues", "mustBeLessOrEqualTo": 0}, Rule(K.REQUIRED, ("a",), "a: missing")),
        ({"metric": "duplicateValues", "mustBe": 0}, Rule(K.UNIQUE, ("a",), "a: repeats an earlier row")),
        (
            {"metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": ["x", "y"]}},
            Rule(K.ALLOWED, ("a",), "a: not an allowed value", allowed=("x", "y")),
        ),
        (
            {"metric": "invalidValues", "mustBe": 0, "arguments": {"pattern": "^x"}},
            Rule(K.PATTERN, ("a",), "a: does not match ^x", text="^x"),
        ),
        ({"metric": "nullValues", "mustBe": 0, "name": "a is there"}, Rule(K.REQUIRED, ("a",), "a is there")),
    ],
)
def test_a_metric_that_must_be_zero_is_a_rule_on_rows(tmp_path: Path, rule: dict[str, Any], expected: Rule) -> None:
    assert rules(tmp_path, column=[rule]) == [expected]


@pytest.mark.parametrize(
    ("word", "severity"),
    [("warn", S.WARN), ("warning", S.WARN), ("row", S.ROW), ("error", S.ROW), ("file", S.FILE), ("stop", S.STOP)],
)
def test_a_rule_on_rows_has_any_severity(tmp_path: Path, word: str, severity: S) -> None:
    (found,) = rules(tmp_path, column=[{"metric": "nullValues", "mustBe": 0, "severity": word}])
    assert found.severity is severity
    (condition,) = rules(tmp_path, schema=[keelway("b > 1", severity=word)])
    assert condition.severity is severity


@pytest.mark.parametrize(
    ("word", "severity"), [("warn", S.WARN), ("warning", S.WARN), ("error", S.STOP), ("stop", S.STOP), (None, S.STOP)]
)
def test_a_rule_on_the_batch_warns_or_stops(tmp_path: Path, word: str | None, severity: S) -> None:
    given = {"severity": word} if word else {}
    (found,) = rules(tmp_path, schema=[{"metric": "rowCount", "mustBeGreaterThan": 0, **given}])
    assert found.severity is severity


@pytest.mark.parametrize("word", ["row", "file"])
@pytest.mark.parametrize(
    "where",
    [
        {"schema": [{"metric": "rowCount", "mustBeGreaterThan": 0}]},
        {"schema": [{"type": "sql", "query": "SELECT count(*) FROM {object}", "mustBe": 1}]},
        {"column": [{"metric": "nullValues", "mustBeLessThan": 5}]},
        {"column": [keelway({"metric": "psi"}, mustBeLessThan=0.2)]},
    ],
)
def test_a_rule_on_the_batch_has_no_row_to_quarantine(tmp_path: Path, word: str, where: dict[str, Any]) -> None:
    for given in where.values():
        given[0]["severity"] = word
    with pytest.raises(ContractError, match="severity"):
        rules(tmp_path, **where)


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("mustBe", 3, ("3", "3", False, "not 3")),
        ("mustBeGreaterThan", 3, ("3", None, True, "not above 3")),
        ("mustBeGreaterOrEqualTo", 3, ("3", None, False, "below 3")),
        ("mustBeLessThan", 3, (None, "3", True, "not below 3")),
        ("mustBeLessOrEqualTo", 3, (None, "3", False, "above 3")),
        ("mustBeBetween", [1, 3], ("1", "3", False, "not between 1 and 3")),
        ("mustBeLessThan", 0.5, (None, "0.5", True, "not below 0.5")),
        ("mustBeLessThan", 12345678, (None, "12345678", True, "not below 12345678")),
    ],
)
def test_each_operator_is_a_bound(tmp_path: Path, operator: str, value: Any, expected: tuple[Any, ...]) -> None:
    (found,) = rules(tmp_path, schema=[{"metric": "rowCount", operator: value}])
    assert (found.minimum, found.maximum, found.exclusive) == expected[:3]
    assert found.reason == f"the number of rows is {expected[3]}"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "none"),
        ({"mustBe": 1, "mustBeLessThan": 3}, "mustBe and mustBeLessThan"),
        ({"mustNotBe": 0}, "mustNotBe"),
        ({"mustNotBeBetween": [1, 2]}, "mustNotBeBetween"),
        ({"mustBe": "many"}, "many"),
        ({"mustBe": True}, "True"),
        ({"mustBeBetween": [3, 1]}, "lower number first"),
        ({"mustBeBetween": [1]}, "mustBeBetween"),
        ({"mustBe": 1, "unit": "percent"}, "unit"),
        ({"mustBe": 1, "arguments": {"properties": ["a"]}}, "properties"),
        ({"mustBe": 1, "schedule": "0 1 * * *"}, "schedule"),
        ({"mustBe": 1, "scheduler": "cron"}, "scheduler"),
        ({"mustBe": 1, "severity": "loud"}, "loud"),
    ],
)
def test_a_wrong_rule_on_the_count_of_rows_is_named(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ContractError, match="quality") as caught:
        rules(tmp_path, schema=[{"metric": "rowCount", **given}])
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "query", "reason"),
    [
        (
            {"metric": "nullValues", "mustBeLessThan": 5},
            'SELECT count(*) - count("a") FROM {object}',
            "a: nullValues not below 5",
        ),
        (
            {"metric": "nullValues", "mustBeLessThan": 5, "unit": "percent"},
            'SELECT coalesce(100.0 * (count(*) - count("a")) / nullif(count(*), 0), 0) FROM {object}',
            "a: nullValues not below 5 percent",
        ),
        (
            {"metric": "duplicateValues", "mustBeLessOrEqualTo": 2},
            'SELECT count("a") - count(DISTINCT "a") FROM {object}',
            "a: duplicateValues above 2",
        ),
        (
            {"metric": "invalidValues", "mustBeLessThan": 2, "arguments": {"validValues": ["it's"]}},
            "SELECT count(CASE WHEN \"a\" NOT IN ('it''s') THEN 1 END) FROM {object}",
            "a: invalidValues not below 2",
        ),
    ],
)
def test_a_metric_that_some_rows_may_break_is_a_query_over_the_batch(
    tmp_path: Path, rule: dict[str, Any], query: str, reason: str
) -> None:
    (found,) = rules(tmp_path, column=[rule])
    assert (found.kind, found.text, found.reason, found.severity) == (K.SQL, query, reason, S.STOP)


@pytest.mark.parametrize(
    ("kind", "values", "written"),
    [("integer", [1, 2], "(1, 2)"), ("date", ["2026-01-01"], "(DATE '2026-01-01')"), ("boolean", [True], "(true)")],
)
def test_valid_values_are_written_as_their_type(tmp_path: Path, kind: str, values: list[Any], written: str) -> None:
    rule = {"metric": "invalidValues", "mustBeLessThan": 2, "arguments": {"validValues": values}}
    (found,) = rules(tmp_path, column=[rule], kind=kind)
    assert written in found.text


def test_texts_that_count_as_missing_are_read_as_no_value(tmp_path: Path) -> None:
    rule = {"metric": "missingValues", "mustBe": 0, "arguments": {"missingValues": [None, "", "N/A", "-"]}}
    rules(tmp_path, column=[rule])
    column = load_contract(tmp_path / "c.yaml", "orders").columns[0]
    assert column.missing == ("N/A", "-")
    assert column.required


def test_what_only_warns_does_not_make_a_column_required(tmp_path: Path) -> None:
    rules(tmp_path, column=[{"metric": "nullValues", "mustBe": 0, "severity": "warn"}])
    assert not load_contract(tmp_path / "c.yaml", "orders").columns[0].required


def test_a_list_and_a_pattern_of_one_metric_are_two_rules(tmp_path: Path) -> None:
    rule = {"metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": ["x"], "pattern": "x"}, "name": "n"}
    assert [found.kind for found in rules(tmp_path, column=[rule])] == [K.PATTERN, K.ALLOWED]


@pytest.mark.parametrize(
    ("rule", "kind", "said"),
    [
        ({"metric": "freshness", "mustBe": 0}, "string", "metric"),
        ({"metric": "rowCount", "mustBe": 0}, "string", "metric"),
        ({"type": "text", "description": "verified"}, "string", "type"),
        ({"description": "verified"}, "string", "type"),
        ({"type": "custom", "engine": "soda", "implementation": "x"}, "string", "engine"),
        ({"type": "custom", "implementation": "x"}, "string", "engine"),
        ({"metric": "nullValues", "mustBe": 0, "arguments": {"validValues": []}}, "string", "arguments"),
        ({"metric": "invalidValues", "mustBe": 0}, "string", "arguments"),
        ({"metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": []}}, "string", "validValues"),
        ({"metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": ["x"]}}, "integer", "allowed values"),
        ({"metric": "invalidValues", "mustBe": 0, "arguments": {"pattern": "x"}}, "integer", "pattern"),
        ({"metric": "invalidValues", "mustBeLessThan": 3, "arguments": {"pattern": "x"}}, "string", "0 for a pattern"),
        ({"metric": "nullValues", "mustBeLessThan": 3, "unit": "promille"}, "string", "unit"),
        ({"metric": "missingValues", "mustBe": 0, "arguments": {"missingValues": "NA"}}, "string", "missingValues"),
        ({"metric": "missingValues", "mustBe": 0, "arguments": {"missingValues": [-999]}}, "string", "missingValues"),
        ({"metric": "nullValues", "mustBe": 0, "customProperties": [{"property": "x", "value": 1}]}, "string", "x"),
        (keelway({"metric": "kl"}, mustBeLessThan=1), "string", "implementation"),
        (keelway({"metric": "psi"}, mustBeGreaterThan=1), "string", "mustBeLessThan"),
        (keelway({"metric": "psi"}, mustBe=1), "string", "mustBeLessThan"),
        (keelway({"metric": "psi"}, mustBeLessThan=1), "date", "psi for a column"),
        (keelway(""), "string", "a condition in SQL"),
        (keelway("a = 'x'", mustBe=0), "string", "no operator"),
    ],
)
def test_a_wrong_rule_of_a_column_is_named(tmp_path: Path, rule: dict[str, Any], kind: str, said: str) -> None:
    with pytest.raises(ContractError, match=r"column a, quality|column a: ") as caught:
        rules(tmp_path, column=[rule], kind=kind)
    assert said in str(caught.value)


def test_the_distribution_of_a_column_is_bounded_by_its_psi(tmp_path: Path) -> None:
    (found,) = rules(tmp_path, column=[keelway({"metric": "psi"}, mustBeLessOrEqualTo=0.2, severity="warn")])
    assert (found.kind, found.columns, found.maximum, found.severity) == (K.DISTRIBUTION, ("a",), "0.2", S.WARN)
    assert found.reason == "a: PSI against the version before is above 0.2"


def test_a_condition_knows_its_columns_and_says_itself(tmp_path: Path) -> None:
    (found,) = rules(tmp_path, schema=[keelway("b > 0 OR a = 'free'")])
    assert (found.kind, found.columns, found.severity) == (K.EXPRESSION, ("a", "b"), S.ROW)
    assert found.reason == "not true: b > 0 OR a = 'free'"


def test_a_condition_may_stand_at_a_column_and_have_a_name(tmp_path: Path) -> None:
    (found,) = rules(tmp_path, column=[keelway("length(a) = b", name="b counts a")])
    assert (found.columns, found.reason) == (("a", "b"), "b counts a")


@pytest.mark.parametrize("text", ["c > 1", "b", "b > (SELECT 1)", "b > 1; SELECT 1", "b = 'x'", "now() > b"])
def test_a_condition_that_does_not_fit_the_columns_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ContractError, match="schema orders: not true"):
        rules(tmp_path, schema=[keelway(text)])


def dependency(determinant: Any, dependent: Any, **more: Any) -> dict[str, Any]:
    return keelway({"dependency": {"determinant": determinant, "dependent": dependent}}, **more)


def test_a_functional_dependency_has_its_dependent_last(tmp_path: Path) -> None:
    assert rules(tmp_path, schema=[dependency(["a"], ["b"])]) == [
        Rule(K.FUNCTIONAL_DEPENDENCY, ("a", "b"), "b: does not follow from a")
    ]


@pytest.mark.parametrize(
    ("name", "reasons"),
    [(None, ["a: does not follow from c, b", "d: does not follow from c, b"]), ("odd", ["a: odd", "d: odd"])],
)
def test_each_dependent_column_is_a_rule_of_its_own(tmp_path: Path, name: str | None, reasons: list[str]) -> None:
    rule = dependency(["c", "b"], ["a", "d"], severity="warn", **({"name": name} if name else {}))
    found = [each for each in rules(tmp_path, schema=[rule], more=["c", "d"]) if each.kind is K.FUNCTIONAL_DEPENDENCY]
    assert [each.columns for each in found] == [("c", "b", "a"), ("c", "b", "d")]
    assert [each.reason for each in found] == reasons
    assert {each.severity for each in found} == {S.WARN}


def test_a_name_is_the_reason_of_one_dependency(tmp_path: Path) -> None:
    (found,) = rules(tmp_path, schema=[dependency(["a"], ["b"], name="one b for each a", severity="file")])
    assert (found.reason, found.severity) == ("one b for each a", S.FILE)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (dependency(["a"], ["c"]), "dependent"),
        (dependency(["c"], ["a"]), "determinant"),
        (dependency([], ["a"]), "determinant"),
        (dependency(["a"], []), "dependent"),
        (dependency("a", ["b"]), "determinant"),
        (dependency(["a"], "b"), "dependent"),
        (dependency(["a", "a"], ["b"]), "each column once"),
        (dependency(["a"], ["b", "b"]), "each column once"),
        (dependency([["a"]], ["b"]), "determinant"),
        (dependency(["a", "b"], ["b"]), "other columns than those of the determinant"),
        (dependency(["a"], ["b"], mustBe=0), "no operator"),
        (dependency(["a"], ["b"], severity="fatal"), "severity"),
        (keelway({"dependency": {"determinant": ["a"]}}), "implementation"),
        (keelway({"dependency": {"determinant": ["a"], "dependent": ["b"], "against": "previous"}}), "implementation"),
        (keelway({"dependency": ["a", "b"]}), "implementation"),
        (keelway({"dependency": {"determinant": ["a"], "dependent": ["b"]}, "metric": "psi"}), "implementation"),
        (keelway({"metric": "psi"}, mustBeLessThan=1), "dependency"),
    ],
)
def test_a_wrong_dependency_is_named(tmp_path: Path, rule: dict[str, Any], said: str) -> None:
    with pytest.raises(ContractError, match=r"schema orders, quality|schema orders: ") as caught:
        rules(tmp_path, schema=[rule])
    assert said in str(caught.value)


def test_a_dependency_does_not_stand_at_a_column(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"implementation.*a condition in SQL, or metric: psi"):
        rules(tmp_path, column=[dependency(["b"], ["a"])])


def test_a_query_is_kept_with_its_placeholder(tmp_path: Path) -> None:
    query = {"type": "sql", "query": "SELECT max({property}) FROM ${table}", "mustBeLessThan": 9, "severity": "warn"}
    (found,) = rules(tmp_path, column=[query], kind="integer")
    assert (found.kind, found.columns, found.maximum, found.exclusive) == (K.SQL, ("a",), "9", True)
    assert found.text == 'SELECT max("a") FROM {object}'
    assert found.reason == "SELECT max({property}) FROM ${table} is not below 9"


@pytest.mark.parametrize(
    "query",
    [
        None, "", "SELECT 1", "SELECT count(*) FROM orders", "DELETE FROM {object}", "SELECT a, b FROM {object}",
        "SELECT * FROM {object}", "SELECT random() FROM {object}", "SELECT max({property}) FROM {object}",
        "SELECT count(*) FROM read_csv('x')", "SELECT count(*) FROM {object}; SELECT 1",
    ],
)  # fmt: skip
def test_a_query_that_reads_more_than_the_batch_is_refused(tmp_path: Path, query: str | None) -> None:
    with pytest.raises(ContractError, match="query"):
        rules(tmp_path, schema=[{"type": "sql", "query": query, "mustBe": 0}])


def test_no_two_rows_of_some_columns_are_alike(tmp_path: Path) -> None:
    rule = {"metric": "duplicateValues", "mustBe": 0, "arguments": {"properties": ["a", "b"]}, "severity": "file"}
    assert rules(tmp_path, schema=[rule]) == [
        Rule(K.UNIQUE, ("a", "b"), "a, b: repeats an earlier row", severity=S.FILE)
    ]


def test_some_rows_may_be_alike(tmp_path: Path) -> None:
    rule = {"metric": "duplicateValues", "mustBeLessThan": 3, "arguments": {"properties": ["a", "b"]}}
    (found,) = rules(tmp_path, schema=[rule])
    assert (found.kind, found.columns, found.reason) == (K.SQL, ("a", "b"), "a, b: duplicateValues not below 3")
    assert 'GROUP BY "a", "b"' in found.text


@pytest.mark.parametrize(
    "arguments", [{}, {"properties": []}, {"properties": ["a", "c"]}, {"properties": "a"}, {"columns": ["a"]}]
)
def test_a_metric_on_columns_that_are_not_there_is_refused(tmp_path: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match="arguments"):
        rules(tmp_path, schema=[{"metric": "duplicateValues", "mustBe": 0, "arguments": arguments}])


def test_a_metric_of_columns_does_not_stand_at_the_schema(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="rowCount or duplicateValues"):
        rules(tmp_path, schema=[{"metric": "nullValues", "mustBe": 0}])


@pytest.mark.parametrize(
    ("where", "relation", "expected"),
    [
        ("column", {"to": "shops.id"}, (("a",), "shops", ("id",))),
        ("column", {"type": "foreignKey", "to": "shops.id"}, (("a",), "shops", ("id",))),
        ("column", {"to": "schema/shops/properties/id"}, (("a",), "shops", ("id",))),
        ("schema", {"from": "orders.a", "to": "shops.id"}, (("a",), "shops", ("id",))),
        ("schema", {"from": ["a", "orders.b"], "to": ["shops.x", "shops.y"]}, (("a", "b"), "shops", ("x", "y"))),
    ],
)
def test_a_relationship_refers_to_another_dataset(
    tmp_path: Path, where: str, relation: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    given = {"fields": {"relationships": [relation]}} if where == "column" else {"relations": [relation]}
    (found,) = rules(tmp_path, **given)  # type: ignore[arg-type]
    assert (found.kind, found.severity) == (K.REFERENCE, S.ROW)
    assert (found.columns, found.dataset, found.references) == expected
    assert found.reason == f"{', '.join(expected[0])}: not in shops"


def test_a_relationship_has_a_severity(tmp_path: Path) -> None:
    severity = {"customProperties": [{"property": "severity", "value": "warn"}]}
    (found,) = rules(tmp_path, fields={"relationships": [{"to": "shops.id", **severity}]})
    assert found.severity is S.WARN


@pytest.mark.parametrize(
    ("relation", "said"),
    [
        ({"from": "a", "to": "shops"}, "dataset.column"),
        ({"from": "a", "to": "orders.b"}, "one other dataset"),
        ({"from": "a", "to": "https://x/y.yaml#z"}, "dataset.column"),
        ({"from": "a"}, "nothing"),
        ({"from": ["a", "b"], "to": ["shops.x"]}, "2 columns"),
        ({"from": ["a", "b"], "to": ["shops.x", "towns.y"]}, "one other dataset"),
        ({"from": "a", "to": "shops.x", "type": "looksLike"}, "foreignKey"),
        ({"from": "towns.a", "to": "shops.x"}, "columns of orders"),
        ({"from": "c", "to": "shops.x"}, "c"),
    ],
)
def test_a_wrong_relationship_is_named(tmp_path: Path, relation: dict[str, Any], said: str) -> None:
    with pytest.raises(ContractError, match="schema orders") as caught:
        rules(tmp_path, relations=[relation])
    assert said in str(caught.value)


def test_the_same_rule_twice_counts_once(tmp_path: Path) -> None:
    found = rules(tmp_path, column=[{"metric": "nullValues", "mustBe": 0}], fields={"required": True})
    assert [rule.kind for rule in found] == [K.REQUIRED]


def test_two_rules_of_one_name_are_refused(tmp_path: Path) -> None:
    twice = [{"metric": "nullValues", "mustBe": 0}, {"metric": "nullValues", "mustBe": 0, "severity": "warn"}]
    with pytest.raises(ContractError, match="'a: missing' twice"):
        rules(tmp_path, column=twice)


def test_rules_stand_in_the_order_of_columns_then_the_schema(tmp_path: Path) -> None:
    found = rules(
        tmp_path,
        fields={"primaryKey": True, "logicalTypeOptions": {"maxLength": 3, "pattern": "^x"}},
        column=[keelway({"metric": "psi"}, mustBeLessThan=1)],
        schema=[keelway("b > 1"), {"metric": "rowCount", "mustBeGreaterThan": 0}],
        relations=[{"from": "b", "to": "shops.id"}],
    )
    assert [rule.kind for rule in found] == [
        K.REQUIRED, K.MAX_LENGTH, K.PATTERN, K.DISTRIBUTION, K.UNIQUE, K.EXPRESSION, K.ROW_COUNT, K.REFERENCE,
    ]  # fmt: skip
