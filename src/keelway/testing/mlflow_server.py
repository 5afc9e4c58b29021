"""Real MLflow servers for tests: full MLflow from an environment of its own, on loopback, over SQLite, ended by process.

def test_it(mlflow_server: Callable[[str], MlflowServer]) -> None:
tracker = MlflowTracker(mlflow_server("tracking").url)

The server caps libraries that Keelway has newer, so `KEELWAY_MLFLOW` names the Python of an environment that has it:

    make build/env-bench/.done
    KEELWAY_MLFLOW=build/env-bench/bin/python pytest tests/journeys/test_mlflow_servers.py
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "KEELWAY_MLFLOW"
START_WITHIN_S = 180
"""On two busy cores; a quiet machine takes ten seconds."""
STOP_WITHIN_S = 30
ENVIRONMENT = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}


@dataclass
class MlflowServer:
    """A server that can be stopped and started again: it keeps its port and what it holds.

    Attributes:
        python: Of the environment that has MLflow.
        folder: Where its database, artifacts and log lie.
        port: On 127.0.0.1.
    """

    python: str
    folder: Path
    port: int
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [
            *(self.python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}"),
            *("--artifacts-destination", str(self.folder / "artifacts")),
        ]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, env=_environment(), start_new_session=True
            )
        self._wait()

    def stop(self) -> None:
        """End it with its workers, which are its process group."""
        if self._process is None:
            return
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None

    def ask(self, path: str, body: Mapping[str, Any] | None = None, *, method: str = "") -> dict[str, Any]:
        """Call its REST interface as any other client would, and return the answer.

        Args:
            path: Below `/api/2.0/mlflow/`, with its query.
            body: Sent as JSON; None sends none.
            method: GET without and POST with a body, unless given.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.url}/api/2.0/mlflow/{path}",
            data=data,
            headers={"content-type": "application/json"},
            method=method or ("GET" if data is None else "POST"),
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            told: dict[str, Any] = json.loads(answer.read() or b"{}")
        return told

    def _wait(self) -> None:
        deadline = time.monotonic() + START_WITHIN_S
        while time.monotonic() < deadline and self._process is not None and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        self.stop()
        pytest.fail(f"MLflow did not start: {(self.folder / 'server.log').read_text(errors='replace')[-2000:]}")


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], MlflowServer]]:
    """Start servers by name for the tests of a module; skip them where full MLflow is to be had nowhere."""
    has_full = importlib.util.find_spec("mlflow") and importlib.util.find_spec("flask")
    python = PYTHON or (sys.executable if has_full else "")
    if not python:
        pytest.skip(f"{VARIABLE} names no Python that has full MLflow")
    started: dict[str, MlflowServer] = {}

    def server(name: str) -> MlflowServer:
        if name not in started:
            started[name] = MlflowServer(python, tmp_path_factory.mktemp(name), _free_port())
            started[name].start()
        return started[name]

    yield server
    for each in started.values():
        each.stop()


PYTHON = str(Path(os.environ[VARIABLE]).absolute()) if os.environ.get(VARIABLE) else ""
"""Read before a test takes Keelway's variables away."""


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PYTHONPATH"))}
    return {**kept, **ENVIRONMENT}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
