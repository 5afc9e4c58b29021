"""What cannot be logged is answered with a mark or refused, as declared; what was acknowledged as logged is found again."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keelway.core import PrincipalId, SimulatedClock, SystemClock
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.local.journal import MOST_HELD, FileJournals
from keelway.engines.sql import SqlState
from keelway.errors import StorageError, UnavailableError
from keelway.serve import JournalLog, SealingPorts, answer_rows, prediction_table, seal_journals
from keelway.serve.log import MOST_WAITING, SEAL_LINES
from keelway.surfaces.scoring import ScoringApp
from keelway.testing.asgi import AsgiClient, ReadyLog, route_of
from keelway.testing.serving import NOW, FixedScorer, MemoryLog, ScorerShelf, ServedTraffic
from keelway.testing.serving import PROD as ENVIRONMENT

ANA = PrincipalId("user:ana")
BODY = {"entity": "7", "features": {"recency_d": 1.5, "plan": "gold"}}
SHELF = ScorerShelf(churn_1=FixedScorer(0.25))


def client_of(traffic: ServedTraffic, log: Any) -> AsgiClient:
    route = route_of(traffic, SHELF, log=log)
    return AsgiClient(ScoringApp({"churn": route}, clock=SimulatedClock(NOW)))


@pytest.fixture
def traffic(tmp_path: Path) -> ServedTraffic:
    made = ServedTraffic(tmp_path)
    made.send(churn_1=100)
    return made


@pytest.mark.parametrize("path", ["/predict", "/invocations", "/v2/models/churn/infer"])
def test_where_it_is_refused_nobody_gets_an_answer_that_is_not_logged(traffic: ServedTraffic, path: str) -> None:
    log = ReadyLog(refuses=True)
    client = client_of(traffic, log)
    inputs = [
        {"name": "recency_d", "shape": [1], "datatype": "FP64", "data": [1]},
        {"name": "plan", "shape": [1], "datatype": "BYTES", "data": ["gold"]},
    ]
    bodies = {"/predict": BODY, "/invocations": {"dataframe_records": [BODY["features"]]}}
    body = bodies.get(path, {"inputs": inputs})
    assert client.post(path, body).status == 200
    log.full = True
    refused = client.post(path, body)
    assert (refused.status, b"retry-after" in refused.headers) == (503, True)
    assert "0.25" not in refused.body.decode()
    assert client.get("/readyz").status == 503
    log.full = False
    assert client.post(path, body).status == 200
    assert len(log.lines) == 2


def test_where_it_is_answered_the_answer_says_that_it_is_not_logged(traffic: ServedTraffic) -> None:
    log = ReadyLog()
    client = client_of(traffic, log)
    log.full = True
    assert client.post("/predict", BODY).json["logged"] is False


def test_a_refused_request_raises_before_anything_goes_back(traffic: ServedTraffic) -> None:
    log = MemoryLog(refuses=True)
    log.full = True
    loaded = route_of(traffic, SHELF).router.loaded
    with pytest.raises(UnavailableError, match="not logged is not answered"):
        answer_rows([("7", NOW, [1.0, "gold"])], loaded, log=log, at="2026-03-01T00:00:00Z")


def log_in(folder: Path, state: Any, **more: Any) -> JournalLog:
    return JournalLog(
        "churn", environment="prod", journals=FileJournals(folder / "journals"),
        ports=SealingPorts(state, LocalArtifacts(folder / "artifacts"), ANA), clock=SystemClock(), **more,
    )  # fmt: skip


def sealed_ids(folder: Path, state: SqlState) -> list[str]:
    """Seal what a dead process left, and return the ids of every sealed prediction."""
    artifacts = LocalArtifacts(folder / "artifacts")
    seal_journals(FileJournals(folder / "journals"), ports=SealingPorts(state, artifacts, ANA), now=NOW)
    with state.snapshot() as tx:
        table = prediction_table("churn", ENVIRONMENT, columns=["prediction_id"], tx=tx, artifacts=artifacts)
    return sorted(table["prediction_id"].to_pylist())


def told_by_a_child(work: Callable[[], list[Any]]) -> list[Any]:
    """Do the work in a forked process, which is ended without mercy, and return what it told."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, json.dumps(work()).encode())
        finally:
            os._exit(9)
    os.close(writing)
    with os.fdopen(reading) as stream:
        told = json.load(stream)
    os.waitpid(child, 0)
    return list(told)


@pytest.mark.parametrize("refuses", [False, True], ids=["answer", "refuse"])
def test_on_a_disk_that_fills_up_every_acknowledged_prediction_is_kept(tmp_path: Path, refuses: bool) -> None:
    def serve() -> list[Any]:
        traffic = ServedTraffic(tmp_path)
        traffic.send(churn_1=100)
        client = client_of(traffic, log_in(tmp_path, traffic.state, refuses=refuses))
        resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, 6_000))
        answers = [client.post("/predict", BODY) for _ in range(30)]
        return [[each.status, each.json.get("logged"), each.json.get("prediction_id")] for each in answers]

    told = told_by_a_child(serve)
    kept = [prediction_id for status, logged, prediction_id in told if status == 200 and logged]
    lost = [(status, logged) for status, logged, _ in told if not (status == 200 and logged)]
    assert len(kept) > 5
    assert len(lost) > 5
    assert set(lost) == ({(503, None)} if refuses else {(200, False)})
    state = SqlState(f"sqlite:///{tmp_path / 'state.db'}")
    assert sealed_ids(tmp_path, state) == sorted(kept)
    state.close()


class DeadState:
    """A state that cannot be reached."""

    def transaction(self) -> Any:
        raise StorageError("The state cannot be reached")

    snapshot = transaction


def test_while_nothing_can_be_sealed_what_is_open_does_not_grow(tmp_path: Path) -> None:
    log = log_in(tmp_path, DeadState())
    line = b'{"prediction_id":"%032x"}\n'
    for number in range(MOST_WAITING + 20):
        assert log.append(b"".join(line % (number * SEAL_LINES + at) for at in range(SEAL_LINES)))
        with pytest.raises(StorageError):
            log.seal()
    assert log.append(line % 0)
    for _ in range(5):
        with pytest.raises(StorageError):
            log.seal()
    opened = [os.path.realpath(each) for each in Path("/proc/self/fd").iterdir()]
    assert sum(path.endswith(".journal") for path in opened) <= MOST_WAITING + 2
    assert len(list((tmp_path / "journals").iterdir())) == MOST_WAITING + 21, "one takes everything until it is full"
    log.close()


def test_more_journals_than_may_be_open_are_sealed_all_the_same(tmp_path: Path, traffic: ServedTraffic) -> None:
    log = log_in(tmp_path, traffic.state)
    client, ids = client_of(traffic, log), []
    for _ in range(MOST_HELD + 3):
        ids.append(client.post("/predict", BODY).json["prediction_id"])
        log._put_aside()
    for journal in log._waiting:
        journal.close()
    assert sealed_ids(tmp_path, traffic.state) == sorted(ids)
    assert list((tmp_path / "journals").iterdir()) == []


def test_a_damaged_journal_of_a_dead_process_holds_nobody_up(tmp_path: Path, traffic: ServedTraffic) -> None:
    dead = FileJournals(tmp_path / "journals").create("churn", "prod")
    dead.append(b"nonsense\n")
    dead.close()
    log = log_in(tmp_path, traffic.state)
    answer = client_of(traffic, log).post("/predict", BODY).json
    log.start()
    log.close()
    assert "is damaged" in log.seal_error
    with traffic.state.snapshot() as tx:
        found = prediction_table(
            "churn", "prod", columns=["prediction_id", "value"], tx=tx, artifacts=LocalArtifacts(tmp_path / "artifacts")
        )
    assert found.to_pylist() == [{"prediction_id": answer["prediction_id"], "value": 0.25}]
    assert len(list((tmp_path / "journals").iterdir())) == 1
