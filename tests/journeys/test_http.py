"""What a live server answers: to wrong requests, while traffic moves, and when it is ended."""

from __future__ import annotations

import json
import signal

import pytest

RELEASE = ("--as", "sp:release", "--token", "file:.keelway/secrets/sp-release.token")
WRONG = {
    "empty": b"",
    "malformed": b"{",
    "no object": b"[]",
    "null": b"null",
    "wrong types": b'{"entity": 1, "features": "x"}',
    "NaN": b'{"entity": "1", "features": {"recency_d": NaN}}',
    "Infinity": b'{"entity": "1", "features": {"recency_d": 1e999}}',
    "duplicate keys": b'{"entity": "1", "entity": "2", "features": {}}',
    "not UTF-8": b'{"entity": "\xff\xfe"}',
    "deeply nested": b"[" * 100_000,
    "oversized": b" " * 2_000_001,
    "too many rows": json.dumps({"instances": [{}] * 1001}).encode(),
}


def test_a_wrong_request_is_told_and_never_breaks_the_server(live) -> None:
    server = live.serve()
    for name, body in WRONG.items():
        status, data = server.ask("/predict", body)
        assert 400 <= status < 500, name
        assert {"error", "expected", "found"} <= json.loads(data).keys(), name
    assert server.ask("/healthz")[0] == server.ask("/readyz")[0] == 200
    assert b"keelway_requests" in server.ask("/metrics")[1]
    assert server.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_every_acknowledged_prediction_is_found_after_the_end(live, number: int) -> None:
    server = live.serve()
    rows = live.rows(20)
    answers = [json.loads(server.ask("/predict", json.dumps(row))[1]) for row in rows]
    assert all(answer["logged"] for answer in answers)
    server.stop(number)
    if number == signal.SIGKILL:
        assert live.serve().stop() == 0
    for answer in (answers[0], answers[-1]):
        live("prove", f"prediction:{answer['prediction_id']}", "--out", str(live.root / "p.json"))
