"""A dataset whose rows carry no time is checked and taken like any other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keelway.contract import CheckedBatch, Rule, RuleKind, Severity, check
from keelway.contract.arrival.anomalies import newest_event
from keelway.engines.local.checker import DuckDbChecker
from keelway.errors import ContractError
from keelway.testing.shop import ANA, NOW, Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop.open(tmp_path)
    shop.upload("1997-01-01", "1,1997-01-01,1,2.5\n2,1997-01-02,3,4.5\n")
    return shop


def checked(shop: Shop) -> CheckedBatch:
    batch = shop.pull()
    assert batch is not None
    return check(
        batch, contract=shop.contract, checker=DuckDbChecker(threads=1), artifacts=shop.artifacts, state=shop.state,
        now=NOW, actor=ANA, event_time="",
    )  # fmt: skip


def test_rows_without_a_time_are_kept_and_taken(shop: Shop) -> None:
    found = checked(shop)
    assert (found.rows_ok, found.rows_quarantined) == (2, 0)
    assert newest_event(found, "", shop.artifacts, written=NOW) is None
    snapshot = shop.take(found)
    assert (snapshot.rows, snapshot.watermark) == (2, found.known_until)


def test_a_promise_of_freshness_needs_a_time(shop: Shop) -> None:
    fresh = Rule(RuleKind.FRESHNESS, (), "too old", severity=Severity.WARN, maximum=60)
    with pytest.raises(ContractError, match="promises freshness, but its rows carry no time"):
        checked(shop.through(contract=replace(shop.contract, rules=(*shop.contract.rules, fresh))))


def test_a_promise_about_a_named_column_is_kept(shop: Shop) -> None:
    fresh = Rule(RuleKind.FRESHNESS, ("date",), "too old", severity=Severity.WARN, maximum=60)
    found = checked(shop.through(contract=replace(shop.contract, rules=(*shop.contract.rules, fresh))))
    assert found.warnings == {"too old": 1}
