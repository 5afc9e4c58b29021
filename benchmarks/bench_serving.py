"""`keelway serve` in one run against `mlflow models serve`, BentoML, LitServe, FastAPI by hand and an empty ASGI endpoint.

All have the same fitted pipeline (12 numbers and 8 categories; a logistic regression, then 200 trees of LightGBM), serve on loopback
from one process (BentoML and LitServe add their own), and take turns under the same load generator, so that a busy moment hits all;
the middle of three rounds counts, but 64 requests of 1,000 rows at once have one round. LitServe puts requests together.
Keelway is the command as a user starts it, with schema check, prediction log, sealing and metrics on; afterwards its log is counted
against its answers. `keelway_python` is the same pipeline answering in a process of its own, as any Python model can. A peer that
cannot be started or does not answer is named with the reason. Peers live in an environment of their own: KEELWAY_BENCH_PEER names
its folder of programs.

    make bench NAME=serving                             all, about five minutes
    make bench NAME=serving ARGS=--quick                one short round
    make bench NAME=serving ARGS='--only keelway empty'

Processor time and memory are those of a server's process and of all that it started.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from _figures import Figure, report
from _house import served, write_settings
from _programs import START_S, NotStartedError, first_json, free_port, post, started, usage, wait_for
from _scoring import ENVIRONMENT, MODEL, ScoringProject, compact, make_project

HERE = Path(__file__).parent
KINDS = ("logistic", "lightgbm")
FLOOR, OURS, PYTHON, MLFLOW = "empty", "keelway", "keelway_python", "mlflow"
SERVERS = (FLOOR, OURS, PYTHON, MLFLOW, "bentoml", "litserve", "fastapi")
TITLES = {
    FLOOR: "an empty ASGI endpoint", OURS: "keelway", PYTHON: "keelway, Python", MLFLOW: "mlflow models serve",
    "bentoml": "BentoML", "litserve": "LitServe", "fastapi": "FastAPI by hand",
}  # fmt: skip
CASES = ((1, 1), (1, 64), (1000, 1), (1000, 64))  # rows of a request, connections
AIMS = {
    (OURS, "rate", 1, 64): ">= 5,000 and >= 150 x MLflow",
    (OURS, "p99", 1, 64): "<= 25 ms on a quiet machine",
    (OURS, "p50", 1000, 1): "<= 20 ms",
    (PYTHON, "rate", 1, 64): ">= 1,000",
}
HEAVY = 10_000  # rows under way; such a case has one round, the last
COMPARED, TOLERANCE = 20, 1e-5  # so many answers of every server must agree


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers, and how it is asked.

    Attributes:
        bodies: By rows of a request, the file of bodies.
        numbers: Returns the probabilities in an answer; None where there are none.
    """

    name: str
    process: subprocess.Popen[str]
    port: int
    path: str
    bodies: dict[int, Path]
    numbers: Callable[[Any], list[float]] | None = None


@dataclass(slots=True)
class Rounds:
    """What the rounds of one server and case gave."""

    loads: list[dict[str, float]] = field(default_factory=list)
    failure: str = ""

    @property
    def middle(self) -> dict[str, float]:
        return sorted(self.loads, key=rate_of)[len(self.loads) // 2]


def rate_of(load: dict[str, float]) -> float:
    """Return answered requests a second."""
    return load["requests"] / load["seconds"]


@contextlib.contextmanager
def floor(folder: Path) -> Iterator[Server]:
    """Run the empty endpoint under the server that ours runs under."""
    with started([sys.executable, str(HERE / "_scoring.py")], folder=folder / FLOOR) as process:
        told = first_json(process, folder / FLOOR)
        bodies = {1: folder / "bodies.json", 1000: folder / "many.json"}
        yield Server(FLOOR, process, urlsplit(told["ready"]).port or 0, "/predict", bodies)


@contextlib.contextmanager
def ours(name: str, folder: Path, kind: str) -> Iterator[Server]:
    """Run `keelway serve` on a project."""
    write_settings(folder)
    with served(folder, kind=kind) as house:
        bodies = {1: folder / "bodies.json", 1000: folder / "many.json"}
        yield Server(name, house.process, house.port, "/predict", bodies, _of_ours)


def _of_ours(answer: Any) -> list[float]:
    return [each["probability"] for each in answer.get("predictions", [answer])]


@contextlib.contextmanager
def peer(name: str, folder: Path, programs: Path) -> Iterator[Server]:
    """Run a peer from its own environment.

    Raises:
        NotStartedError: It is not installed, or does not come to answer.
    """
    program = programs / {"fastapi": "uvicorn"}.get(name, name)
    if not program.exists():
        raise NotStartedError("It is not installed; `make bench` installs all peers in build/env-bench")
    home, port = folder / name, free_port()
    home.mkdir(exist_ok=True)
    variables = {
        "MLFLOW_DISABLE_TELEMETRY": "true", "BENTOML_DO_NOT_TRACK": "true", "DO_NOT_TRACK": "true", "HOME": str(home),
        "BENTOML_HOME": str(home), "PYTHONPATH": str(HERE), "PATH": f"{programs}:{os.environ['PATH']}",
        "KEELWAY_BENCH_SERVER": name, "KEELWAY_BENCH_FOLDER": str(folder),
    }  # fmt: skip
    is_mlflow = name == MLFLOW
    if is_mlflow:
        _save_for_mlflow(programs, folder, variables)
    bodies = _bodies_of_peer(folder, home, "dataframe_records" if is_mlflow else "rows")
    path = "/invocations" if is_mlflow else "/predict"
    with started(_command_of(name, folder, programs, port), folder=home, **variables) as process:
        wait_for(process, port, path, json.loads(bodies[1].read_text())[0], home)
        yield Server(name, process, port, path, bodies, _of_peer)


def _of_peer(answer: Any) -> list[float]:
    """Return the probabilities of BentoML (a list), MLflow (a pair a row), LitServe and FastAPI."""
    found = answer.get("predictions", answer.get("probabilities")) if isinstance(answer, dict) else answer
    return [each[1] if isinstance(each, list) else each for each in found]


def _command_of(name: str, folder: Path, programs: Path, port: int) -> list[str]:
    if name == MLFLOW:
        serve = [
            str(programs / "mlflow"),
            "models",
            "serve",
            "-m",
            str(folder / "mlflow-model"),
            "--env-manager",
            "local",
        ]
        return [*serve, "--port", str(port)]
    if name == "bentoml":
        serve = [str(programs / "bentoml"), "serve", "_peers:Scored", "--working-dir", str(HERE)]
        return [*serve, "--host", "127.0.0.1", "--port", str(port)]
    return [str(programs / "python"), str(HERE / "_peers.py"), str(port)]


def _bodies_of_peer(folder: Path, home: Path, key: str) -> dict[int, Path]:
    records = json.loads((folder / "records.json").read_text())
    found = {1: home / "bodies.json", 1000: home / "many.json"}
    found[1].write_text(json.dumps([compact({key: [record]}) for record in records]))
    found[1000].write_text(json.dumps([compact({key: records[:1000]})]))
    return found


def _save_for_mlflow(programs: Path, folder: Path, variables: dict[str, str]) -> None:
    made = subprocess.run(
        [programs / "python", HERE / "_mlflow_model.py", folder], cwd=folder, check=False, capture_output=True, text=True,
        timeout=START_S, env={**os.environ, **variables},
    )  # fmt: skip
    if made.returncode:
        raise NotStartedError(f"Its model could not be saved: {made.stderr[-1000:]}")


def loaded(server: Server, rows: int, connections: int, seconds: float) -> dict[str, float]:
    """Run the load generator in a process of its own, and add the processor time of the server.

    Raises:
        NotStartedError: The generator gave nothing.
    """
    command = [
        sys.executable, str(HERE / "_load.py"), "--port", str(server.port), "--path", server.path,
        "--bodies", str(server.bodies[rows]), "--connections", str(connections), "--seconds", str(seconds),
    ]  # fmt: skip
    before = usage(server.process.pid)
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=seconds + START_S)
    if done.returncode:
        raise NotStartedError(f"The load ended: {done.stderr[-500:]}")
    found: dict[str, float] = json.loads(done.stdout)
    found["server_cpu_s"] = usage(server.process.pid).cpu_s - before.cpu_s
    return found


def measured(servers: list[Server], *, rounds: int, seconds: float) -> dict[tuple[str, int, int], Rounds]:
    """Warm servers up and load them in turns; one that fails is left out of what follows."""
    found = {(each.name, *case): Rounds() for each in servers for case in CASES}
    for number in range(rounds + 1):
        for rows, connections in CASES:
            if rows * connections > HEAVY and number < rounds:
                continue  # whoever is slow takes long to answer what is under way in the end
            for each in servers:
                kept = found[each.name, rows, connections]
                if kept.failure:
                    continue
                try:
                    load = loaded(each, rows, connections, seconds if number else min(0.5, seconds))
                except (NotStartedError, subprocess.TimeoutExpired, OSError) as error:
                    kept.failure = str(error)
                    continue
                kept.loads.append({**load, "is_warm": float(number > 0)})
    return found


def count_logged(folder: Path) -> int:
    """Return how many predictions the ended server left sealed."""
    from keelway.serve import PredictionSegment

    project = ScoringProject(folder)
    with project.state.snapshot() as tx:
        segments = tx.newest(PredictionSegment, parent=f"{ENVIRONMENT}/{MODEL}")
    project.state.close()
    return sum(segment.count for segment in segments)


def of_kind(kind: str, folder: Path, wanted: Sequence[str], *, rounds: int, seconds: float) -> Iterator[Figure]:
    """Measure all servers with one kind of model."""
    home, away = folder / kind, folder / f"python-{kind}"
    for each, name in ((home, kind), (away, f"python-{kind}")):
        each.mkdir()
        if each == home or PYTHON in wanted:
            make_project(each, name)
    programs = Path(os.environ.get("KEELWAY_BENCH_PEER", Path(sys.executable).parent)).absolute()
    with contextlib.ExitStack() as stack:
        servers = []
        for name in wanted:
            try:
                if name == FLOOR:
                    servers.append(stack.enter_context(floor(home)))
                elif name in {OURS, PYTHON}:
                    made = ours(name, home if name == OURS else away, kind if name == OURS else f"python-{kind}")
                    servers.append(stack.enter_context(made))
                else:
                    servers.append(stack.enter_context(peer(name, home, programs)))
            except (NotStartedError, subprocess.TimeoutExpired, OSError) as error:
                yield Figure(f"serving.{kind}.{name}", None, f"{TITLES[name]}: {error}")
        _must_agree(servers)
        found = measured(servers, rounds=rounds, seconds=seconds)
        memory = {each.name: usage(each.process.pid).resident_mb for each in servers}
    yield from _figures(kind, [each.name for each in servers], found, memory)
    for name, project in ((OURS, home), (PYTHON, away)):
        if name in memory:
            yield _logged(kind, name, project, found)


def _must_agree(servers: list[Server]) -> None:
    """Refuse to compare servers that do not serve the same model."""
    answers = {}
    for each in servers:
        if each.numbers is not None:
            bodies = json.loads(each.bodies[1].read_text())[:COMPARED]
            answers[each.name] = [each.numbers(post(each.port, each.path, body))[0] for body in bodies]
    for name, given in answers.items():
        first = next(iter(answers.values()))
        if max(abs(a - b) for a, b in zip(first, given, strict=True)) > TOLERANCE:
            raise SystemExit(f"{name} does not serve the same model")


def _logged(kind: str, name: str, folder: Path, found: dict[tuple[str, int, int], Rounds]) -> Figure:
    """Compare what the log holds with what was answered; requests that were refused are in neither."""
    answered = COMPARED + sum(
        rows * int(load["requests"]) for (of, rows, _), each in found.items() if of == name for load in each.loads
    )
    logged = count_logged(folder)
    return Figure(f"serving.{kind}.{name}.logged", logged, "predictions", "rows answered", logged / answered, "1")


def _figures(
    kind: str, names: list[str], found: dict[tuple[str, int, int], Rounds], memory: dict[str, float]
) -> Iterator[Figure]:
    """Yield what was found, ours against MLflow and everybody else against ours."""
    for rows, connections in CASES:
        cases = {name: _measures(found[name, rows, connections]) for name in names}
        for name in names:
            label = f"serving.{kind}.{rows}x{connections}.{name}"
            if failure := found[name, rows, connections].failure:
                yield Figure(label, None, f"{TITLES[name]}: {failure}")
                continue
            base = MLFLOW if name in {OURS, PYTHON} else OURS
            for measure, (value, unit) in cases[name].items():
                if measure in {"refused", "errors"} and not value:
                    continue
                if measure == "generator" and name not in {FLOOR, OURS}:
                    continue
                other = cases.get(base, {}).get(measure, (0.0, ""))[0]
                ratio = value / other if other else None
                aim = AIMS.get((name, measure, rows, connections), "")
                yield Figure(f"{label}.{measure}", value, unit, TITLES[base] if ratio else "", ratio, aim)
        if {OURS, FLOOR} <= cases.keys() and cases[OURS] and cases[FLOOR]:
            yield from _of_floor(f"serving.{kind}.{rows}x{connections}", cases, rows, connections)
    for name, value in memory.items():
        aim = "<= 200 MB" if name == OURS else ""
        base = MLFLOW if name == OURS else OURS
        ratio = value / memory[base] if base in memory else None
        yield Figure(f"serving.{kind}.{name}.resident", value, "MB", TITLES[base] if ratio else "", ratio, aim)


def _of_floor(label: str, cases: dict[str, Any], rows: int, connections: int) -> Iterator[Figure]:
    mine, least = cases[OURS], cases[FLOOR]
    ratio = mine["rate"][0] / least["rate"][0]
    aim = ">= 0.5" if (rows, connections) == (1, 64) else ""
    yield Figure(f"{label}.keelway_of_floor", mine["rate"][0], "requests/s", TITLES[FLOOR], ratio, aim)
    used = mine["cpu"][0] - least["cpu"][0]
    yield Figure(f"{label}.keelway_above_floor", used, "us of processor time a request")


def _measures(rounds: Rounds) -> dict[str, tuple[float, str]]:
    """Return the figures of the middle round."""
    kept = [load for load in rounds.loads if load["is_warm"]]
    if not kept or rounds.failure:
        return {}
    load = Rounds(kept).middle
    if not load["requests"]:
        rounds.failure = f"no answer; {load['errors']:.0f} errors, {load['refused']:.0f} answers of 503"
        return {}
    count = load["requests"]
    return {
        "rate": (rate_of(load), "requests/s"),
        "p50": (load["p50_ms"], "ms"),
        "p99": (load["p99_ms"], "ms"),
        "cpu": (load["server_cpu_s"] / count * 1e6, "us of processor time a request"),
        "generator": (load["cpu_s"] / load["seconds"], "of one processor, the load generator's share"),
        "refused": (sum(each["refused"] for each in rounds.loads), "answers of 503"),
        "errors": (sum(each["errors"] for each in rounds.loads), "errors"),
    }


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--only", nargs="+", choices=SERVERS, default=SERVERS)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    chosen = parser.parse_args()
    rounds, seconds = (1, 0.4) if chosen.quick else (3, 1.0)
    with tempfile.TemporaryDirectory() as folder:
        figures = [
            figure
            for kind in chosen.kinds
            for figure in of_kind(kind, Path(folder), chosen.only, rounds=rounds, seconds=seconds)
        ]
    report(figures, chosen.json)


if __name__ == "__main__":
    main()
