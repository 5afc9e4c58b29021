"""`keelway serve` in one run against `mlflow models serve`, BentoML, LitServe, FastAPI by hand and an empty ASGI endpoint.

All have the same fitted pipeline (12 numbers and 8 categories; a logistic regression, then 200 trees of LightGBM), serve on loopback
from one process (BentoML and LitServe add their own), and take turns under the same load generator, so that a busy moment hits all;
the middle of five rounds counts, but 64 requests of 1,000 rows at once have one round; how the best round of ours went is told beside
it, and how fast this machine counted beside the loads, of its best: a machine that others use too has slow moments. BentoML and LitServe put requests
together, as their own guides have it.
Keelway is the command as a user starts it, with schema check, prediction log, sealing and metrics on; afterwards its log is counted
against its answers. `keelway_python` is the same pipeline answering in a process of its own, as any Python model can. A peer that
cannot be started, does not serve the same model or does not answer is named with the reason, and the others go on: a case in which
requests were left without an answer for 20 s is not tried again, and a server that answered nothing is asked nothing more. Peers
live in an environment of their own: KEELWAY_BENCH_PEER names its folder of programs.

    make bench NAME=serving                             all, about seven minutes a kind of model
    make bench NAME=serving ARGS=--quick                one short round without the heaviest case, about a minute a kind
    make bench NAME=serving ARGS='--only keelway empty'

What is being done is told on stderr. Ctrl-C ends all servers and reports what was measured until then.
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
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from _figures import Figure, report
from _house import served, write_settings
from _load import LAST_ANSWERS_S
from _programs import START_S, NotStartedError, ends_tidily, first_json, free_port, post, started, usage, wait_for
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
SPARE_S = 20.0  # for the load generator to start and to reckon, on a busy machine
BEGUN = time.monotonic()


@dataclass(frozen=True, slots=True)
class Effort:
    """How long is measured: rounds, how long the load of one lasts and that of warming up, and the cases."""

    rounds: int
    seconds: float
    warm_up_s: float
    cases: Sequence[tuple[int, int]]


FULL = Effort(5, 1.0, 0.5, CASES)
QUICK = Effort(1, 0.4, 0.2, CASES[:-1])


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
    """What the rounds of one server and case gave.

    Attributes:
        failure: Why there are no more of them.
    """

    loads: list[dict[str, Any]] = field(default_factory=list)
    failure: str = ""

    @property
    def is_given_up(self) -> bool:
        return bool(self.failure) or any(load["unanswered"] for load in self.loads)

    @property
    def kept(self) -> list[dict[str, Any]]:
        """The rounds that count: not the first, which warms up, unless it is the last as well."""
        answered = [load for load in self.loads if load["requests"]]
        return [load for load in answered if load["is_warm"]] or (answered if self.is_given_up else [])


def rate_of(load: dict[str, Any]) -> float:
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


def pace_s() -> float:
    """Return in how many seconds this machine counts to 100,000 now, the least of three times."""
    taken = []
    for _ in range(3):
        begun = time.perf_counter()
        for _ in range(100_000):
            pass
        taken.append(time.perf_counter() - begun)
    return min(taken)


def loaded(server: Server, rows: int, connections: int, seconds: float) -> dict[str, Any]:
    """Run the load generator in a process of its own; add the processor time of the server, and this machine's pace.

    Raises:
        NotStartedError: The generator gave nothing.
    """
    command = [
        sys.executable, str(HERE / "_load.py"), "--port", str(server.port), "--path", server.path,
        "--bodies", str(server.bodies[rows]), "--connections", str(connections), "--seconds", str(seconds),
    ]  # fmt: skip
    pace = pace_s()
    before, limit_s = usage(server.process.pid), seconds + LAST_ANSWERS_S + SPARE_S
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=limit_s)
    if done.returncode:
        raise NotStartedError(f"The load ended: {done.stderr[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    found["server_cpu_s"] = usage(server.process.pid).cpu_s - before.cpu_s
    found["pace_s"] = (pace + pace_s()) / 2
    return found


def measure(servers: list[Server], effort: Effort, found: dict[tuple[str, int, int], Rounds]) -> None:
    """Warm servers up and load them in turns; one that leaves a case without answers is left out of what follows."""
    found.update({(each.name, *case): Rounds() for case in effort.cases for each in servers})
    for number in range(effort.rounds + 1):
        for rows, connections in effort.cases:
            if rows * connections > HEAVY and number < effort.rounds:
                continue  # whoever is slow takes long to answer what is under way in the end
            for each in servers:
                if found[each.name, rows, connections].is_given_up:
                    continue
                turn = f"round {number} of {effort.rounds}" if number else "warming up"
                _tell(f"{turn}, {rows} x {connections}: {each.name}")
                _add_round(each, rows, connections, effort.seconds if number else effort.warm_up_s, number, found)


def _add_round(
    server: Server, rows: int, connections: int, seconds: float, number: int, found: dict[tuple[str, int, int], Rounds]
) -> None:
    """Load a server once; a case without any answer is not tried again, and a server that is silent not asked any more."""
    kept = found[server.name, rows, connections]
    try:
        load = loaded(server, rows, connections, seconds)
    except (NotStartedError, subprocess.TimeoutExpired, OSError) as error:
        kept.failure = str(error)
        return
    kept.loads.append({**load, "is_warm": number > 0})
    if load["requests"]:
        return
    kept.failure = f"no answer of status 200 to {rows} x {connections}: {_reasons([load])}"
    _tell(f"{server.name}: {kept.failure}")
    if load["unanswered"]:
        for (name, *_), each in found.items():
            if name == server.name:
                each.failure = each.failure or f"asked nothing more after {kept.failure}"


def _tell(text: str) -> None:
    print(f"{time.monotonic() - BEGUN:4.0f} s  {text}", file=sys.stderr, flush=True)


def _reasons(loads: list[dict[str, Any]]) -> str:
    """Return what else than answers some loads got, and how often each."""
    total = sum((Counter({"status 503": load["refused"]} | load["reasons"]) for load in loads), Counter[str]())
    return ", ".join(f"{what} {count}" for what, count in total.most_common())


def count_logged(folder: Path) -> int:
    """Return how many predictions the ended server left sealed."""
    from keelway.serve import PredictionSegment

    project = ScoringProject(folder)
    with project.state.snapshot() as tx:
        segments = tx.newest(PredictionSegment, parent=f"{ENVIRONMENT}/{MODEL}")
    project.state.close()
    return sum(segment.count for segment in segments)


def of_kind(kind: str, folder: Path, wanted: Sequence[str], effort: Effort) -> Iterator[Figure]:
    """Measure all servers with one kind of model; where somebody interrupts, yield what there is first."""
    home, away = folder / kind, folder / f"python-{kind}"
    for each, name in ((home, kind), (away, f"python-{kind}")):
        each.mkdir()
        if each == home or PYTHON in wanted:
            _tell(f"training {name}")
            make_project(each, name)
    found: dict[tuple[str, int, int], Rounds] = {}
    memory: dict[str, float] = {}
    interrupt: KeyboardInterrupt | None = None
    with contextlib.ExitStack() as stack:
        servers, problems = _started(kind, home, away, wanted, stack)
        yield from problems
        try:
            measure(servers, effort, found)
            memory |= {each.name: usage(each.process.pid).resident_mb for each in servers}
        except KeyboardInterrupt as error:
            interrupt = error
        _tell("ending all servers")
    yield from _figures(kind, [each.name for each in servers], found, memory)
    if interrupt is not None:
        raise interrupt
    for name, project in ((OURS, home), (PYTHON, away)):
        if name in memory:
            yield _logged(kind, name, project, found)


def _started(
    kind: str, home: Path, away: Path, wanted: Sequence[str], stack: contextlib.ExitStack
) -> tuple[list[Server], list[Figure]]:
    """Return the servers that came to answer and agree with each other, and why others are missing."""
    servers, problems = list[Server](), list[Figure]()
    answers: list[float] = []
    for name in wanted:
        _tell(f"starting {name}")
        try:
            server = stack.enter_context(_server(name, kind, home, away))
            answers = _agreed(server, answers)
            servers.append(server)
        except (NotStartedError, subprocess.TimeoutExpired, OSError, ValueError) as error:
            _tell(f"{name} is left out: {error}")
            problems.append(Figure(f"serving.{kind}.{name}", None, f"{TITLES[name]}: {error}"))
    return servers, problems


def _server(name: str, kind: str, home: Path, away: Path) -> contextlib.AbstractContextManager[Server]:
    if name == FLOOR:
        return floor(home)
    if name in {OURS, PYTHON}:
        return ours(name, home if name == OURS else away, kind if name == OURS else f"python-{kind}")
    return peer(name, home, Path(os.environ.get("KEELWAY_BENCH_PEER", Path(sys.executable).parent)).absolute())


def _agreed(server: Server, first: list[float]) -> list[float]:
    """Return what the first server answered, which every other has to agree with; the answers of this one where there is none.

    Raises:
        ValueError: It serves another model, or an answer is not one of status 200 in JSON.
    """
    if server.numbers is None:
        return first
    bodies = json.loads(server.bodies[1].read_text())[:COMPARED]
    given = [server.numbers(post(server.port, server.path, body))[0] for body in bodies]
    if max(abs(a - b) for a, b in zip(first or given, given, strict=True)) > TOLERANCE:
        raise ValueError(f"it does not serve the same model: expected {first[:3]}, found {given[:3]}")
    return first or given


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
    for rows, connections in dict.fromkeys(key[1:] for key in found):
        cases = {name: _measures(found[name, rows, connections]) for name in names}
        for name in names:
            label = f"serving.{kind}.{rows}x{connections}.{name}"
            if failure := found[name, rows, connections].failure:
                yield Figure(label + (".more_rounds" if cases[name] else ""), None, f"{TITLES[name]}: {failure}")
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
            if name in {OURS, PYTHON}:
                yield from _best(label, found[name, rows, connections])
        if {OURS, FLOOR} <= cases.keys() and cases[OURS] and cases[FLOOR]:
            yield from _of_floor(f"serving.{kind}.{rows}x{connections}", cases, rows, connections)
    paces = sorted(load["pace_s"] for each in found.values() for load in each.kept)
    if paces:
        middle = paces[0] / paces[len(paces) // 2]
        yield Figure(
            f"serving.{kind}.pace", middle, "of its best, how fast this machine counted beside the middle load"
        )
    for name, value in memory.items():
        aim = "<= 200 MB" if name == OURS else ""
        base = MLFLOW if name == OURS else OURS
        ratio = value / memory[base] if base in memory else None
        yield Figure(f"serving.{kind}.{name}.resident", value, "MB", TITLES[base] if ratio else "", ratio, aim)


def _best(label: str, rounds: Rounds) -> Iterator[Figure]:
    """Yield how the best of several rounds went."""
    if len(rounds.kept) > 1:
        load = max(rounds.kept, key=rate_of)
        told = {"rate": (rate_of(load), "requests/s"), "p50": (load["p50_ms"], "ms"), "p99": (load["p99_ms"], "ms")}
        yield from (Figure(f"{label}.best_{measure}", value, unit) for measure, (value, unit) in told.items())


def _of_floor(label: str, cases: dict[str, Any], rows: int, connections: int) -> Iterator[Figure]:
    mine, least = cases[OURS], cases[FLOOR]
    ratio = mine["rate"][0] / least["rate"][0]
    aim = ">= 0.5" if (rows, connections) == (1, 64) else ""
    yield Figure(f"{label}.keelway_of_floor", mine["rate"][0], "requests/s", TITLES[FLOOR], ratio, aim)
    used = mine["cpu"][0] - least["cpu"][0]
    yield Figure(f"{label}.keelway_above_floor", used, "us of processor time a request")


def _measures(rounds: Rounds) -> dict[str, tuple[float, str]]:
    """Return the figures of the middle round, and how many requests of all rounds went wrong."""
    if not rounds.kept:
        return {}
    load = sorted(rounds.kept, key=rate_of)[len(rounds.kept) // 2]
    count = load["requests"]
    return {
        "rate": (rate_of(load), "requests/s"),
        "p50": (load["p50_ms"], "ms"),
        "p99": (load["p99_ms"], "ms"),
        "cpu": (load["server_cpu_s"] / count * 1e6, "us of processor time a request"),
        "generator": (load["cpu_s"] / load["seconds"], "of one processor, the load generator's share"),
        "refused": (sum(each["refused"] for each in rounds.loads), "answers of 503"),
        "errors": (sum(each["errors"] for each in rounds.loads), f"errors ({_reasons(rounds.loads)})"),
    }


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--only", nargs="+", choices=SERVERS, default=SERVERS)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    chosen = parser.parse_args()
    ends_tidily()
    effort = QUICK if chosen.quick else FULL
    with tempfile.TemporaryDirectory() as name:
        found = (figure for kind in chosen.kinds for figure in of_kind(kind, Path(name), chosen.only, effort))
        try:
            report(found, chosen.json)
        except KeyboardInterrupt:
            raise SystemExit("Interrupted; all servers have been ended") from None


if __name__ == "__main__":
    main()
