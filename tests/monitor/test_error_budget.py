"""The error budget is what an objective allows to fail, less what failed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.core import Environment
from keelway.engines.sql import SqlState
from keelway.errors import UsageError
from keelway.monitor import ErrorBudget, error_budget
from keelway.serve import RequestFigures
from keelway.serve.tally import keep_figures
from keelway.testing.serving import NOW

PROD, MONTH = Environment("prod"), timedelta(days=30)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[SqlState]:
    made = SqlState(f"sqlite:///{tmp_path / 'state.db'}")
    yield made
    made.close()


def counted(at: datetime, requests: int, failed: int, model: str = "churn") -> RequestFigures:
    return RequestFigures(model, PROD, at, at + timedelta(minutes=5), requests, failed, 0, ())


def budget(state: SqlState, objective: float = 0.99) -> ErrorBudget:
    with state.snapshot() as tx:
        return error_budget("churn", "prod", objective=objective, window=MONTH, tx=tx, now=NOW)


def test_the_budget_is_that_of_the_window(state: SqlState) -> None:
    for figures in (
        counted(NOW - timedelta(days=1), 600, 1),
        counted(NOW - timedelta(days=29), 400, 4),
        counted(NOW - timedelta(days=31), 1_000, 900),
        counted(NOW - timedelta(days=1), 1_000, 900, model="other"),
    ):
        keep_figures(figures, state=state)
    found = budget(state)
    assert (found.requests, found.failed, found.since) == (1_000, 5, NOW - MONTH)
    assert found.left == pytest.approx(0.5)


def test_nothing_is_said_of_no_requests(state: SqlState) -> None:
    assert budget(state).left is None


@pytest.mark.parametrize("objective", [0.0, 1.0, 1.5, -0.1, float("nan")])
def test_what_is_no_objective_is_refused(state: SqlState, objective: float) -> None:
    with pytest.raises(UsageError, match="no objective"):
        budget(state, objective)


@given(requests=st.integers(1, 10_000), failed=st.integers(0, 10_000), objective=st.floats(0.5, 0.999))
def test_the_rule_of_the_budget(requests: int, failed: int, objective: float) -> None:
    failed = min(failed, requests)
    left = ErrorBudget(objective, NOW, requests, failed).left
    assert left is not None
    assert left <= 1
    assert (left < 0) == (failed > (1 - objective) * requests)
    assert (left == 1) == (failed == 0)
