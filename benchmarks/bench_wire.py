"""Microseconds of computing to read and check a request of 20 fields in each protocol, against `json.loads` of the same body.

json.loads checks nothing; ours gives rows in the model's order and refuses what is unknown, missing, repeated or wrong.
The middle of several rounds counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import struct
import time
from collections.abc import Callable
from datetime import UTC, datetime
from statistics import median
from typing import Any

from _figures import Figure, report

from keelway.features import FeatureColumn
from keelway.serve import RequestSchema
from keelway.serve.wire import CsvReader, InferenceReader, InvocationReader, WireLimits, packed, unpacked

NUMBERS, CATEGORIES = 14, 6
ROUNDS, CALLS = 7, 3_000
MANY = 1_000
NOW = datetime(2026, 3, 1, tzinfo=UTC)
FEATURES = tuple(
    [FeatureColumn(f"number_{at}", "numeric") for at in range(NUMBERS)]
    + [FeatureColumn(f"category_{at}", "categorical") for at in range(CATEGORIES)]
)
ROW = {each.name: 1234.5 + at if each.kind == "numeric" else f"level {at}" for at, each in enumerate(FEATURES)}
LIMITS = WireLimits()


def microseconds(run: Callable[[], Any], calls: int = CALLS) -> float:
    """Return the middle of several rounds, a call."""
    found = []
    for _ in range(ROUNDS):
        begun = time.thread_time()
        for _ in range(calls):
            run()
        found.append((time.thread_time() - begun) / calls * 1e6)
    return median(found)


def binary_request() -> tuple[bytes, int]:
    """Return a request of one row whose tensors come as bytes, and how much of it is JSON."""
    inputs, tail = [], b""
    for each in FEATURES:
        value = ROW[each.name]
        data = struct.pack("<d", value) if each.kind == "numeric" else _text(str(value))
        datatype = "FP64" if each.kind == "numeric" else "BYTES"
        size = {"binary_data_size": len(data)}
        inputs.append({"name": each.name, "shape": [1], "datatype": datatype, "parameters": size})
        tail += data
    text = json.dumps({"inputs": inputs}).encode()
    return text + tail, len(text)


def _text(value: str) -> bytes:
    return struct.pack("<I", len(value)) + value.encode()


def tensors() -> bytes:
    """Return the same request with its tensors in JSON."""
    inputs = [
        {
            "name": each.name, "shape": [1], "data": [ROW[each.name]],
            "datatype": "FP64" if each.kind == "numeric" else "BYTES",
        }
        for each in FEATURES
    ]  # fmt: skip
    return json.dumps({"inputs": inputs}).encode()


def figures() -> list[Figure]:
    """Measure everything."""
    named = RequestSchema(FEATURES, limits=LIMITS)
    invocations = InvocationReader(FEATURES, limits=LIMITS)
    inference = InferenceReader(FEATURES, limits=LIMITS)
    csv = CsvReader(FEATURES, invocations, limits=LIMITS)
    one = json.dumps({"entity": "00042", "features": ROW}).encode()
    split = json.dumps({"dataframe_split": {"columns": list(ROW), "data": [list(ROW.values())]}}).encode()
    records = json.dumps({"dataframe_records": [ROW]}).encode()
    v2, (raw, size) = tensors(), binary_request()
    table = (",".join(ROW) + "\n" + ",".join(map(str, ROW.values())) + "\n").encode()
    many = json.dumps({"instances": [{"entity": "00042", "features": ROW}] * MANY}).encode()
    many_split = json.dumps({"dataframe_split": {"columns": list(ROW), "data": [list(ROW.values())] * MANY}}).encode()
    found = [
        _figure("/predict, 1 row", one, lambda: named.read(one, now=NOW), aim="<= 3 us; ratio <= 0.3"),
        _figure("/invocations, split, 1 row", split, lambda: invocations.read(split, now=NOW)),
        _figure("/invocations, records, 1 row", records, lambda: invocations.read(records, now=NOW)),
        _figure("v2, JSON, 1 row", v2, lambda: inference.read(v2, json_bytes=None, now=NOW)),
        _figure("v2, bytes, 1 row", raw[:size], lambda: inference.read(raw, json_bytes=size, now=NOW)),
        _figure("/predict, 1,000 rows", many, lambda: named.read(many, now=NOW), calls=5),
        _figure("/invocations, split, 1,000 rows", many_split, lambda: invocations.read(many_split, now=NOW), calls=5),
        Figure("CSV, 1 row", microseconds(lambda: csv.read(table, now=NOW)), "us"),
    ]
    zipped = packed(many)
    found.append(Figure("gzip, pack 1,000 rows", microseconds(lambda: packed(many), 5), "us"))
    unpack = microseconds(lambda: unpacked(zipped, "gzip", most=len(many)), 5)
    found.append(Figure("gzip, unpack 1,000 rows", unpack, "us"))
    return [*found, asyncio.run(_app())]


def _figure(name: str, body: bytes, read: Callable[[], Any], *, calls: int = CALLS, aim: str = "") -> Figure:
    ours, floor = microseconds(read, calls), microseconds(lambda: json.loads(body), calls)
    return Figure(f"read and check {name}", ours, "us", ratio_to="json.loads", ratio=ours / floor, aim=aim)


async def _app() -> Figure:
    """Measure the whole app without a socket: from an ASGI scope to the answer that is sent."""
    import tempfile
    from pathlib import Path

    from keelway.core import SystemClock
    from keelway.surfaces.scoring import ScoringApp
    from keelway.testing.asgi import route_of
    from keelway.testing.serving import FixedScorer, ScorerShelf, ServedTraffic

    class SilentLog:
        healthy, refuses, seal_error = True, False, ""

        def append(self, _lines: bytes) -> bool:
            return True

    body = json.dumps({"entity": "00042", "features": ROW}).encode()
    with tempfile.TemporaryDirectory() as folder:
        traffic = ServedTraffic(Path(folder))
        traffic.send(churn_1=100)
        shelf = ScorerShelf(churn_1=FixedScorer(0.25, FEATURES))
        log: Any = SilentLog()
        app = ScoringApp({"churn": route_of(traffic, shelf, log=log)}, clock=SystemClock())
        headers = [
            (b"host", b"localhost"), (b"content-type", b"application/json"), (b"content-length", b"600"),
            (b"accept-encoding", b"gzip"), (b"user-agent", b"bench"),
        ]  # fmt: skip
        scope = {"type": "http", "method": "POST", "path": "/predict", "headers": headers}

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(_message: Any) -> None:
            return None

        found = []
        for _ in range(ROUNDS):
            begun = time.thread_time()
            for _ in range(CALLS):
                await app(scope, receive, send)
            found.append((time.thread_time() - begun) / CALLS * 1e6)
    return Figure("the whole app, without socket and model", median(found), "us", aim="<= 60 us")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    report(figures(), parser.parse_args().json)


if __name__ == "__main__":
    main()
