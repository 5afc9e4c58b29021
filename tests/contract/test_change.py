"""Each difference between two contracts has one level, and the written table is the one the code uses."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.contract import (
    LEVELS,
    ChangeKind,
    ChangeLevel,
    Column,
    Contract,
    ContractDiff,
    PiiClass,
    Rule,
    RuleKind,
    Severity,
    UnknownColumns,
    changes_between,
)
from keelway.contract.change.rules import rule_text
from keelway.core import digest_bytes, digest_of, plain, revive

DOCS = Path(__file__).parents[2] / "docs" / "schema-changes.md"

ID = Column("id", "string", required=True, unique=True)
DAY = Column("day", "date", required=True, formats=("%d.%m.%Y",))
AMOUNT = Column("amount", "number", aliases=("value",), missing=("n/a",))
PLAN = Column("plan", "string", allowed=("basic", "plus"))
COUNT = Column("count", "integer")

NEEDED = Rule(RuleKind.REQUIRED, ("id",), "id: missing")
ONCE = Rule(RuleKind.UNIQUE, ("id",), "id: repeats an earlier row")
FLOOR = Rule(RuleKind.MINIMUM, ("amount",), "amount: below 0", minimum="0")
NUMERIC = Rule(RuleKind.TYPE, ("amount",), "amount: not a number")
WHOLE = Rule(RuleKind.TYPE, ("count",), "count: not an integer")
PLANS = Rule(RuleKind.ALLOWED, ("plan",), "plan: not an allowed value", allowed=("basic", "plus"))
SHAPE = Rule(RuleKind.PATTERN, ("id",), "id: odd", text="^c[0-9]+$")
ORDERED = Rule(RuleKind.EXPRESSION, ("amount", "count"), "amount below count", text="amount >= count")
KNOWN = Rule(RuleKind.REFERENCE, ("plan",), "plan: unknown", dataset="plans", references=("name",))
ENOUGH = Rule(RuleKind.ROW_COUNT, (), "too few rows", Severity.STOP, minimum="10")
HINT = Rule(RuleKind.MAXIMUM, ("count",), "count: above 9", Severity.WARN, maximum="9")
ONE_PLAN = Rule(RuleKind.FUNCTIONAL_DEPENDENCY, ("id", "count", "plan"), "plan: does not follow from id, count")
RULES = (NEEDED, ONCE, FLOOR, NUMERIC, WHOLE, PLANS, SHAPE, ORDERED, KNOWN, ENOUGH, HINT, ONE_PLAN)
COLUMNS = (ID, DAY, AMOUNT, PLAN, COUNT)

OLD = Contract(
    dataset="orders",
    contract_id="orders",
    version="1.0.0",
    columns=COLUMNS,
    rules=RULES,
    key=(),
    unknown_columns=UnknownColumns.QUARANTINE,
    stop_at_quarantined_share=0.5,
    format="csv",
    delimiter=",",
    quote='"',
    encoding="utf-8",
    final_newline=True,
    owner="ana",
    max_age_s=3600,
    retention_days=30,
    source=digest_bytes(b"1"),
    text="1",
)


def with_column(old: Column, **changes: Any) -> Contract:
    """Return the contract with one column changed."""
    return replace(OLD, columns=tuple(replace(each, **changes) if each is old else each for each in COLUMNS))


def with_rule(old: Rule, *new: Rule, **changes: Any) -> Contract:
    """Return the contract with one rule changed, replaced or (`new=()` and no changes) gone."""
    instead = (replace(old, **changes),) if changes else new
    return replace(OLD, rules=tuple(rule for each in RULES for rule in (instead if each is old else (each,))))


def plus_rule(**settings: Any) -> Contract:
    return replace(OLD, rules=(*RULES, Rule(reason="new", **settings)))


def plus_column(**settings: Any) -> Contract:
    return replace(OLD, columns=(*COLUMNS, Column("extra", "string", **settings)))


def without(column: Column) -> Contract:
    return replace(OLD, columns=tuple(each for each in COLUMNS if each is not column))


K = ChangeKind
CASES: list[tuple[str, Contract, list[ChangeKind]]] = [
    ("optional column", plus_column(), [K.OPTIONAL_COLUMN_ADDED]),
    ("required column with default", plus_column(required=True, default="x"), [K.DEFAULTED_COLUMN_ADDED]),
    ("required column", plus_column(required=True), [K.REQUIRED_COLUMN_ADDED]),
    ("column removed", without(DAY), [K.COLUMN_REMOVED]),
    ("column renamed with alias", with_column(DAY, name="date", aliases=("day",)), [K.COLUMN_RENAMED]),
    ("column renamed without alias", with_column(DAY, name="date"), [K.COLUMN_REMOVED, K.REQUIRED_COLUMN_ADDED]),
    ("columns reordered", replace(OLD, columns=(DAY, ID, *COLUMNS[2:])), [K.COLUMNS_REORDERED]),
    ("integer to number", with_column(COUNT, kind="number"), [K.TYPE_WIDENED]),
    ("date to timestamp", with_column(DAY, kind="timestamp"), [K.TYPE_WIDENED]),
    ("number to integer", with_column(AMOUNT, kind="integer"), [K.TYPE_CHANGED]),
    ("integer to string", with_column(COUNT, kind="string"), [K.TYPE_CHANGED]),
    ("string to date", with_column(PLAN, kind="date"), [K.TYPE_CHANGED]),
    ("required", plus_rule(kind=RuleKind.REQUIRED, columns=("amount",)), [K.RULE_ADDED]),
    ("no longer required", with_rule(NEEDED), [K.RULE_REMOVED]),
    ("rule for rows", plus_rule(kind=RuleKind.MAX_LENGTH, columns=("id",), maximum="9"), [K.RULE_ADDED]),
    ("minimum raised", with_rule(FLOOR, minimum="1"), [K.RULE_TIGHTENED]),
    ("minimum made exclusive", with_rule(FLOOR, exclusive=True), [K.RULE_TIGHTENED]),
    ("minimum lowered", with_rule(FLOOR, minimum="-0.5"), [K.RULE_LOOSENED]),
    ("minimum written otherwise", with_rule(FLOOR, minimum="0.0"), []),
    ("minimum in other words", with_rule(FLOOR, reason="amount: negative"), []),
    ("minimum removed", with_rule(FLOOR), [K.RULE_REMOVED]),
    ("pattern rewritten", with_rule(SHAPE, text="^C"), [K.RULE_REWRITTEN]),
    ("condition rewritten", with_rule(ORDERED, text="amount > count"), [K.RULE_REWRITTEN]),
    ("reference to another dataset", with_rule(KNOWN, dataset="offers"), [K.RULE_REWRITTEN]),
    (
        "dependency",
        plus_rule(kind=RuleKind.FUNCTIONAL_DEPENDENCY, columns=("plan", "amount")),
        [K.RULE_ADDED],
    ),
    ("dependency dropped", with_rule(ONE_PLAN), [K.RULE_REMOVED]),
    ("dependency only warns", with_rule(ONE_PLAN, severity=Severity.WARN), [K.SEVERITY_LOWERED]),
    ("determinant in another order", with_rule(ONE_PLAN, columns=("count", "id", "plan")), []),
    ("another determinant", with_rule(ONE_PLAN, columns=("id", "plan")), [K.RULE_REMOVED, K.RULE_ADDED]),
    ("dependency turned round", with_rule(ONE_PLAN, columns=("id", "plan", "count")), [K.RULE_REMOVED, K.RULE_ADDED]),
    ("unique dropped", with_rule(ONCE), [K.UNIQUENESS_DROPPED]),
    ("unique only warns", with_rule(ONCE, severity=Severity.WARN), [K.UNIQUENESS_DROPPED]),
    ("value added", with_rule(PLANS, allowed=("basic", "plus", "gold")), [K.VALUE_ADDED]),
    ("value removed", with_rule(PLANS, allowed=("basic",)), [K.VALUE_REMOVED]),
    ("value exchanged", with_rule(PLANS, allowed=("basic", "gold")), [K.VALUE_REMOVED, K.VALUE_ADDED]),
    ("values in another order", with_rule(PLANS, allowed=("plus", "basic")), []),
    ("row to file", with_rule(FLOOR, severity=Severity.FILE), [K.SEVERITY_RAISED]),
    ("row to stop", with_rule(FLOOR, severity=Severity.STOP), [K.SEVERITY_RAISED]),
    ("row to warn", with_rule(FLOOR, severity=Severity.WARN), [K.SEVERITY_LOWERED]),
    ("warn to row", with_rule(HINT, severity=Severity.ROW), [K.SEVERITY_RAISED]),
    (
        "severity and bound",
        with_rule(FLOOR, severity=Severity.FILE, minimum="-9"),
        [K.RULE_LOOSENED, K.SEVERITY_RAISED],
    ),
    ("warning changed", with_rule(HINT, maximum="3"), [K.WARNING_CHANGED]),
    ("warning removed", with_rule(HINT), [K.WARNING_CHANGED]),
    (
        "warning added",
        plus_rule(kind=RuleKind.MAXIMUM, columns=("amount",), severity=Severity.WARN, maximum="3"),
        [K.WARNING_CHANGED],
    ),
    (
        "freshness promised",
        plus_rule(kind=RuleKind.FRESHNESS, columns=(), severity=Severity.STOP, maximum="60"),
        [K.BATCH_RULE_ADDED],
    ),
    ("more rows wanted", with_rule(ENOUGH, minimum="11"), [K.BATCH_RULE_ADDED]),
    ("fewer rows wanted", with_rule(ENOUGH, minimum="9"), [K.BATCH_RULE_LOOSENED]),
    ("row count capped", with_rule(ENOUGH, maximum="99"), [K.BATCH_RULE_ADDED]),
    ("row count turned round", with_rule(ENOUGH, minimum=None, maximum="99"), [K.BATCH_RULE_LOOSENED]),
    ("row count only warns", with_rule(ENOUGH, severity=Severity.WARN), [K.BATCH_RULE_LOOSENED]),
    ("row count no longer asked", with_rule(ENOUGH), [K.BATCH_RULE_LOOSENED]),
    ("key", replace(OLD, key=("id",)), [K.KEY_CHANGED]),
    ("pii", with_column(ID, pii=PiiClass.SUBJECT), [K.PII_CHANGED]),
    ("token format", with_column(ID, token_format="digits"), [K.TOKEN_FORMAT_CHANGED]),
    ("classification", with_column(ID, classification="restricted"), [K.CLASSIFICATION_CHANGED]),
    ("alias added", with_column(DAY, aliases=("date",)), [K.ALIAS_ADDED]),
    ("alias removed", with_column(AMOUNT, aliases=()), [K.ALIAS_REMOVED]),
    ("format appended", with_column(DAY, formats=("%d.%m.%Y", "%d/%m/%Y")), [K.FORMAT_ADDED]),
    ("format put first", with_column(DAY, formats=("%m.%d.%Y", "%d.%m.%Y")), [K.FORMAT_CHANGED]),
    ("format removed", with_column(DAY, formats=()), [K.FORMAT_CHANGED]),
    ("numbers trimmed", with_column(AMOUNT, trim=True), [K.REPAIR_ADDED]),
    ("texts trimmed", with_column(PLAN, trim=True), [K.REPAIR_CHANGED]),
    ("decimal comma", with_column(AMOUNT, decimal_comma=True), [K.REPAIR_ADDED]),
    ("currency sign cut from a number", with_column(AMOUNT, strip=("$",)), [K.REPAIR_ADDED]),
    ("minus sign cut from a number", with_column(AMOUNT, strip=("-",)), [K.REPAIR_CHANGED]),
    ("currency sign cut from a text", with_column(PLAN, strip=("$",)), [K.REPAIR_CHANGED]),
    ("word for missing number", with_column(AMOUNT, missing=("n/a", "none")), [K.REPAIR_ADDED]),
    ("number for missing number", with_column(AMOUNT, missing=("n/a", "-999")), [K.REPAIR_CHANGED]),
    ("word for missing text", with_column(PLAN, missing=("none",)), [K.REPAIR_CHANGED]),
    ("missing word no longer known", with_column(AMOUNT, missing=()), [K.REPAIR_CHANGED]),
    ("default", with_column(PLAN, default="basic"), [K.DEFAULT_CHANGED]),
    ("unit", with_column(AMOUNT, multiply_by=0.01), [K.UNIT_CHANGED]),
    ("unit times one", with_column(AMOUNT, multiply_by=1.0), []),
    ("time zone", with_column(DAY, time_zone="Europe/Berlin"), [K.TIME_ZONE_CHANGED]),
    ("time zone spelt out", with_column(DAY, time_zone="UTC"), []),
    ("delimiter", replace(OLD, delimiter=";"), [K.READING_CHANGED]),
    ("encoding", replace(OLD, encoding="latin-1"), [K.READING_CHANGED]),
    ("quote", replace(OLD, quote=""), [K.READING_CHANGED]),
    ("format", replace(OLD, format="jsonl"), [K.READING_CHANGED]),
    ("no header", replace(OLD, has_header=False), [K.READING_CHANGED]),
    ("lines above", replace(OLD, skip_lines=2), [K.READING_CHANGED]),
    ("no header below lines", replace(OLD, has_header=False, skip_lines=2), [K.READING_CHANGED, K.READING_CHANGED]),
    ("final newline optional", replace(OLD, final_newline=False), [K.FILES_ADMITTED]),
    ("unknown columns stop", replace(OLD, unknown_columns=UnknownColumns.STOP), [K.FILES_REFUSED]),
    ("unknown columns ignored", replace(OLD, unknown_columns=UnknownColumns.IGNORE), [K.FILES_ADMITTED]),
    ("stop share lowered", replace(OLD, stop_at_quarantined_share=0.1), [K.STOP_SHARE_LOWERED]),
    ("stop share raised", replace(OLD, stop_at_quarantined_share=1.0), [K.STOP_SHARE_RAISED]),
    ("owner", replace(OLD, owner="bo"), [K.OWNER_CHANGED]),
    ("fresher", replace(OLD, max_age_s=60), [K.AGE_LOWERED]),
    ("older", replace(OLD, max_age_s=7200), [K.AGE_RAISED]),
    ("no promise of age", replace(OLD, max_age_s=None), [K.AGE_RAISED]),
    ("kept longer", replace(OLD, retention_days=31), [K.RETENTION_LENGTHENED]),
    ("kept shorter", replace(OLD, retention_days=29), [K.RETENTION_SHORTENED]),
    ("kept as long as anybody likes", replace(OLD, retention_days=None), [K.RETENTION_SHORTENED]),
    ("another version number", replace(OLD, version="2.0.0", text="2", source=digest_bytes(b"2")), []),
]


@pytest.mark.parametrize(("new", "kinds"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_difference_is_named(new: Contract, kinds: list[ChangeKind]) -> None:
    diff = changes_between(OLD, new)
    assert [change.what for change in diff.changes] == kinds
    assert [change.level for change in diff.changes] == [LEVELS[kind][0] for kind in kinds]


@pytest.mark.parametrize(
    ("columns", "kinds"),
    [
        pytest.param((DAY, ID, *COLUMNS[2:]), [K.COLUMNS_REORDERED, K.READING_CHANGED], id="moved"),
        pytest.param((*COLUMNS, Column("x", "string")), [K.OPTIONAL_COLUMN_ADDED, K.READING_CHANGED], id="added"),
        pytest.param(COLUMNS[:-1], [K.COLUMN_REMOVED, K.READING_CHANGED], id="removed"),
        pytest.param(
            (ID, replace(DAY, name="date", aliases=("day",)), *COLUMNS[2:]), [K.COLUMN_RENAMED], id="renamed in place"
        ),
        pytest.param((*COLUMNS[:-1], replace(COUNT, classification="public")), [K.CLASSIFICATION_CHANGED], id="same"),
    ],
)
def test_without_a_header_the_place_of_a_column_is_how_it_is_read(
    columns: tuple[Column, ...], kinds: list[ChangeKind]
) -> None:
    bare = replace(OLD, has_header=False)
    diff = changes_between(bare, replace(bare, columns=columns))
    assert [change.what for change in diff.changes] == kinds
    assert (diff.level is ChangeLevel.BREAKING) == any(LEVELS[kind][0] is ChangeLevel.BREAKING for kind in kinds)


def test_a_change_of_the_header_says_what_was_and_what_is() -> None:
    diff = changes_between(OLD, replace(OLD, has_header=False, skip_lines=3))
    assert [(change.old, change.new) for change in diff.changes] == [
        ("header in the first line", "no header"),
        ("lines above that are passed over: 0", "lines above that are passed over: 3"),
    ]


def test_every_kind_of_change_is_seen_in_a_case() -> None:
    assert {kind for _, _, kinds in CASES for kind in kinds} == set(ChangeKind)


def test_every_kind_of_change_has_a_level_and_a_reason() -> None:
    assert list(LEVELS) == list(ChangeKind)
    assert all(why for _, why in LEVELS.values())


def test_the_docs_hold_the_same_table() -> None:
    written = re.findall(
        r"^\| ([^|]+) \| (additive|widening|breaking) \| ([^|]+) \|$", DOCS.read_text("utf8"), re.MULTILINE
    )
    assert written == [(str(kind), str(level), why) for kind, (level, why) in LEVELS.items()]


def test_the_level_is_that_of_the_farthest_change() -> None:
    new = replace(plus_column(), owner="bo", stop_at_quarantined_share=0.9)
    assert changes_between(OLD, new).level is ChangeLevel.WIDENING
    assert changes_between(OLD, replace(new, delimiter=";")).level is ChangeLevel.BREAKING
    assert changes_between(OLD, plus_column()).level is ChangeLevel.ADDITIVE


def test_without_changes_there_is_no_level() -> None:
    assert changes_between(OLD, OLD) == ContractDiff((), None)


def test_changes_of_one_level_can_be_asked_for() -> None:
    diff = changes_between(OLD, replace(plus_column(), delimiter=";"))
    assert [change.what for change in diff.of_level(ChangeLevel.BREAKING)] == [K.READING_CHANGED]
    assert diff.of_level(ChangeLevel.WIDENING) == ()


def test_the_column_of_a_change_is_named_as_the_old_contract_does() -> None:
    renamed = replace(AMOUNT, name="paid", aliases=("value", "amount"), kind="integer")
    rules = tuple(
        replace(rule, columns=tuple("paid" if name == "amount" else name for name in rule.columns)) for rule in RULES
    )
    new = replace(
        OLD,
        columns=tuple(renamed if each is AMOUNT else each for each in COLUMNS),
        rules=tuple(replace(rule, minimum="5") if rule.kind is RuleKind.MINIMUM else rule for rule in rules),
    )
    told = [(change.column, change.what) for change in changes_between(OLD, new).changes]
    assert told == [("amount", K.COLUMN_RENAMED), ("amount", K.TYPE_CHANGED), ("amount", K.RULE_TIGHTENED)]


def test_a_new_column_tells_of_its_own_rules() -> None:
    new = plus_column()
    rules = (*RULES, Rule(RuleKind.MAX_LENGTH, ("extra",), "extra: longer than 3", maximum="3"))
    assert [change.what for change in changes_between(OLD, replace(new, rules=rules)).changes] == [
        K.OPTIONAL_COLUMN_ADDED
    ]


def test_a_condition_over_a_new_and_an_old_column_is_a_rule_of_its_own() -> None:
    rules = (*RULES, Rule(RuleKind.EXPRESSION, ("amount", "extra"), "odd", text="amount > 0 OR extra IS NULL"))
    kinds = [change.what for change in changes_between(OLD, replace(plus_column(), rules=rules)).changes]
    assert kinds == [K.OPTIONAL_COLUMN_ADDED, K.RULE_ADDED]


def test_an_alias_that_the_old_contract_had_as_a_column_is_no_rename() -> None:
    new = replace(OLD, columns=(ID, DAY, replace(PLAN, aliases=("amount",)), COUNT))
    kinds = [change.what for change in changes_between(OLD, new).changes if not change.column.startswith("amount,")]
    assert kinds == [K.COLUMN_REMOVED, K.ALIAS_ADDED]


def test_bounds_of_dates_are_compared_as_moments() -> None:
    old = with_rule(FLOOR, Rule(RuleKind.MINIMUM, ("day",), "early", minimum="2020-01-01"))
    new = with_rule(FLOOR, Rule(RuleKind.MINIMUM, ("day",), "early", minimum="2020-01-01T00:00:00Z"))
    later = with_rule(FLOOR, Rule(RuleKind.MINIMUM, ("day",), "early", minimum="2020-01-01T01:00:00+00:00"))
    assert changes_between(old, new).changes == ()
    assert [change.what for change in changes_between(old, later).changes] == [K.RULE_TIGHTENED]


def test_a_change_says_what_was_and_what_is() -> None:
    (change,) = changes_between(OLD, with_rule(FLOOR, minimum="1.5", severity=Severity.ROW)).changes
    assert (change.column, change.old, change.new) == (
        "amount",
        "minimum 0 (quarantine row)",
        "minimum 1.5 (quarantine row)",
    )
    (change,) = changes_between(OLD, replace(OLD, max_age_s=None)).changes
    assert (change.column, change.old, change.new) == ("", "3600 s", "")


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (None, ""),
        (replace(FLOOR, exclusive=True), "minimum 0 itself excluded (quarantine row)"),
        (PLANS, "one of basic, plus (quarantine row)"),
        (SHAPE, "pattern ^c[0-9]+$ (quarantine row)"),
        (KNOWN, "reference plans (quarantine row)"),
        (ONE_PLAN, "plan follows from id, count (quarantine row)"),
        (ENOUGH, "row_count 10 (stop)"),
        (replace(ENOUGH, maximum="20"), "row_count 10 to 20 (stop)"),
    ],
)
def test_a_rule_is_told_in_a_few_words(rule: Rule | None, text: str) -> None:
    assert rule_text(rule) == text


def test_a_diff_is_a_record() -> None:
    diff = changes_between(OLD, replace(plus_column(required=True), owner="bo"))
    assert digest_of(revive(plain(diff), ContractDiff)) == digest_of(diff)


BOUNDS = st.one_of(st.none(), st.integers(-5, 5).map(str), st.floats(-5, 5).map(repr))


def floor(minimum: str | None, *, exclusive: bool) -> Contract:
    if minimum is None:
        return with_rule(FLOOR)
    return with_rule(FLOOR, minimum=minimum, exclusive=exclusive)


def keeps(contract: Contract, value: float) -> bool:
    """Return whether the contract's minimum keeps a value."""
    for rule in contract.rules:
        if rule.kind is RuleKind.MINIMUM and rule.minimum is not None:
            return value > float(rule.minimum) if rule.exclusive else value >= float(rule.minimum)
    return True


@settings(deadline=None)
@given(BOUNDS, st.booleans(), BOUNDS, st.booleans(), st.floats(-6, 6) | st.integers(-6, 6))
def test_only_a_breaking_change_keeps_out_what_was_kept(
    low: str | None, low_out: bool, high: str | None, high_out: bool, value: float
) -> None:
    old, new = floor(low, exclusive=low_out), floor(high, exclusive=high_out)
    level = changes_between(old, new).level
    if keeps(old, value) and not keeps(new, value):
        assert level is ChangeLevel.BREAKING
    if keeps(new, value) and not keeps(old, value):
        assert level is ChangeLevel.WIDENING


@settings(deadline=None)
@given(st.sets(st.sampled_from("abcdef")), st.sets(st.sampled_from("abcdef")))
def test_sets_of_values_are_compared_as_sets(old: set[str], new: set[str]) -> None:
    was = with_rule(PLANS, allowed=tuple(sorted(old)))
    now = with_rule(PLANS, allowed=tuple(sorted(new, reverse=True)))
    kinds = [change.what for change in changes_between(was, now).changes]
    assert (K.VALUE_REMOVED in kinds) == bool(old - new)
    assert (K.VALUE_ADDED in kinds) == bool(new - old)


@settings(deadline=None)
@given(st.permutations(COLUMNS), st.permutations(RULES))
def test_order_is_at_most_additive(columns: list[Column], rules: list[Rule]) -> None:
    diff = changes_between(OLD, replace(OLD, columns=tuple(columns), rules=tuple(rules)))
    assert {change.what for change in diff.changes} <= {K.COLUMNS_REORDERED}


@settings(deadline=None)
@given(st.sampled_from(CASES), st.sampled_from(CASES))
def test_any_two_contracts_can_be_compared(one: Any, other: Any) -> None:
    diff = changes_between(one[1], other[1])
    assert (diff.level is None) == (not diff.changes)
    assert all(change.level is LEVELS[change.what][0] for change in diff.changes)
