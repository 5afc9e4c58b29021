"""Whatever faults come in whatever order, an ingest from S3 is whole or not at all, and whole in the end."""

from __future__ import annotations

import obstore
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keelway.core import digest_bytes
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.obstore import Patience, StoreObjects, open_store
from keelway.engines.sql import SqlState
from keelway.errors import SourceError
from keelway.ingest import Batch, SeenFile, WaitReason, pull
from keelway.testing.faults import Fault, FaultProxy
from keelway.testing.seaweed import SeaweedServer
from keelway.testing.shop import ANA, NOW, ORDERS

TODAY = NOW.replace(year=2100)
FILES = {f"raw/orders/dt=1997-01-0{day}/orders.csv": b"row of day %d\n" % day * 1000 for day in range(1, 6)}
BRIEF = Patience(retries=1, first_pause_s=0.001, longest_pause_s=0.01, connect_timeout_s=1, read_timeout_s=0.15)
"""So little patience that some scripts are more than it can bear."""


@pytest.fixture(scope="module")
def bucket(seaweed: SeaweedServer) -> str:
    name = seaweed.bucket()
    store = open_store(f"s3://{name}", seaweed.options)
    for path, data in FILES.items():
        obstore.put(store.client, path, data)
    return name


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(st.one_of(st.none(), st.sampled_from(Fault)), min_size=1, max_size=8))
def test_a_pull_is_whole_or_not_at_all_and_whole_in_the_end(
    seaweed: SeaweedServer, bucket: str, tmp_path_factory: pytest.TempPathFactory, script: list[Fault | None]
) -> None:
    root = tmp_path_factory.mktemp("world")
    state, artifacts = SqlState(f"sqlite:///{root}/state.db"), LocalArtifacts(root / "artifacts")

    with FaultProxy(seaweed.port) as proxy:
        store = open_store(f"s3://{bucket}", seaweed.options | {"endpoint": proxy.endpoint}, patience=BRIEF)
        proxy.next(*script)
        for _ in range(len(script) + 1):  # each attempt that fails uses up a fault at least
            try:
                pulled = pull(
                    ORDERS, source=StoreObjects(store), state=state, artifacts=artifacts, now=TODAY, actor=ANA
                )
            except SourceError:
                with state.snapshot() as tx:
                    assert (tx.count(Batch), tx.count(SeenFile)) == (0, 0)
            else:
                break
        else:
            pytest.fail("an ingest without faults did not succeed")
    assert pulled.batch is not None
    assert WaitReason.CHANGED not in pulled.waits
    assert {file.name: file.digest for file in pulled.batch.files} == {
        name: digest_bytes(data) for name, data in FILES.items()
    }
    assert all(artifacts.get(file.digest) == FILES[file.name] for file in pulled.batch.files)
    with state.snapshot() as tx:
        assert (tx.count(Batch), tx.count(SeenFile)) == (1, len(FILES))
    state.close()
