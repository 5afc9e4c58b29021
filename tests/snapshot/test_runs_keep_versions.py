"""What a run returned stays: a step that ended with a version keeps it, and cannot end with one that is gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from keelway.core import StepFinished
from keelway.errors import KeelwayError
from keelway.flow import Context, Plan, Step, run_plan, step
from keelway.snapshot import Snapshot, newest
from keelway.testing.flow import step_context
from keelway.testing.versions import Versions

VACUUMED: list[Versions] = []
"""Datasets that somebody vacuums while the step below is at work."""


@step("test.newest-version", cache=False)
def newest_version(ctx: Context, *, dataset: str) -> Snapshot:
    """Return the newest version, which may not be the newest any more when this ends."""
    with ctx.state.snapshot() as tx:
        found = newest(dataset, tx)
    assert found is not None
    for orders in VACUUMED:
        orders.compact()
        orders.vacuum()
    return found


@pytest.fixture
def orders(tmp_path: Path) -> Iterator[Versions]:
    made = Versions.open(tmp_path)
    made.numbers(1)
    made.numbers(2)
    yield made
    VACUUMED.clear()


def plan() -> Plan:
    return Plan("look", (Step("look", "test.newest-version", parameters={"dataset": "orders"}),))


def test_a_version_that_a_run_returned_is_kept(orders: Versions, tmp_path: Path) -> None:
    run_plan(plan(), context=step_context(tmp_path, state=orders.state))
    orders.compact()
    done = orders.vacuum()
    assert (done.expired, done.referred) == ((1,), (2,))
    with orders.state.snapshot() as tx:
        assert [row["amount"] for row in orders.rows(tx.get(Snapshot, "orders/000002"))] == [1, 2]


def test_a_run_does_not_end_with_a_version_that_went_meanwhile(orders: Versions, tmp_path: Path) -> None:
    VACUUMED.append(orders)
    with pytest.raises(KeelwayError, match="no longer kept"):
        run_plan(plan(), context=step_context(tmp_path, state=orders.state))
    with orders.state.snapshot() as tx:
        assert [each for each in tx.newest(StepFinished) if each.status == "succeeded"] == []
    VACUUMED.clear()
    run = run_plan(plan(), context=step_context(tmp_path, state=orders.state))
    with orders.state.snapshot() as tx:
        assert tx.by_digest(Snapshot, run.outputs["look"]).number == 3
