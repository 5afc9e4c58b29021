"""Rows of entities that name no features, from a real online store: fresh enough, or refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keelway.core import digest_bytes
from keelway.engines.sql.online import SqliteOnlineStore
from keelway.errors import BadRequestError, UnavailableError
from keelway.features import FeatureColumn, OnlineCut, OnlineStore
from keelway.serve import OnlineLookup

CUT = datetime(2026, 2, 28, tzinfo=UTC)
NOW = CUT + timedelta(days=1)
FEATURES = (FeatureColumn("recency_d", "numeric"), FeatureColumn("plan", "categorical"))
NAMES = ["plan", "recency_d"]
ROWS: list[tuple[str, list[Any]]] = [("00042", [12.5, "gold"]), ("7", [None, ""])]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OnlineStore]:
    found = SqliteOnlineStore(tmp_path / "online.db")
    yield found
    found.close()


@pytest.fixture
def filled(store: OnlineStore) -> OnlineStore:
    digest = digest_bytes(b"x")
    cut = OnlineCut(
        "churn", "customer_id", CUT, digest, digest, digest, {}, FEATURES, {"recency_d": 1, "plan": 0}, len(ROWS), CUT
    )
    store.write(cut, iter(ROWS))
    return store


def test_rows_come_in_the_order_asked_and_the_models_order(filled: OnlineStore) -> None:
    rows = OnlineLookup(filled, "churn")(["7", "00042", "7"], NAMES, NOW)
    assert rows == [("7", CUT, ["", None]), ("00042", CUT, ["gold", 12.5]), ("7", CUT, ["", None])]


def test_an_unknown_entity_is_refused_or_has_no_values(filled: OnlineStore) -> None:
    with pytest.raises(BadRequestError) as caught:
        OnlineLookup(filled, "churn")(["00042", "nobody"], NAMES, NOW)
    assert (caught.value.status, caught.value.field) == (422, "$.entity")
    assert "nobody" not in str(caught.value)
    rows = OnlineLookup(filled, "churn", unknown="missing")(["nobody"], NAMES, NOW)
    assert rows == [("nobody", CUT, [None, None])]


def test_features_that_are_too_old_are_not_served(filled: OnlineStore) -> None:
    assert OnlineLookup(filled, "churn", max_age_s=86_400)(["7"], NAMES, NOW)
    for entity in ("7", "nobody"):
        with pytest.raises(UnavailableError, match="too old") as caught:
            OnlineLookup(filled, "churn", max_age_s=86_399, unknown="missing")([entity], NAMES, NOW)
        assert caught.value.retry_after_s > 0


def test_a_store_without_the_model_or_its_features_says_so(filled: OnlineStore) -> None:
    with pytest.raises(UnavailableError, match="empty"):
        OnlineLookup(filled, "spend")(["7"], NAMES, NOW)
    with pytest.raises(UnavailableError, match="other features"):
        OnlineLookup(filled, "churn")(["7"], [*NAMES, "frequency"], NOW)
