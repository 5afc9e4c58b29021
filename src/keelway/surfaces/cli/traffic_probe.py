"""Starts `keelway serve` as a user would, sends requests on loopback, and measures how long the answers took."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from keelway.core import time_text
from keelway.errors import ServingError

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Latency:
    """How the requests went; times in milliseconds, one client, one request at a time."""

    requests: int
    errors: int
    p50_ms: float
    p99_ms: float
    by_version: dict[str, int]


def send_requests(project: Path, model: str, rows: Sequence[dict[str, Any]], *, now: datetime) -> Latency:
    """Serve a model in a process of its own, send it rows one by one, and end it.

    Raises:
        ServingError: The server did not start, or did not stop.
    """
    command = [sys.executable, "-m", "keelway", "serve", model, "--port", "0", "--json", "--project", str(project)]
    with tempfile.TemporaryFile("w+") as told:
        server = subprocess.Popen([*command, "--now", time_text(now)], stdout=subprocess.PIPE, stderr=told, text=True)
        try:
            return _measure(_address(server, told), rows)
        finally:
            _end(server)


def _address(server: subprocess.Popen[str], told: IO[str]) -> str:
    """Return the address that the server prints when it is ready (the JSON it prints spans several lines)."""
    assert server.stdout is not None
    watchdog = threading.Timer(START_TIMEOUT_S, server.kill)  # a silent server ends the reading below
    watchdog.start()
    text = ""
    try:
        for line in server.stdout:
            text += line
            if line.rstrip() == "}":
                return str(json.loads(text)["ready"])
    finally:
        watchdog.cancel()
    told.seek(0)
    raise ServingError("The server did not start", expected="a line that it is ready", found=told.read().strip()[-500:])


def _end(server: subprocess.Popen[str]) -> None:
    server.send_signal(signal.SIGTERM)
    try:
        server.communicate(timeout=STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        server.kill()
        server.communicate()
        raise ServingError("The server did not stop", expected=f"an end within {STOP_TIMEOUT_S:g} s") from error


def _measure(address: str, rows: Sequence[dict[str, Any]]) -> Latency:
    host = urlsplit(address)
    connection = http.client.HTTPConnection(host.hostname or "127.0.0.1", host.port)
    times, errors, versions = [], 0, dict[str, int]()
    for row in rows:
        body = json.dumps(row)
        begun = time.perf_counter()
        connection.request("POST", "/predict", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        data = answer.read()
        times.append((time.perf_counter() - begun) * 1000)
        if answer.status == http.HTTPStatus.OK:
            version = str(json.loads(data)["version"])
            versions[version] = versions.get(version, 0) + 1
        else:
            errors += 1
    connection.close()
    ordered = sorted(times)
    return Latency(
        requests=len(rows),
        errors=errors,
        p50_ms=ordered[len(ordered) // 2] if ordered else 0.0,
        p99_ms=ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] if ordered else 0.0,
        by_version=versions,
    )
