"""Each kind of rule, at each severity, does what it says to a batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from keelway.contract import Against, CheckedBatch, Checker, Contract, Findings, Rule, check, quarantined_rows
from keelway.contract import RuleKind as K
from keelway.contract import Severity as S
from keelway.core import Action, Decision, Digest, digest_bytes
from keelway.engines.local.checker import DuckDbChecker
from keelway.errors import ContractError
from keelway.ingest import Batch
from keelway.ledger import decisions
from keelway.testing.shop import ANA, NOW, Shop

GOOD = "1,1997-01-01,2,4.0\n"
ROW_RULES: list[tuple[Rule, str]] = [
    (Rule(K.REQUIRED, ("amount",), "r"), "2,1997-01-01,2,\n"),
    (Rule(K.TYPE, ("amount",), "r"), "2,1997-01-01,2,lots\n"),
    (Rule(K.MINIMUM, ("quantity",), "r", minimum="2"), "2,1997-01-01,1,4.0\n"),
    (Rule(K.MAXIMUM, ("amount",), "r", maximum="4"), "2,1997-01-01,2,4.5\n"),
    (Rule(K.MIN_LENGTH, ("customer_id",), "r", minimum="1"), "2,1997-01-01,2,4.0\n"),
    (Rule(K.MAX_LENGTH, ("customer_id",), "r", maximum="1"), "22,1997-01-01,2,4.0\n"),
    (Rule(K.PATTERN, ("customer_id",), "r", text="^[0-9]$"), "x,1997-01-01,2,4.0\n"),
    (Rule(K.ALLOWED, ("quantity",), "r", allowed=("2", "3")), "2,1997-01-01,4,4.0\n"),
    (Rule(K.EXPRESSION, ("quantity", "amount"), "r", text="amount = 2 * quantity"), "2,1997-01-01,2,5.0\n"),
    (Rule(K.UNIQUE, ("customer_id",), "r"), "1,1997-01-01,2,4.0\n"),
    (
        Rule(K.REFERENCE, ("customer_id",), "r", dataset="customers", references=("id",)),
        "3,1997-01-01,2,4.0\n",
    ),
]  # fmt: skip
BROKEN = [case for case in ROW_RULES if case[0].kind is not K.MIN_LENGTH]
BATCH_RULES = [
    Rule(K.ROW_COUNT, (), "r", minimum="5"),
    Rule(K.ROW_COUNT, (), "r", maximum="2", exclusive=True),
    Rule(K.FRESHNESS, (), "r", maximum="3600"),
    Rule(K.DISTRIBUTION, ("quantity",), "r", maximum="0.2"),
    Rule(K.SQL, (), "r", maximum="5", text="SELECT sum(amount) FROM {object}"),
]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop.open(tmp_path)
    pq.write_table(pa.table({"id": ["1", "2", "22", "x"]}), tmp_path / "customers.parquet")
    before = {"customer_id": ["7"] * 40, "quantity": pa.array(range(100, 140), pa.int64())}
    pq.write_table(pa.table(before), tmp_path / "before.parquet")
    yield shop
    shop.state.close()


def ruled(shop: Shop, *rules: Rule) -> Contract:
    """Return the shop's contract with these rules only; its columns ask for nothing by themselves."""
    columns = tuple(
        replace(column, required=False, minimum=None, pattern=None, allowed=()) for column in shop.contract.columns
    )
    return replace(shop.contract, columns=columns, rules=rules)


def pulled(shop: Shop, rows: str) -> Batch:
    shop.upload("1997-01-01", rows)
    batch = shop.pull()
    assert batch is not None
    return batch


def checked(
    shop: Shop, batch: Batch, *rules: Rule, checker: Checker | None = None, compared: dict[str, Digest] | None = None
) -> CheckedBatch:
    return check(
        batch,
        contract=ruled(shop, *rules),
        checker=checker or DuckDbChecker(threads=1),
        artifacts=shop.artifacts,
        state=shop.state,
        now=NOW,
        actor=ANA,
        event_time="date",
        against=Against((shop.root / "before.parquet",), {"customers": (shop.root / "customers.parquet",)}),
        compared=compared,
    )


def told(shop: Shop) -> list[Decision]:
    with shop.state.snapshot() as tx:
        return [decision for _, decision in decisions(tx) if decision.action is Action.QUARANTINE]


def stored(shop: Shop) -> list[CheckedBatch]:
    with shop.state.snapshot() as tx:
        return tx.newest(CheckedBatch, parent="orders")


def named(case: Any) -> str:
    return str(case.kind) if isinstance(case, Rule) else ""


@pytest.mark.parametrize(("rule", "row"), BROKEN, ids=named)
def test_a_rule_that_warns_keeps_the_row_and_counts_it(shop: Shop, rule: Rule, row: str) -> None:
    found = checked(shop, pulled(shop, GOOD + row), replace(rule, severity=S.WARN))
    assert (found.rows_ok, found.rows_quarantined) == (2, 0)
    assert found.warnings == {"r": 1}
    assert told(shop) == []


@pytest.mark.parametrize(("rule", "row"), BROKEN, ids=named)
def test_a_rule_on_rows_quarantines_the_row_with_its_very_reason(shop: Shop, rule: Rule, row: str) -> None:
    found = checked(shop, pulled(shop, GOOD + row), replace(rule, severity=S.ROW))
    assert (found.rows_ok, found.reasons, found.warnings) == (1, {"r": 1}, {})
    (kept_out,) = quarantined_rows(found, artifacts=shop.artifacts)
    assert (kept_out.raw, kept_out.reasons) == (row.strip(), ("r",))
    (decision,) = told(shop)
    assert decision.comment == "1 of 2 rows, from 1 files"


@pytest.mark.parametrize(("rule", "row"), BROKEN, ids=named)
def test_a_rule_on_files_quarantines_every_row_of_the_file(shop: Shop, rule: Rule, row: str) -> None:
    shop.upload(
        "1997-01-01", "9,1997-01-01,2,4.0\n" if rule.kind is not K.REFERENCE else "x,1997-01-01,2,4.0\n", name="a.csv"
    )
    found = checked(shop, pulled(shop, GOOD + row), replace(rule, severity=S.FILE))
    by_name = {file.name.rpartition("/")[2]: file for file in found.files}
    assert by_name["orders.csv"].rows_quarantined == 2
    assert by_name["a.csv"].rows_ok == 1
    reasons = {reason for kept_out in quarantined_rows(found, artifacts=shop.artifacts) for reason in kept_out.reasons}
    assert "the file: r" in reasons


@pytest.mark.parametrize(("rule", "row"), BROKEN, ids=named)
def test_a_rule_that_stops_loads_nothing_and_says_so(shop: Shop, rule: Rule, row: str) -> None:
    batch = pulled(shop, GOOD + row)
    with pytest.raises(ContractError, match="stops the load") as caught:
        checked(shop, batch, replace(rule, severity=S.STOP))
    assert "r" in caught.value.found
    assert stored(shop) == []
    (decision,) = told(shop)
    assert not decision.allowed
    assert decision.reasons[0].startswith("r")


@pytest.mark.parametrize(("rule", "row"), ROW_RULES, ids=named)
@pytest.mark.parametrize("severity", [S.WARN, S.STOP])
def test_a_rule_that_holds_does_nothing(shop: Shop, rule: Rule, row: str, severity: S) -> None:
    del row
    found = checked(shop, pulled(shop, GOOD), replace(rule, severity=severity))
    assert (found.rows_ok, found.reasons, found.warnings) == (1, {}, {})


@pytest.mark.parametrize("rule", BATCH_RULES, ids=named)
def test_a_rule_on_the_batch_warns(shop: Shop, rule: Rule) -> None:
    found = checked(shop, pulled(shop, GOOD + GOOD), replace(rule, severity=S.WARN))
    assert (found.rows_ok, found.warnings, found.reasons) == (2, {"r": 1}, {})


@pytest.mark.parametrize("rule", BATCH_RULES, ids=named)
def test_a_rule_on_the_batch_stops_with_its_figures(shop: Shop, rule: Rule) -> None:
    batch = pulled(shop, GOOD + GOOD)
    with pytest.raises(ContractError, match="stops the load") as caught:
        checked(shop, batch, replace(rule, severity=S.STOP))
    assert any(letter.isdigit() for letter in caught.value.found)
    assert stored(shop) == []


def test_a_column_that_was_of_another_kind_is_not_compared(shop: Shop, tmp_path: Path) -> None:
    batch, rule = pulled(shop, GOOD + GOOD), replace(BATCH_RULES[3], severity=S.STOP)
    with pytest.raises(ContractError, match="stops the load"):
        checked(shop, batch, rule)
    pq.write_table(pa.table({"quantity": ["100"] * 40}), tmp_path / "before.parquet")
    assert checked(shop, batch, rule).rows_ok == 2


def test_warnings_stand_beside_what_was_quarantined(shop: Shop) -> None:
    warns = replace(ROW_RULES[3][0], severity=S.WARN, reason="dear")
    found = checked(shop, pulled(shop, GOOD + "2,1997-01-01,1,9\n3,1997-01-01,2,9\n"), warns, ROW_RULES[2][0])
    assert (found.warnings, found.reasons) == ({"dear": 2}, {"r": 1})
    (decision,) = told(shop)
    assert decision.comment == "1 of 3 rows, from 1 files; warnings: dear"


def test_a_released_row_is_not_held_against_what_was_waived(shop: Shop) -> None:
    rule, row = ROW_RULES[3]
    batch = replace(pulled(shop, GOOD + row), waived=("r",))
    assert checked(shop, batch, rule).rows_ok == 2


class Asked:
    """A checker that remembers what it was asked with, in front of a real one."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def check(self, files: Any, contract: Contract, **asked: Any) -> Findings:
        self.asked.append(asked)
        return DuckDbChecker(threads=1).check(files, contract, **asked)


ONE, TWO = digest_bytes(b"one"), digest_bytes(b"two")


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ((ROW_RULES[3][0],), {}),
        ((ROW_RULES[9][0],), {"previous": ONE}),
        ((ROW_RULES[10][0],), {"customers": TWO}),
        ((replace(BATCH_RULES[3], severity=S.WARN),), {"previous": ONE}),
        ((ROW_RULES[9][0], replace(ROW_RULES[10][0], reason="s")), {"previous": ONE, "customers": TWO}),
    ],
)
def test_the_record_names_what_the_batch_was_compared_with(
    shop: Shop, rules: tuple[Rule, ...], kept: dict[str, Digest]
) -> None:
    batch = pulled(shop, GOOD)
    found = checked(shop, batch, *rules, compared={"previous": ONE, "customers": TWO, "shops": TWO})
    assert found.compared == kept


def test_the_same_batch_is_checked_once(shop: Shop) -> None:
    asked, batch = Asked(), pulled(shop, GOOD)
    rule = ROW_RULES[9][0]
    first = checked(shop, batch, rule, checker=asked, compared={"previous": ONE})
    assert checked(shop, batch, rule, checker=asked, compared={"previous": ONE}) == first
    assert len(asked.asked) == 1


def test_another_version_to_compare_with_is_another_check(shop: Shop) -> None:
    asked, batch = Asked(), pulled(shop, GOOD)
    rule = ROW_RULES[9][0]
    checked(shop, batch, rule, checker=asked, compared={"previous": ONE})
    checked(shop, batch, rule, checker=asked, compared={"previous": TWO})
    assert len(asked.asked) == 2


def test_a_version_that_no_rule_looks_at_makes_no_other_check(shop: Shop) -> None:
    asked, batch = Asked(), pulled(shop, GOOD)
    rule = ROW_RULES[3][0]
    checked(shop, batch, rule, checker=asked, compared={"previous": ONE})
    checked(shop, batch, rule, checker=asked, compared={"previous": TWO})
    assert len(asked.asked) == 1


def test_the_checker_gets_all_it_needs(shop: Shop) -> None:
    asked = Asked()
    checked(shop, replace(pulled(shop, GOOD), waived=("x",)), ROW_RULES[3][0], checker=asked)
    (given,) = asked.asked
    assert given["waived"] == frozenset({"x"})
    assert given["event_time"] == "date"
    assert given["tokenizer"] is None
    assert given["against"].previous == (shop.root / "before.parquet",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dataset": "sales"}, "another dataset's"),
        ({"event_time": "amount"}, "no event time"),
        ({"event_time": "nope"}, "no event time"),
    ],
)
def test_a_contract_must_fit_the_dataset(shop: Shop, change: dict[str, str], said: str) -> None:
    batch = pulled(shop, GOOD)
    with pytest.raises(ContractError, match=said):
        check(
            batch,
            contract=replace(shop.contract, dataset=change.get("dataset", "orders")),
            checker=DuckDbChecker(threads=1),
            artifacts=shop.artifacts,
            state=shop.state,
            now=datetime(1999, 1, 1, tzinfo=UTC),
            actor=ANA,
            event_time=change.get("event_time", "date"),
        )
