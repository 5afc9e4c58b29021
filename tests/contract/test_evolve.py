"""A changed contract is judged before anything is loaded by it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keelway.contract import ContractAcceptance, accept_change, load_contract
from keelway.contract.change.accept import change_text, next_step
from keelway.contract.change.kinds import ChangeKind, ChangeLevel, change_of
from keelway.core import Action, Decision, PrincipalId
from keelway.errors import ContractError, UsageError
from keelway.ledger import decisions
from keelway.testing.shop import NOW, Shop, contract_text

BO = PrincipalId("user:bo")
GOOD = "1,1997-01-01,1,2.5\n"
ADDITIVE = ("aliases, value: [dollar_value]", "aliases, value: [dollar_value, dollars]")
WIDENING = ("{minimum: 1}", "{minimum: 0}")
BREAKING = ("{minimum: 1}", "{minimum: 2}")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop.open(tmp_path)
    shop.take(shop.checked(GOOD))
    yield shop
    shop.state.close()


def changed(shop: Shop, *changes: tuple[str, str]) -> Shop:
    text = contract_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = shop.root / "changed.yaml"
    path.write_text(text)
    return shop.through(contract=load_contract(path, "orders"))


def next_day(shop: Shop, rows: str = "2,1997-01-02,3,2.5\n", day: str = "1997-01-02") -> None:
    shop.upload(day, rows)
    batch = shop.pull()
    assert batch is not None
    shop.take(shop.check(batch))


def told(shop: Shop) -> list[Decision]:
    with shop.state.snapshot() as tx:
        return [decision for _, decision in decisions(tx) if decision.action is Action.CONTRACT]


def accept(shop: Shop, comment: str = "the shop sells by the pair") -> ContractAcceptance:
    return accept_change(shop.contract, state=shop.state, actor=BO, now=NOW, comment=comment)


def test_the_first_contract_changes_nothing(tmp_path: Path) -> None:
    shop = Shop.open(tmp_path)
    with shop.state.snapshot() as tx:
        assert next_step(shop.contract, tx=tx) is None
    shop.take(shop.checked(GOOD))
    assert told(shop) == []


def test_the_same_rules_in_other_words_change_nothing(shop: Shop) -> None:
    next_day(changed(shop, ("version: 1.0.0", "version: 1.0.1 # mended a comment")))
    assert told(shop) == []


@pytest.mark.parametrize(
    ("change", "level"), [(ADDITIVE, ChangeLevel.ADDITIVE), (WIDENING, ChangeLevel.WIDENING)], ids=str
)
def test_what_adds_or_widens_passes_and_is_told_once(shop: Shop, change: tuple[str, str], level: ChangeLevel) -> None:
    other = changed(shop, change)
    next_day(other)
    next_day(other, "3,1997-01-03,3,2.5\n", "1997-01-03")
    (decision,) = told(shop)
    assert decision.allowed
    assert decision.comment.startswith(f"{level}: ")
    assert set(decision.evidence) == {"old", "new", "batch"}


def test_what_breaks_is_refused_before_anything_is_checked(shop: Shop) -> None:
    other = changed(shop, BREAKING)
    with pytest.raises(ContractError, match="breaks what was built on it") as caught:
        next_day(other)
    assert caught.value.found.startswith("quantity: rule tightened")
    assert "keelway contract accept orders" in caught.value.fix
    (decision,) = told(shop)
    assert not decision.allowed
    assert decision.reasons == tuple(caught.value.found.split("; "))


def test_every_breaking_change_is_named(shop: Shop) -> None:
    other = changed(shop, BREAKING, ("[dd.MM.yyyy]", "[MM.dd.yyyy]"), ADDITIVE)
    with pytest.raises(ContractError) as caught:
        next_day(other)
    assert "quantity" in caught.value.found
    assert "date" in caught.value.found
    assert "alias" not in caught.value.found


def test_the_refused_batch_waits_and_comes_in_by_the_old_contract(shop: Shop) -> None:
    with pytest.raises(ContractError):
        next_day(changed(shop, BREAKING))
    batch = shop.pull()
    assert batch is not None
    assert shop.take(shop.check(batch)).rows == 2


def test_an_accepted_change_comes_in(shop: Shop) -> None:
    other = changed(shop, BREAKING)
    with pytest.raises(ContractError):
        next_day(other)
    acceptance = accept(other)
    assert (acceptance.actor, acceptance.comment) == (BO, "the shop sells by the pair")
    batch = shop.pull()
    assert batch is not None
    assert other.take(other.check(batch)).rows == 2
    refused, consent, step = told(shop)
    assert [entry.allowed for entry in (refused, consent, step)] == [False, True, True]
    assert consent.principal == BO
    assert step.evidence["accepted"] == consent.evidence["accepted"]


def test_consent_is_to_one_step_only(shop: Shop) -> None:
    accept(changed(shop, BREAKING))
    with pytest.raises(ContractError):
        next_day(changed(shop, ("{minimum: 1}", "{minimum: 3}")))


def test_a_change_can_be_accepted_before_the_batch_comes_and_counts_once(shop: Shop) -> None:
    other = changed(shop, BREAKING)
    first = accept(other)
    assert accept(other.through(), "again") == first
    next_day(other)
    assert [entry.allowed for entry in told(shop)] == [True, True]


def test_the_way_back_is_a_step_of_its_own(shop: Shop) -> None:
    other = changed(shop, BREAKING)
    accept(other)
    next_day(other)
    next_day(shop, "3,1997-01-03,3,2.5\n", "1997-01-03")
    assert told(shop)[-1].comment.startswith("widening: ")


def test_consent_needs_a_reason(shop: Shop) -> None:
    with pytest.raises(UsageError, match="reason"):
        accept(changed(shop, BREAKING), "  ")


@pytest.mark.parametrize("change", [ADDITIVE, WIDENING, ("status: active", "status: retired")])
def test_what_breaks_nothing_needs_no_consent(shop: Shop, change: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match="nobody's consent"):
        accept(changed(shop, change))
    assert told(shop) == []


def test_a_batch_that_is_stopped_does_not_take_the_new_contract_in(shop: Shop) -> None:
    other = changed(shop, WIDENING)
    strict = other.through(contract=replace(other.contract, stop_at_quarantined_share=0.0))
    with pytest.raises(ContractError, match="stops the load"):
        next_day(strict, "x,1997-01-02,3,2.5\n")
    assert told(shop) == []


def test_the_acceptance_is_kept_with_the_contract_it_lets_in(shop: Shop) -> None:
    other = changed(shop, BREAKING)
    acceptance = accept(other)
    with shop.state.snapshot() as tx:
        assert tx.by_digest(type(other.contract), acceptance.new) == other.contract
        assert tx.newest(ContractAcceptance, parent="orders") == [acceptance]
        step = next_step(other.contract, tx=tx)
    assert step is not None
    assert step.diff.level is ChangeLevel.BREAKING
    assert not step.refused
    assert acceptance.at == NOW


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (change_of(ChangeKind.VALUE_REMOVED, "plan", "gold"), "plan: allowed value removed (gold)"),
        (change_of(ChangeKind.COLUMN_RENAMED, "a", "a", "b"), "a: column renamed (a -> b)"),
        (change_of(ChangeKind.KEY_CHANGED), "key changed"),
    ],
)
def test_a_change_is_told_in_one_line(change: object, text: str) -> None:
    assert change_text(change) == text  # type: ignore[arg-type]
