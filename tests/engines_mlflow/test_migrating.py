"""Stores of MLflow and states of ours are made beside each other: both migrate by Alembic, which knows one thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from keelway.engines.mlflow import MlflowTracker
from keelway.engines.sql import SqlState

pytest.importorskip("mlflow")


def test_states_are_made_while_mlflow_makes_its_tables(tmp_path: Path) -> None:
    def made(number: int) -> int:
        state = SqlState(f"sqlite:///{tmp_path / f'state-{number}.db'}")
        with state.snapshot() as tx:
            size = tx.log.size()
        state.close()
        return size

    with ThreadPoolExecutor(2) as beside:
        alias = beside.submit(MlflowTracker(f"sqlite:///{tmp_path / 'mlflow.db'}").alias_of, "churn", "prod")
        sizes = [beside.submit(made, number) for number in range(20)]
        assert [each.result() for each in sizes] == [0] * 20
        assert alias.result() is None
