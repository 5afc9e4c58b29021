"""A contract is linted: what cannot be loaded is an error, what it leaves open a warning."""

from __future__ import annotations

from pathlib import Path

import pytest

from keelway.contract.drafting.lint import LintReport, lint_contract

CLEAN = """\
apiVersion: v3.1.0
kind: DataContract
id: orders
version: 1.0.0
status: active
team:
  name: shop
  members:
    - {username: ana, role: owner}
slaProperties:
  - {property: latency, value: 2, unit: h, element: orders}
schema:
  - name: orders
    customProperties:
      - {property: stopAtQuarantinedShare, value: 0.2}
    properties:
      - {name: order_id, logicalType: string, primaryKey: true, primaryKeyPosition: 1, required: true}
      - {name: day, logicalType: date, required: true}
      - {name: plan, logicalType: string, enum: [{value: basic}, {value: plus}]}
      - {name: amount, logicalType: number, logicalTypeOptions: {minimum: 0}}
"""


def lint(tmp_path: Path, text: str, dataset: str = "") -> LintReport:
    (tmp_path / "c.yaml").write_text(text, "utf8")
    return lint_contract(tmp_path / "c.yaml", dataset)


def with_column(line: str) -> str:
    return f"{CLEAN}      - {line}\n"


def test_a_clean_contract_has_no_findings(tmp_path: Path) -> None:
    assert lint(tmp_path, CLEAN) == LintReport(("orders",), ())


@pytest.mark.parametrize(
    ("old", "new", "where", "said"),
    [
        ("    - {username: ana, role: owner}\n", "    - {username: ana, role: reader}\n", None, None),
        ("team:\n  name: shop\n  members:\n    - {username: ana, role: owner}\n", "", "team", "Nobody answers"),
        (
            "slaProperties:\n  - {property: latency, value: 2, unit: h, element: orders}\n",
            "",
            "slaProperties",
            "No freshness",
        ),
        ("value: 0.2", "value: 1.0", "stopAtQuarantinedShare", "nothing but bad rows"),
        ("primaryKey: true, primaryKeyPosition: 1, ", "", "primaryKey", "loaded twice"),
        ("status: active", "status: draft", "status", "still a draft"),
    ],
)
def test_what_the_whole_leaves_open_is_a_warning(
    tmp_path: Path, old: str, new: str, where: str | None, said: str | None
) -> None:
    assert old in CLEAN
    report = lint(tmp_path, CLEAN.replace(old, new))
    assert not report.has_errors
    if where is None or said is None:
        assert report.findings == ()  # the team still has a name
        return
    (finding,) = report.findings
    assert finding.where == where
    assert said in finding.what
    assert finding.fix.endswith(".")


BARE = CLEAN.replace(
    "value: 0.2}", "value: 0.2}\n      - {property: header, value: none}\n      - {property: format, value: csv}"
)


def test_a_contract_without_a_header_has_no_findings(tmp_path: Path) -> None:
    assert lint(tmp_path, BARE).findings == ()


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        (
            BARE.replace("value: csv}", "value: csv}\n      - {property: unknownColumns, value: stop}"),
            "unknownColumns",
            "no column that is unknown",
        ),
        (
            BARE.replace("{minimum: 0}", "{minimum: 0}, customProperties: [{property: aliases, value: [sum]}]"),
            "amount",
            "never use its aliases",
        ),
    ],
)
def test_names_mean_nothing_where_files_have_none(tmp_path: Path, text: str, where: str, said: str) -> None:
    (finding,) = lint(tmp_path, text).findings
    assert finding.where == where
    assert said in finding.what
    assert lint(tmp_path, text.replace("value: none", "value: first line")).findings == ()
    assert lint(tmp_path, text.replace("value: csv", "value: ''")).findings == ()


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("{name: note, logicalType: string}", "Nothing is asked"),
        (
            "{name: n, logicalType: integer, required: true, customProperties: [{property: default, value: 1}]}",
            "never missing",
        ),
        ("{name: kind, logicalType: string, enum: [{value: a}]}", "Only one value is allowed: a"),
        ("{name: code, logicalType: string, logicalTypeOptions: {pattern: '[0-9]+'}}", "may match a part"),
        (
            "{name: code, logicalType: string, enum: [{value: a}, {value: bbb}], logicalTypeOptions: {maxLength: 2}}",
            "The allowed value 'bbb' breaks another rule",
        ),
        (
            (
                "{name: code, logicalType: string, enum: [{value: a}, {value: 'NA'}], "
                "customProperties: [{property: missing, value: ['NA']}]}"
            ),
            "'NA' is allowed and means a missing value",
        ),
        (
            (
                "{name: n, logicalType: integer, logicalTypeOptions: {minimum: 5}, "
                "customProperties: [{property: default, value: 1}]}"
            ),
            "The default '1' breaks a rule: n: below 5",
        ),
        (
            (
                "{name: n, logicalType: integer, logicalTypeOptions: {maximum: 1, exclusiveMaximum: true}, "
                "customProperties: [{property: default, value: 1}]}"
            ),
            "The default '1' breaks a rule",
        ),
        (
            (
                "{name: code, logicalType: string, logicalTypeOptions: {pattern: '^[0-9]$'}, "
                "customProperties: [{property: default, value: x}]}"
            ),
            "The default 'x' breaks a rule",
        ),
        (
            (
                "{name: due, logicalType: date, required: true, "
                "customProperties: [{property: dateFormats, value: ['%d/%m/%Y', '%m/%d/%Y']}]}"
            ),
            "read in two ways",
        ),
        (
            (
                "{name: sent, logicalType: timestamp, required: true, "
                "customProperties: [{property: dateFormats, value: ['%d.%m.%Y %H:%M']}]}"
            ),
            "taken for UTC",
        ),
        ("{name: customer_email, logicalType: string, required: true}", "The name says e-mail"),
        ("{name: customer_id, logicalType: string, required: true}", "The name says a person"),
    ],
)
def test_what_a_column_leaves_open_is_a_warning(tmp_path: Path, column: str, said: str) -> None:
    report = lint(tmp_path, with_column(column))
    assert not report.has_errors, report.findings
    (finding,) = report.findings
    assert said in finding.what


@pytest.mark.parametrize(
    "column",
    [
        "{name: email, logicalType: string, required: true, customProperties: [{property: pii, value: direct}]}",
        "{name: customer_id, logicalType: string, required: true, classification: public}",
        "{name: company, logicalType: string, required: true}",
        (
            "{name: due, logicalType: date, required: true, "
            "customProperties: [{property: dateFormats, value: ['%d/%m/%Y', '%d.%m.%Y']}]}"
        ),
    ],
)
def test_what_is_said_is_no_warning(tmp_path: Path, column: str) -> None:
    assert lint(tmp_path, with_column(column)).findings == ()


def test_rules_that_only_warn_keep_nothing_out(tmp_path: Path) -> None:
    text = (
        "apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1.0.0\nschema:\n  - name: x\n    properties:\n"
        "      - name: a\n        logicalType: string\n"
        "        quality: [{metric: nullValues, mustBe: 0, severity: warn}]\n"
    )
    assert any("only warns" in finding.what for finding in lint(tmp_path, text).findings)


def with_dependency(determinant: str, dependent: str, text: str = CLEAN) -> str:
    rule = f"{{dependency: {{determinant: [{determinant}], dependent: [{dependent}]}}}}"
    quality = f"    quality: [{{type: custom, engine: keelway, implementation: {rule}}}]\n    properties:\n"
    return text.replace("    properties:\n", quality)


@pytest.mark.parametrize("determinant", ["order_id", "day, order_id"])
def test_what_follows_from_the_key_says_nothing(tmp_path: Path, determinant: str) -> None:
    report = lint(tmp_path, with_dependency(determinant, "plan"))
    assert not report.has_errors
    (finding,) = report.findings
    assert (finding.where, finding.fix) == ("plan", "Take it out, or name columns that rows do share.")
    assert finding.what.startswith(f"It follows from {determinant}, which no two rows share")


def test_what_follows_from_a_part_of_the_key_says_something(tmp_path: Path) -> None:
    of_two = CLEAN.replace("name: day, ", "name: day, primaryKey: true, primaryKeyPosition: 2, ")
    assert lint(tmp_path, with_dependency("order_id", "plan", of_two)).findings == ()
    assert lint(tmp_path, with_dependency("day, plan", "amount")).findings == ()


def test_what_follows_from_a_key_that_only_warns_says_something(tmp_path: Path) -> None:
    repeats = "required: true, quality: [{metric: duplicateValues, mustBe: 0, severity: warn}]}"
    warned = CLEAN.replace(
        "{name: day, logicalType: date, required: true}", f"{{name: day, logicalType: date, {repeats}"
    )
    assert warned != CLEAN
    assert lint(tmp_path, with_dependency("day", "plan", warned)).findings == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "line 1"),
        (with_dependency("plan", "plan"), "other columns than those of the determinant"),
        (with_dependency("town", "plan"), "determinant"),
        (with_dependency("plan", "town"), "dependent"),
        (CLEAN.replace("v3.1.0", "v2.0.0"), "apiVersion"),
        (CLEAN.replace("logicalType: number", "logicalType: float"), "amount: logicalType"),
        (CLEAN.replace("{minimum: 0}", "{minimum: 5, maximum: 4}"), "at most the maximum"),
        (with_column("{name: x, logicalType: string, logicalTypeOptions: {pattern: '(?=a)'}}"), "RE2"),
        (CLEAN.replace("status: active", "statuss: active"), "statuss"),
        (CLEAN[: CLEAN.index("schema:")], "describes no dataset"),
    ],
)
def test_what_cannot_be_loaded_is_an_error(tmp_path: Path, text: str, said: str) -> None:
    report = lint(tmp_path, text)
    assert report.has_errors
    (finding,) = (finding for finding in report.findings if finding.is_error)
    assert said in finding.what


def test_each_dataset_of_a_file_is_linted_or_the_one_asked_for(tmp_path: Path) -> None:
    schema = CLEAN[CLEAN.index("  - name: orders") :]
    text = CLEAN + schema.replace("name: orders", "name: returns").replace("minimum: 0", "minimum: x")
    report = lint(tmp_path, text)
    assert report.datasets == ("orders", "returns")
    assert [finding.is_error for finding in report.findings] == [True]
    assert lint(tmp_path, text, "orders").findings == ()
    assert lint(tmp_path, text, "sales").has_errors


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    assert lint_contract(tmp_path / "absent.yaml").has_errors
