"""What a scoring route answers, and what it cannot, is counted by arm and kept when it closes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from keelway.core import SimulatedClock, digest_of
from keelway.errors import ServingError
from keelway.serve import RequestTally, Router, TallyKeeper, request_figures
from keelway.surfaces.scoring import ModelRoute, ScoringApp
from keelway.surfaces.scoring.metrics import ScoringMetrics
from keelway.testing.asgi import ReadyLog
from keelway.testing.serving import NOW, PROD, FixedScorer, ScorerShelf, ServedTraffic

GOOD = b'{"entity": "7", "features": {"recency_d": 1.5, "plan": "gold"}}'


class Failing(FixedScorer):
    """Answers nothing but the rows of nulls that warm it up."""

    def predictions(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        if any(value is not None for row in rows for value in row):
            raise ServingError("No answer")
        return super().predictions(rows)


async def posted(app: ScoringApp, body: bytes) -> int:
    """Return the status of the answer to one request."""
    statuses = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": [(b"content-type", b"application/json")]}
    await app(scope, receive, send)
    return int(statuses[0])


@pytest.mark.parametrize(("scorer", "status", "failed"), [(FixedScorer(0.5), 200, 0), (Failing(0.5), 502, 2)])
def test_requests_are_kept_with_their_arm_when_the_route_closes(
    tmp_path: Path, scorer: FixedScorer, status: int, failed: int
) -> None:
    traffic, clock = ServedTraffic(tmp_path), SimulatedClock(NOW)
    traffic.send(churn_1=100)
    tally = RequestTally(clock)
    router = Router("churn", PROD, state=traffic.state, load=ScorerShelf(churn_1=scorer).load)
    log: Any = ReadyLog()
    keeper = TallyKeeper("churn", PROD, tally=tally, state=traffic.state, clock=clock)
    route = ModelRoute(router, log=log, metrics=ScoringMetrics("churn", "prod", tally=tally), keeper=keeper)
    app = ScoringApp({"churn": route}, clock=clock)
    app.start()
    assert [asyncio.run(posted(app, body)) for body in (GOOD, GOOD, b"{}")] == [status, status, 422]
    app.close()

    with traffic.state.snapshot() as tx:
        (figures,) = request_figures("churn", PROD, since=NOW, tx=tx)
    assert (figures.requests, figures.failed) == (3, failed)
    (arm,) = figures.arms
    assert (arm.version, arm.arm, arm.failed, arm.answers) == ("churn:1", "stable", failed, 2 - failed)
    assert sum(arm.counts) == arm.answers
    assert arm.deployment == digest_of(router.loaded.deployment), "as the log names it"
