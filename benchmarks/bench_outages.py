"""What callers see of `keelway serve --workers 2`, and what its prediction log keeps, while a worker is killed, the store stops and the
disk is full: one run under load, one phase after the other.

    killed     SIGKILL to one worker
    stopped    nobody can write the database (another connection holds its lock), and the folder of artifacts is away
    full       the file system of the journals has no room left (a tmpfs of its own, which needs the right to mount one)

Every answer says of each prediction whether it was logged. In the end, after the server was asked to stop, the ids that were said to
be logged are compared with those that are sealed in the ledger.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from _figures import Figure, report
from _house import House, served, write_settings
from _scoring import ENVIRONMENT, MODEL, ScoringProject, make_project
from _watching_load import WatchingLoad
from bench_switching import bodies_of

CONNECTIONS, ROWS, SETTLE_S, PHASE_S = 8, 8, 3.0, 5.0
ROOM_MB = 256  # of the file system of the journals


@dataclass(frozen=True, slots=True)
class World:
    """The project and its running server."""

    folder: Path
    house: House


@contextlib.contextmanager
def killed(world: World) -> Iterator[None]:
    """Kill a worker; its supervisor starts another."""
    os.kill(world.house.workers[0], signal.SIGKILL)
    yield


@contextlib.contextmanager
def stopped(world: World) -> Iterator[None]:
    """Keep everybody from writing the database and the artifacts."""
    artifacts, away = world.folder / "artifacts", world.folder / "artifacts.away"
    holder = sqlite3.connect(world.folder / "state.db", timeout=30, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    artifacts.rename(away)
    artifacts.write_bytes(b"")
    try:
        yield
    finally:
        artifacts.unlink()
        away.rename(artifacts)
        holder.execute("ROLLBACK")
        holder.close()


@contextlib.contextmanager
def full(world: World) -> Iterator[None]:
    """Fill what is left of the journals' file system."""
    ballast = world.folder / "journals" / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb") as file:
        while True:
            file.write(b"\0" * (1 << 16))
            file.flush()
    try:
        yield
    finally:
        ballast.unlink()


PHASES: dict[str, Callable[[World], contextlib.AbstractContextManager[None]]] = {
    "killed": killed,
    "stopped": stopped,
    "full": full,
}


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[str]:
    """Give the journals a file system of their own; yield why that cannot be."""
    journals = folder / "journals"
    journals.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM_MB}m", "keelway-bench", str(journals)]
    try:
        made = subprocess.run(command, check=False, capture_output=True, text=True)
        problem = made.stderr.strip() if made.returncode else ""
    except OSError as error:
        problem = str(error)
    try:
        yield problem
    finally:
        if not problem:
            subprocess.run(["umount", str(journals)], check=False, capture_output=True)


def measure(folder: Path) -> Iterator[Figure]:
    """Yield what callers saw, phase by phase, and what was kept."""
    with small_disk(folder) as problem:
        with served(folder, workers=2) as house:
            load = WatchingLoad(house.port, bodies_of(folder, ROWS), connections=CONNECTIONS)
            load.start()
            time.sleep(SETTLE_S)
            for name, phase in PHASES.items():
                if name == "full" and problem:
                    yield Figure(f"outages.{name}", None, f"no file system of its own: {problem}")
                    continue
                yield from _phase(name, phase, World(folder, house), load)
            load.stop()
        yield from _kept(folder, load)
    yield Figure("outages.mixed_batches", load.mixed, "answers", aim="0")


def _phase(
    name: str, phase: Callable[[World], contextlib.AbstractContextManager[None]], world: World, load: WatchingLoad
) -> Iterator[Figure]:
    begun = time.monotonic()
    with phase(world):
        time.sleep(PHASE_S)
    over = time.monotonic()
    time.sleep(SETTLE_S)
    ended = time.monotonic()
    answers, errors = load.answers_between(begun, over), load.errors_between(begun, over)
    share = errors / max(1, answers + errors)
    aim = "0" if name != "killed" else "only those that were with the killed one"
    yield Figure(f"outages.{name}_errors", errors, "requests without an answer", "all requests", share, aim)
    yield Figure(f"outages.{name}_answers", answers, f"answers of {ROWS} rows in {over - begun:.1f} s", aim="> 0")
    unlogged = sum(begun <= at < over for at in load.unlogged)
    yield Figure(f"outages.{name}_unlogged", unlogged, "predictions that were said not to be logged")
    late = load.errors_between(over + 1.0, ended), sum(over + 1.0 <= at < ended for at in load.unlogged)
    yield Figure(f"outages.{name}_errors_afterwards", late[0], "requests, from 1 s after its end", aim="0")
    yield Figure(f"outages.{name}_unlogged_afterwards", late[1], "predictions, from 1 s after its end", aim="0")


def _kept(folder: Path, load: WatchingLoad) -> Iterator[Figure]:
    """Compare what callers were told with what the ledger holds."""
    from keelway.serve import predictions

    project = ScoringProject(folder)
    with project.state.snapshot() as tx:
        found = predictions(tx, artifacts=project.artifacts, model=MODEL, environment=ENVIRONMENT)
        sealed = [each.prediction_id for each in found]
    project.state.close()
    lost, twice = len(load.logged - set(sealed)), len(sealed) - len(set(sealed))
    yield Figure("outages.logged", len(load.logged), "predictions that were said to be logged")
    yield Figure(
        "outages.lost",
        lost,
        "of them that are not sealed",
        "those that were said to be logged",
        lost / max(1, len(load.logged)),
        "0",
    )
    yield Figure("outages.sealed_twice", twice, "predictions", aim="0")


def main() -> None:
    """Measure and report; end with status 1 where a prediction is lost or sealed twice, or a batch mixed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_project(folder)
        write_settings(folder)
        figures = list(measure(folder))
    report(figures, chosen.json)
    broken = {"outages.lost", "outages.sealed_twice", "outages.mixed_batches"}
    raise SystemExit(any(each.value for each in figures if each.name in broken))


if __name__ == "__main__":
    main()
