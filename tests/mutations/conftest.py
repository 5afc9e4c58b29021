"""The two weeks of the feed that every trial begins with a copy of."""

from __future__ import annotations

import pytest

from keelway.testing.trials import FeedWorld


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> FeedWorld:
    return FeedWorld.open(tmp_path_factory.mktemp("feed"))
