"""A Spark to run contracts on, where the packages for it are installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """Ibis on a Spark Connect server without a JVM, in this process."""
    pytest.importorskip("pysail", reason="pysail is not installed")
    pytest.importorskip("pyspark", reason="pyspark-client is not installed")
    import ibis
    from pysail.spark import SparkConnectServer
    from pyspark.sql import SparkSession

    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    _, port = server.listening_address
    session = SparkSession.builder.remote(f"sc://127.0.0.1:{port}").getOrCreate()
    session.conf.set("spark.sql.session.timeZone", "UTC")
    yield ibis.pyspark.connect(session)
    session.stop()
    server.stop()
