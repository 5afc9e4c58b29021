"""A real S3 server, and a proxy in front of it that makes it misbehave."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from keelway.engines.obstore import Patience
from keelway.testing.faults import FaultProxy
from keelway.testing.seaweed import SeaweedServer, seaweed

__all__ = ["seaweed"]

HASTE = Patience(retries=3, first_pause_s=0.01, longest_pause_s=0.05, connect_timeout_s=2, read_timeout_s=0.4)
"""Nobody wants to wait for a test."""


@pytest.fixture
def haste() -> Patience:
    return HASTE


@pytest.fixture
def proxy(seaweed: SeaweedServer) -> Iterator[FaultProxy]:
    with FaultProxy(seaweed.port) as standing:
        yield standing
