"""A contract is read whole, or refused with the place that is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from keelway.contract import Contract, PiiClass, UnknownColumns, load_contract
from keelway.core import digest_bytes, digest_of, plain, revive
from keelway.errors import ContractError
from keelway.testing.shop import contract_text

PLAIN = sorted([*Path("examples").glob("*/contracts/*.yaml"), *Path("src/keelway/testing").glob("*.odcs.yaml")])


def load(tmp_path: Path, text: str, name: str = "orders") -> Contract:
    (tmp_path / "c.yaml").write_text(text)
    return load_contract(tmp_path / "c.yaml", name)


def of(tmp_path: Path, *, column: Any = None, schema: Any = None, top: Any = None, kind: str = "string") -> Contract:
    """Return a contract of one column `a` beside the key, with some fields added."""
    document = {
        "apiVersion": "v3.1.0", "kind": "DataContract", "id": "orders", "version": "1.0.0", "status": "active",
        "schema": [
            {
                "name": "orders",
                "properties": [
                    {"name": "id", "logicalType": "string", "primaryKey": True},
                    {"name": "a", "logicalType": kind, **(column or {})},
                ],
                **(schema or {}),
            }
        ],
        **(top or {}),
    }  # fmt: skip
    return load(tmp_path, yaml.safe_dump(document, sort_keys=False))


def own(**properties: Any) -> dict[str, Any]:
    return {"customProperties": [{"property": name, "value": value} for name, value in properties.items()]}


def test_a_contract_is_a_record_with_a_digest(tmp_path: Path) -> None:
    contract = load(tmp_path, contract_text())
    assert contract.source == digest_bytes(contract_text().encode())
    assert digest_of(revive(plain(contract), type(contract))) == digest_of(contract)


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.name)
def test_the_contracts_of_the_examples_load(path: Path) -> None:
    (schema,) = [item["name"] for item in yaml.safe_load(path.read_text())["schema"]]
    assert load_contract(path, schema).rules


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kind: DataContract", "kind: [", "line 4"),
        ("v3.1.0", "v2.2.2", "apiVersion"),
        ("kind: DataContract", "kind: Other", "kind"),
        ("version: 1.0.0\n", "", "version"),
        ("name: orders", "name: sales", "schema"),
        ("logicalType: integer", "logicalType: decimal", "quantity: logicalType"),
        ("property: aliases", "property: aliasses", "aliasses"),
        ("minimum: 1", "multipleOf: 1", "multipleOf"),
        ("value: ignore", "value: maybe", "unknownColumns"),
        ("value: 1.0", "value: 7", "stopAtQuarantinedShare"),
        ("status: active", "statuss: active", "statuss"),
        ("[dollar_value]", "[quantity]", "quantity twice"),
        ("name: quantity", "name: _quantity", "do not start with '_'"),
        ("name: quantity", "name: amount", "amount twice"),
        ("quantity, logicalType: integer, required: true", "quantity, logicalType: integer, requierd: true", "requierd"),
        ("{minimum: 1}", "{minimum: 2026-02-30}", "the file"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(ContractError, match=said):
        load(tmp_path, contract_text().replace(old, new, 1))


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="no contract"):
        load_contract(tmp_path / "absent.yaml", "orders")


@pytest.mark.parametrize(("data", "said"), [(b"\xff", "byte 0"), (b"- a\n", "list"), (b"", "NoneType")])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "c.yaml").write_bytes(data)
    with pytest.raises(ContractError) as caught:
        load_contract(tmp_path / "c.yaml", "orders")
    assert said in caught.value.found


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("top", {"nonsense": 1}),
        ("schema", {"nonsense": 1}),
        ("column", {"nonsense": 1}),
        ("column", {"quality": [{"metric": "nullValues", "mustBe": 0, "nonsense": 1}]}),
        ("column", {"quality": [{"metric": "nullValues", "mustBee": 0, "mustBe": 0}]}),
        ("column", {"customProperties": [{"property": "trim", "value": True, "nonsense": 1}]}),
        ("schema", {"relationships": [{"to": "b.c", "from": "a", "nonsense": 1}]}),
    ],
)
def test_a_key_that_the_standard_does_not_know_is_refused_wherever_it_stands(
    tmp_path: Path, where: str, value: dict[str, Any]
) -> None:
    with pytest.raises(ContractError, match=r"nonsense|mustBee"):
        of(tmp_path, **{where: value})


def test_a_property_of_another_tool_is_left_alone(tmp_path: Path) -> None:
    theirs = {"customProperties": [{"property": "pii", "value": "very", "vendor": "catalog"}]}
    contract = of(tmp_path, column=theirs, schema=theirs)
    assert contract.columns[1].pii is PiiClass.NONE


def test_the_object_says_how_its_files_are_read(tmp_path: Path) -> None:
    given = own(
        unknownColumns="quarantine", stopAtQuarantinedShare=0.25, format="csv", delimiter=";", quote="'",
        encoding="latin-1", finalNewline="optional", header="none", skipLines=3,
    )  # fmt: skip
    contract = of(tmp_path, schema=given)
    assert contract.unknown_columns is UnknownColumns.QUARANTINE
    assert contract.stop_at_quarantined_share == 0.25
    assert (contract.format, contract.delimiter, contract.quote, contract.encoding) == ("csv", ";", "'", "iso8859-1")
    assert not contract.final_newline
    assert (contract.has_header, contract.skip_lines) == (False, 3)


def test_what_is_not_said_of_files_has_safe_defaults(tmp_path: Path) -> None:
    contract = of(tmp_path)
    assert (contract.format, contract.delimiter, contract.quote, contract.encoding) == ("", ",", '"', "utf-8")
    assert contract.final_newline
    assert (contract.has_header, contract.skip_lines) == (True, 0)
    assert contract.stop_at_quarantined_share == 1.0
    assert (contract.owner, contract.max_age_s, contract.retention_days) == ("", None, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format", "xlsx"), ("delimiter", ""), ("delimiter", "::"), ("delimiter", '"'), ("quote", "''"),
        ("quote", "\n"), ("encoding", "klingon"), ("finalNewline", "maybe"), ("stopAtQuarantinedShare", True),
        ("stopAtQuarantinedShare", "half"), ("unknownColumns", True), ("delimeter", ";"),
        ("header", "second line"), ("header", False), ("header", None), ("skipLines", -1), ("skipLines", 1.5),
        ("skipLines", True), ("skipLines", "2"), ("skipLines", 10**9),
    ],
)  # fmt: skip
def test_a_wrong_property_of_the_object_is_named(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(ContractError, match=name):
        of(tmp_path, schema=own(**{name: value}))


def test_the_usual_header_may_be_said(tmp_path: Path) -> None:
    contract = of(tmp_path, schema=own(header="first line", skipLines=0))
    assert (contract.has_header, contract.skip_lines) == (True, 0)


def test_what_is_said_of_a_header_must_be_known(tmp_path: Path) -> None:
    with pytest.raises(ContractError) as caught:
        of(tmp_path, schema=own(header="no"))
    assert (caught.value.expected, caught.value.found) == ("first line or none", "'no'")
    with pytest.raises(ContractError) as caught:
        of(tmp_path, schema=own(skipLines=-2))
    assert (caught.value.expected, caught.value.found) == ("a whole number of lines from 0 to 100000", "-2")


def test_a_file_without_quotes_is_possible(tmp_path: Path) -> None:
    assert of(tmp_path, schema=own(quote="")).quote == ""


def test_repairs_are_read_from_the_properties_of_a_column(tmp_path: Path) -> None:
    given = own(aliases=["b", "c"], trim=True, strip=["$"], missing=["NA"], default="x")
    column = of(tmp_path, column=given).columns[1]
    assert (column.aliases, column.trim, column.strip) == (("b", "c"), True, ("$",))
    assert (column.missing, column.default) == (("NA",), "x")


@pytest.mark.parametrize(
    ("kind", "properties", "field", "value"),
    [
        ("number", {"decimalComma": True}, "decimal_comma", True),
        ("number", {"multiplyBy": 0.01}, "multiply_by", 0.01),
        ("integer", {"multiplyBy": 100}, "multiply_by", 100.0),
        ("date", {"dateFormats": ["dd.MM.yyyy", "%d/%m/%y"]}, "formats", ("%d.%m.%Y", "%d/%m/%y")),
        ("timestamp", {"dateFormats": ["yyyy-MM-dd'T'HH:mm:ss"]}, "formats", ("%Y-%m-%dT%H:%M:%S",)),
        ("timestamp", {"timeZone": "Europe/Berlin"}, "time_zone", "Europe/Berlin"),
        ("boolean", {"default": False}, "default", "false"),
        ("integer", {"default": 0}, "default", "0"),
        ("string", {"pii": "subject", "tokenFormat": "digits"}, "token_format", "digits"),
        ("number", {"pii": "drop"}, "pii", PiiClass.DROP),
    ],
)
def test_each_property_of_a_column_reaches_its_field(
    tmp_path: Path, kind: str, properties: dict[str, Any], field: str, value: Any
) -> None:
    assert getattr(of(tmp_path, column=own(**properties), kind=kind).columns[1], field) == value


@pytest.mark.parametrize(
    ("kind", "properties"),
    [
        ("string", {"aliases": "b"}),
        ("string", {"aliases": [""]}),
        ("string", {"trim": "yes"}),
        ("string", {"trim": 1}),
        ("string", {"decimalComma": True}),
        ("integer", {"decimalComma": True}),
        ("string", {"multiplyBy": 2}),
        ("number", {"multiplyBy": 0}),
        ("number", {"multiplyBy": "2"}),
        ("number", {"multiplyBy": True}),
        ("integer", {"multiplyBy": 0.5}),
        ("string", {"dateFormats": ["%d"]}),
        ("date", {"dateFormats": ["dd.QQ.yyyy"]}),
        ("date", {"timeZone": "Europe/Berlin"}),
        ("timestamp", {"timeZone": "Mars/Olympus"}),
        ("timestamp", {"timeZone": "../etc"}),
        ("integer", {"default": "many"}),
        ("date", {"default": "01.02.2026"}),
        ("string", {"default": ""}),
        ("string", {"pii": "maybe"}),
        ("integer", {"pii": "subject"}),
        ("string", {"tokenFormat": "digits"}),
        ("string", {"pii": "drop", "tokenFormat": "digits"}),
        ("string", {"pii": "direct", "tokenFormat": "letters"}),
        ("string", {"unknownColumns": "stop"}),
    ],
)
def test_a_wrong_property_of_a_column_is_named_with_its_column(
    tmp_path: Path, kind: str, properties: dict[str, Any]
) -> None:
    with pytest.raises(ContractError, match="schema orders, column a") as caught:
        of(tmp_path, column=own(**properties), kind=kind)
    assert any(name in str(caught.value) for name in (*properties, "format"))


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("string", {"minLength": -1}, "minLength"),
        ("string", {"minLength": True}, "minLength"),
        ("string", {"minLength": "3"}, "minLength"),
        ("string", {"minLength": 5, "maxLength": 4}, "at most the maxLength 4"),
        ("string", {"minimum": 1}, "string options"),
        ("string", {"pattern": "("}, "pattern"),
        ("string", {"pattern": r"\bword"}, "pattern"),
        ("string", {"pattern": 3}, "pattern"),
        ("integer", {"minimum": 0.5}, "minimum"),
        ("integer", {"minimum": "one"}, "minimum"),
        ("number", {"maximum": float("inf")}, "finite"),
        ("number", {"minimum": 3, "maximum": 2}, "at most the maximum 2"),
        ("number", {"minimum": 3, "exclusiveMinimum": 2}, "both"),
        ("number", {"exclusiveMinimum": True}, "true alone"),
        ("date", {"minimum": "01.02.2026"}, "minimum"),
        ("date", {"format": "QQ"}, "format"),
        ("timestamp", {"maximum": "noon"}, "maximum"),
        ("boolean", {"minimum": 0}, "boolean options"),
    ],
)
def test_a_wrong_option_of_a_type_is_named(tmp_path: Path, kind: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ContractError, match="column a") as caught:
        of(tmp_path, column={"logicalTypeOptions": options}, kind=kind)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("integer", {"minimum": 1, "maximum": 5}, ("1", "5", False, False)),
        ("number", {"exclusiveMinimum": 0}, ("0", None, True, False)),
        ("number", {"maximum": 1, "exclusiveMaximum": True}, (None, "1", False, True)),
        ("date", {"minimum": "2026-01-01"}, ("2026-01-01", None, False, False)),
        ("timestamp", {"maximum": "2026-01-01T00:00:00Z"}, (None, "2026-01-01T00:00:00Z", False, False)),
    ],
)
def test_bounds_are_kept_as_they_are_written(
    tmp_path: Path, kind: str, options: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    column = of(tmp_path, column={"logicalTypeOptions": options}, kind=kind).columns[1]
    assert (column.minimum, column.maximum, column.exclusive_minimum, column.exclusive_maximum) == expected


def test_a_date_that_yaml_reads_by_itself_is_a_bound(tmp_path: Path) -> None:
    text = contract_text().replace(
        "logicalType: date\n", "logicalType: date\n        logicalTypeOptions: {minimum: 1997-01-01}\n"
    )
    column = load(tmp_path, text).column("date")
    assert column is not None
    assert column.minimum == "1997-01-01"


def test_a_default_time_zone_of_the_standard_is_the_columns(tmp_path: Path) -> None:
    column = {"logicalTypeOptions": {"defaultTimezone": "Asia/Tokyo"}}
    assert of(tmp_path, column=column, kind="timestamp").columns[1].time_zone == "Asia/Tokyo"


def test_another_physical_name_is_refused_for_an_alias(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="physicalName") as caught:
        of(tmp_path, column={"physicalName": "A_COL"})
    assert "alias" in caught.value.fix
    assert of(tmp_path, column={"physicalName": "a"})


@pytest.mark.parametrize(
    ("kind", "values", "allowed"),
    [("string", ["x", "y"], ("x", "y")), ("integer", [1, 2], ("1", "2")), ("boolean", [True], ("true",))],
)
def test_the_values_of_an_enum_are_allowed(tmp_path: Path, kind: str, values: list[Any], allowed: Any) -> None:
    column = {"enum": [{"value": value} for value in values]}
    assert of(tmp_path, column=column, kind=kind).columns[1].allowed == allowed


def test_an_allowed_value_must_be_of_the_columns_type(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="allowed values"):
        of(tmp_path, column={"enum": [{"value": "x"}]}, kind="integer")


@pytest.mark.parametrize("written", ["NO", "007", "1.10", "2026-01-01", "yes"])
def test_a_text_that_yaml_would_change_must_be_quoted(tmp_path: Path, written: str) -> None:
    line = "    properties:\n      - {name: plan, logicalType: string, enum: [{value: %s}]}\n"
    text = contract_text().replace("    properties:\n", line % written, 1)
    with pytest.raises(ContractError, match="column plan: allowed values") as caught:
        load(tmp_path, text)
    assert "quotes" in caught.value.fix
    quoted = contract_text().replace("    properties:\n", line % f"'{written}'", 1)
    assert load(tmp_path, quoted).columns[0].allowed == (written,)


@pytest.mark.parametrize(("kind", "default"), [("string", False), ("string", 7), ("integer", True), ("number", False)])
def test_a_default_must_be_of_the_columns_type(tmp_path: Path, kind: str, default: Any) -> None:
    with pytest.raises(ContractError, match="column a: default"):
        of(tmp_path, column=own(default=default), kind=kind)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("status: active", "status: active\nstatus: draft", "line 6"),
        ("required: true, logicalTypeOptions: {minimum: 1}", "required: true, required: false", "line 17"),
    ],
)
def test_a_key_that_stands_twice_is_refused(tmp_path: Path, old: str, new: str, line: str) -> None:
    with pytest.raises(ContractError, match=line) as caught:
        load(tmp_path, contract_text().replace(old, new, 1))
    assert "twice in one mapping" in caught.value.found


@pytest.mark.parametrize(
    ("team", "owner"),
    [
        ({"name": "shop"}, "shop"),
        ({"name": "shop", "members": [{"username": "ana", "role": "Data Owner"}]}, "ana"),
        ({"name": "shop", "members": [{"username": "ana", "role": "owner", "dateOut": "2026-01-01"}]}, "shop"),
        ([{"username": "bo", "role": "steward"}, {"username": "ana", "role": "owner"}], "ana"),
        ([{"username": "bo", "role": "steward"}], ""),
    ],
)
def test_the_owner_is_the_member_who_owns_or_the_team(tmp_path: Path, team: Any, owner: str) -> None:
    assert of(tmp_path, top={"team": team}).owner == owner


def test_an_owner_that_is_named_outright_counts_first(tmp_path: Path) -> None:
    assert of(tmp_path, top={"team": {"name": "shop"}, **own(owner="cleo")}).owner == "cleo"
    with pytest.raises(ContractError, match="ownr"):
        of(tmp_path, top=own(ownr="cleo"))


def test_service_levels_say_how_old_and_how_long(tmp_path: Path) -> None:
    levels = [
        {"property": "latency", "value": 26, "unit": "h"},
        {"property": "retention", "value": 6, "unit": "months"},
        {"property": "availability", "value": "99.9", "unit": "percent"},
        {"property": "latency", "value": 1, "unit": "h", "element": "customers.seen"},
    ]
    contract = of(tmp_path, top={"slaProperties": levels})
    assert contract.max_age_s == 26 * 3600
    assert contract.retention_days == 180
    (rule,) = [rule for rule in contract.rules if rule.kind == "freshness"]
    assert (rule.columns, rule.maximum, rule.severity) == ((), str(26 * 3600), "warn")
    assert rule.reason == "the youngest row is older than 26 h"


def test_a_frequency_alone_says_how_old_without_a_rule(tmp_path: Path) -> None:
    contract = of(tmp_path, top={"slaProperties": [{"property": "frequency", "value": 1, "unit": "d"}]})
    assert contract.max_age_s == 86_400
    assert not [rule for rule in contract.rules if rule.kind == "freshness"]


@pytest.mark.parametrize(
    ("unit", "seconds"),
    [("s", 1), ("minutes", 60), ("h", 3600), ("day", 86_400), ("Days", 86_400), ("weeks", 604_800), ("yr", 31_536_000)],
)
def test_units_of_time_have_many_spellings(tmp_path: Path, unit: str, seconds: int) -> None:
    assert of(tmp_path, top={"slaProperties": [{"property": "latency", "value": 1, "unit": unit}]}).max_age_s == seconds


@pytest.mark.parametrize(
    ("level", "said"),
    [
        ({"property": "latencey", "value": 1, "unit": "h"}, "latencey"),
        ({"property": "latency", "value": 1, "unit": "m"}, "unit"),
        ({"property": "latency", "value": 1}, "unit"),
        ({"property": "latency", "value": "soon", "unit": "h"}, "soon"),
        ({"property": "latency", "value": 0, "unit": "h"}, "above 0"),
        ({"property": "latency", "value": True, "unit": "h"}, "above 0"),
        ({"property": "latency", "value": 1, "unit": "h", "element": "orders.nope"}, "nope"),
        ({"property": "latency", "value": 1, "unit": "h", "element": "orders.a"}, "date or timestamp"),
        ({"property": "latency", "value": 1, "unit": "h", **own(severity="row")}, "severity"),
    ],
)
def test_a_wrong_service_level_is_named(tmp_path: Path, level: dict[str, Any], said: str) -> None:
    with pytest.raises(ContractError, match=said):
        of(tmp_path, top={"slaProperties": [level]})


def test_one_promise_of_each_kind(tmp_path: Path) -> None:
    level = {"property": "retention", "value": 1, "unit": "y"}
    with pytest.raises(ContractError, match="two"):
        of(tmp_path, top={"slaProperties": [level, {**level, "value": 2}]})


def test_a_latency_can_stop_the_load_and_name_its_column(tmp_path: Path) -> None:
    level = {"property": "latency", "value": 1, "unit": "h", "element": "orders.a", **own(severity="stop")}
    contract = of(tmp_path, top={"slaProperties": [level]}, kind="timestamp")
    (rule,) = [rule for rule in contract.rules if rule.kind == "freshness"]
    assert (rule.columns, rule.severity) == (("a",), "stop")


def test_the_same_yaml_gives_the_same_contract(tmp_path: Path) -> None:
    first, second = load(tmp_path, contract_text()), load(tmp_path, contract_text())
    assert digest_of(first) == digest_of(second)
    assert digest_of(replace(first, owner="x")) != digest_of(first)
