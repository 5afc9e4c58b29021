"""Requests a second and waiting times of `keelway serve`, against `mlflow models serve` and an empty ASGI endpoint.

Each serves on loopback from one process, with the same bodies from the same load generator, and they take turns, so
that a busy moment hits all; the middle of three rounds counts. The two that have a model have the same pipeline. Keelway's prediction log, metrics, schema check and sealing are on, and the log is counted
afterwards. MLflow lives in an environment of its own: KEELWAY_BENCH_PEER names its folder of programs.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from _figures import Figure, report
from _scoring import ENVIRONMENT, MODEL, ScoringProject, make_project

HERE = Path(__file__).parent
CONNECTIONS = (1, 64)
ROUNDS, SECONDS, WARM_SECONDS, MOST = 3, 1.5, 1.0, 200_000
START_S, STOP_S = 90.0, 20.0
COMPARED = 20  # answers that both servers must agree on
TOLERANCE = 1e-5
PEER, FLOOR = "mlflow models serve", "an empty ASGI endpoint"


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers, and how it is asked."""

    name: str
    process: subprocess.Popen[str]
    port: int
    path: str
    bodies: Path

    def first_answers(self) -> list[Any]:
        """Return what it answers to the first bodies."""
        return [post(self.port, self.path, body) for body in json.loads(self.bodies.read_text())[:COMPARED]]


@dataclass(frozen=True, slots=True)
class Measured:
    """How one server did: the middle round for each number of connections, its memory, and all it answered."""

    loads: dict[int, dict[str, float]]
    rss_mb: float
    answered: int

    def rate(self, connections: int) -> float:
        """Return answered requests a second."""
        return rate_of(self.loads[connections])


def rate_of(load: dict[str, float]) -> float:
    """Return answered requests a second."""
    return load["requests"] / load["seconds"]


@contextlib.contextmanager
def started(command: list[str], *, folder: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Run a server in a process group of its own, and end the group whatever happens."""
    with (folder / "errors.txt").open("a") as errors:
        server = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True,
            env={**os.environ, **variables},
        )  # fmt: skip
    try:
        yield server
    finally:
        end(server)


def end(server: subprocess.Popen[str]) -> None:
    """Ask the group to end, and make it."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(STOP_S)
    if server.stdout is not None:
        server.stdout.close()


def measured(servers: list[Server]) -> dict[str, Measured]:
    """Warm servers up and load them in turns."""
    warm = {each.name: [loaded(each, connections, WARM_SECONDS) for connections in CONNECTIONS] for each in servers}
    rounds: dict[tuple[str, int], list[dict[str, float]]] = {}
    for _ in range(ROUNDS):
        for connections in CONNECTIONS:
            for each in servers:
                rounds.setdefault((each.name, connections), []).append(loaded(each, connections, SECONDS))
    found = {}
    for each in servers:
        loads = {count: sorted(rounds[each.name, count], key=rate_of)[ROUNDS // 2] for count in CONNECTIONS}
        asked = [*warm[each.name], *(load for count in CONNECTIONS for load in rounds[each.name, count])]
        answered = int(sum(load["requests"] for load in asked))
        found[each.name] = Measured(loads, resident_mb(each.process.pid), answered)
    return found


def loaded(server: Server, connections: int, seconds: float) -> dict[str, float]:
    """Run the load generator in a process of its own."""
    command = [
        sys.executable, str(HERE / "_load.py"), "--port", str(server.port), "--path", server.path,
        "--bodies", str(server.bodies), "--connections", str(connections), "--seconds", str(seconds),
        "--most", str(MOST),
    ]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + START_S)
    found: dict[str, float] = json.loads(done.stdout)
    if found["errors"]:
        raise SystemExit(f"{found['errors']} of {found['requests']} answers of {server.name} were no answers")
    return found


def resident_mb(group: int) -> float:
    """Return the resident memory of all processes of a process group (Linux)."""
    total = 0
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.getpgid(int(entry.name)) == group:
                total += int((entry / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total / 1e6


def post(port: int, path: str, body: str) -> Any:
    """Return the JSON answer to one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_S)
    try:
        connection.request("POST", path, body, {"content-type": "application/json"})
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


@contextlib.contextmanager
def of_own(role: str, folder: Path) -> Iterator[Server]:
    """Run one of our two servers."""
    with started([sys.executable, str(HERE / "_scoring.py"), role, str(folder)], folder=folder) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"{role} did not start: {(folder / 'errors.txt').read_text()[-2000:]}")
        yield Server(role, process, urlsplit(json.loads(line)["ready"]).port or 0, "/predict", folder / "bodies.json")


@contextlib.contextmanager
def of_mlflow(folder: Path) -> Iterator[Server | None]:
    """Run MLflow with the same pipeline; yield None where it is not installed."""
    programs = Path(os.environ.get("KEELWAY_BENCH_PEER", Path(sys.executable).parent)).absolute()
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "PATH": f"{programs}:{os.environ['PATH']}"}
    if not (programs / "mlflow").exists() or not _mlflow_model(programs, folder, quiet):
        yield None
        return
    bodies, port = folder / "mlflow-bodies.json", free_port()
    records = json.loads((folder / "records.json").read_text())
    bodies.write_text(json.dumps([json.dumps({"dataframe_records": [record]}) for record in records]))
    command = [str(programs / "mlflow"), "models", "serve", "-m", "mlflow-model", "--env-manager", "local"]
    with started([*command, "--port", str(port)], folder=folder, **quiet) as process:
        wait_for(process, port, folder)
        yield Server("mlflow", process, port, "/invocations", bodies)


def _mlflow_model(programs: Path, folder: Path, variables: dict[str, str]) -> bool:
    made = subprocess.run(
        [programs / "python", HERE / "_mlflow_model.py", folder],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
    )
    if made.returncode:
        sys.stderr.write(f"{made.stderr[-1000:]}\n")
    return made.returncode == 0


def free_port() -> int:
    """Return a port of loopback that nobody uses now."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


def wait_for(server: subprocess.Popen[str], port: int, folder: Path) -> None:
    """Wait until MLflow answers."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/ping")
            if connection.getresponse().status == http.HTTPStatus.OK:
                return
        time.sleep(0.2)
    raise SystemExit(f"MLflow did not start: {(folder / 'errors.txt').read_text()[-2000:]}")


def count_logged(folder: Path) -> int:
    """Return how many predictions the ended server left sealed."""
    from keelway.serve import PredictionSegment

    project = ScoringProject(folder)
    with project.state.snapshot() as tx:
        segments = tx.newest(PredictionSegment, parent=f"{ENVIRONMENT}/{MODEL}")
    project.state.close()
    return sum(segment.count for segment in segments)


def measure(folder: Path) -> list[Figure]:
    """Return the figures of serving."""
    make_project(folder)
    with contextlib.ExitStack() as stack:
        floor, ours = (stack.enter_context(of_own(role, folder)) for role in ("empty", "keelway"))
        peer = stack.enter_context(of_mlflow(folder))
        found = measured([floor, ours, *([peer] if peer else [])])
        answers = [answer["probability"] for answer in ours.first_answers()]
        peers = [answer["predictions"][0][1] for answer in peer.first_answers()] if peer else answers
    if max(abs(a - b) for a, b in zip(answers, peers, strict=True)) > TOLERANCE:
        raise SystemExit("The two servers do not serve the same model")
    answered = found["keelway"].answered + len(answers)
    logged = count_logged(folder)
    return [
        *_rates("keelway", found["keelway"], found.get("mlflow"), aim=True),
        Figure("serving.keelway_logged", logged, "predictions", "answers", logged / answered, "1"),
        *_of_floor(found["keelway"], found["empty"]),
        *(
            _rates("mlflow", found["mlflow"])
            if peer
            else [Figure("serving.mlflow", None, "mlflow absent; make bench installs it in build/env-bench")]
        ),
        *_rates("empty", found["empty"]),
    ]


def _rates(name: str, found: Measured, peer: Measured | None = None, *, aim: bool = False) -> Iterator[Figure]:
    to = PEER if aim else ""
    for connections in CONNECTIONS:
        label = f"serving.{name}_{connections}"
        rate = found.rate(connections)
        ratio = rate / peer.rate(connections) if peer else None
        yield Figure(label, rate, "requests/s", to, ratio, ">= 50" if aim and connections > 1 else "")
        for quantile in ("p50_ms", "p99_ms"):
            value = found.loads[connections][quantile]
            ratio = value / peer.loads[connections][quantile] if peer else None
            yield Figure(f"{label}_{quantile[:3]}", value, "ms", to, ratio)
    yield Figure(f"serving.{name}_rss", found.rss_mb, "MB", to, found.rss_mb / peer.rss_mb if peer else None)


def _of_floor(ours: Measured, floor: Measured) -> Iterator[Figure]:
    for connections in CONNECTIONS:
        rate = ours.rate(connections)
        label = f"serving.keelway_{connections}_of_floor"
        yield Figure(label, rate, "requests/s", FLOOR, rate / floor.rate(connections))


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report(measure(Path(folder)), arguments.json)


if __name__ == "__main__":
    main()
