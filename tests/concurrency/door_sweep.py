"""Kills each step at the door at one system call after another; runs as a process of its own, which has no threads.

python door_sweep.py FOLDER SERVER STEP... prints what was found, as JSON. SERVER is the URL of a PostgreSQL server's own
database, or `sqlite`. What is checked after each death: the ledger explains all that is there, and nothing is there
without its entry. Then the step is done again, and must lead to what it leads to when nobody dies.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from keelway.core import Action, Decision, PointerMove, Verdict, digest_of
from keelway.deploy import Deployment, current
from keelway.ledger import audit, decisions, record_decision
from keelway.promote import Admission, Approval, PromotionRequest, environment_pointer
from keelway.register import ModelVersion
from keelway.testing.crash import stride
from keelway.testing.forks import forked, preload
from keelway.testing.light import CI, KEY, PROD, START, D, LightDoor, make_bytes_up
from keelway.testing.syscalls import calls_by_thread, killed, points

FEW = {"register": 2, "approve": 2, "promote": 3, "rollback": 2, "pointer first": 4}
"""Calls of each step that are tried, spread evenly, unless KEELWAY_SWEEP_EVERY is 1: then all are."""
RECORDS = {
    Action.REGISTER: ModelVersion,
    Action.REQUEST: PromotionRequest,
    Action.APPROVE: Approval,
    Action.PROMOTE: Admission,
}


@dataclass
class Place:
    """Where a world lies that is copied for each death: a folder, and a database in it or on a server."""

    folder: Path
    server: str

    def url(self, name: str) -> str:
        if self.server == "sqlite":
            return f"sqlite:///{self.folder / name / 'state.db'}"
        return make_url(self.server).set(database=f"sweep_{name}").render_as_string(hide_password=False)

    def make(self, name: str, *, template: str = "") -> None:
        """Make a world, empty or as a copy."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        if template:
            shutil.copytree(self.folder / template, self.folder / name)
        else:
            (self.folder / name).mkdir(parents=True)
        if self.server != "sqlite":
            import psycopg

            with psycopg.connect(self.server, autocommit=True) as connection:
                connection.execute(f"DROP DATABASE IF EXISTS sweep_{name} WITH (FORCE)")
                wanted = f"sweep_{template}" if template else "template0"
                connection.execute(f"CREATE DATABASE sweep_{name} TEMPLATE {wanted} STRATEGY file_copy")

    def open(self, name: str) -> LightDoor:
        return LightDoor(self.folder / name, self.url(name))


def begun(door: LightDoor) -> None:
    """Register two versions; let the first one in, deploy both, and ask for the second."""
    door.register("one", START)
    door.register("two", START)
    two, one = door.versions()
    for number, version in enumerate((one, two)):
        door.request(f"ask {number}", START, version)
    door.approve("yes 0", START, one)
    door.promote("in 0", START, one)
    door.deploy("live 0", START, one)


def begun_twice(door: LightDoor) -> None:
    """Let the second version in as well, and give it the traffic."""
    begun(door)
    two, _ = door.versions()
    door.approve("yes 1", START, two)
    door.promote("in 1", START, two)
    door.deploy("live 1", START, two)


def approved(door: LightDoor) -> None:
    """Leave only the promotion of the second version."""
    begun(door)
    door.approve("yes 1", START, door.versions()[0])


def later() -> datetime:
    return START + timedelta(hours=1)


def roll_back(door: LightDoor) -> None:
    """Look first, as a person does whose command was cut short: a second rollback would go back further."""
    with door.state.snapshot() as tx:
        standing = current("churn", PROD, tx)
    if standing is None or standing.comment != "back":
        door.rollback("back", later())


def promote_pointer_first(door: LightDoor) -> None:
    """Let the second version in, wrongly: the pointer moves in a transaction of its own, before anything is recorded."""
    version = door.versions()[0]
    name = environment_pointer(PROD, "churn")
    with door.state.transaction() as tx:
        before = tx.pointer(name).target
        if before != digest_of(version):
            tx.move(name, before=before, after=digest_of(version), at=later())
    verdict = Verdict(True, (), ("all",), D, D)
    admission = Admission(version.name, digest_of(version), PROD, D, verdict, None, (), CI.id, later())
    with door.state.transaction() as tx:
        parent = f"{PROD}/{version.name}"
        tx.insert(f"{parent}/1", admission, parent=parent, at=later())
        moved = (PointerMove(name, before, digest_of(version)),)
        record_decision(Decision(Action.PROMOTE, version.name, True, CI.id, later(), moves=moved), tx=tx)


STEPS: dict[str, tuple[Callable[[LightDoor], object], Callable[[LightDoor], object]]] = {
    "register": (begun, lambda door: door.register("three", later())),
    "approve": (begun, lambda door: door.approve("yes", later(), door.versions()[0])),
    "promote": (approved, lambda door: door.promote("in", later(), door.versions()[0])),
    "rollback": (begun_twice, roll_back),
    "pointer first": (approved, promote_pointer_first),
}
"""What stands before a step, and the step."""


def faults(door: LightDoor) -> list[str]:
    """Return what does not hang together, whether or not a step was done."""
    found = [*audit(door.state, key=KEY.public, artifacts=door.artifacts).problems]
    with door.state.snapshot() as tx:
        told = Counter(decision.action for _, decision in decisions(tx) if decision.allowed)
        counted = {action: tx.count(kind) for action, kind in RECORDS.items()}
        deployments = tx.count(Deployment)
    found += [
        f"{told[action]} entries tell of {number} {action}"
        for action, number in counted.items()
        if told[action] != number
    ]
    if told[Action.DEPLOY] + told[Action.ROLLBACK] != deployments:
        found.append(f"{told[Action.DEPLOY] + told[Action.ROLLBACK]} entries tell of {deployments} deployments")
    return found


def outcome(door: LightDoor) -> list[Any]:
    """Return what a step leads to: the whole ledger and every pointer."""
    with door.state.snapshot() as tx:
        return [[data.decode() for _, data in tx.log.leaves()], [(each.name, each.target) for each in tx.pointers()]]


def sweep(place: Place, step: str) -> dict[str, Any]:
    """Kill a step at its calls, one after another; return how many died, and what went wrong."""
    prepare, work = STEPS[step]
    place.make("template")
    with closing(place.open("template")) as door:
        prepare(door)

    def done(name: str) -> None:
        with closing(place.open(name)) as door:
            work(door)

    place.make("whole", template="template")
    threads = calls_by_thread(lambda: done("whole"), place.folder / "calls.txt")
    with closing(place.open("whole")) as door:
        expected, wrong = outcome(door), [f"nobody died: {fault}" for fault in faults(door)]
    calls = points(threads)
    chosen = calls if stride() == 1 else calls[:: -(-len(calls) // FEW[step])]
    died = 0
    for at in chosen:
        place.make("killed", template="template")
        code = killed(lambda: done("killed"), at=at)
        died += code == -signal.SIGKILL
        if code not in (0, -signal.SIGKILL):  # the number of calls varies by one or two from run to run
            wrong.append(f"{at}: ended with {code}")
        with closing(place.open("killed")) as door:
            wrong += [f"{at}: {fault}" for fault in faults(door)]
        if forked(lambda: done("killed")) != 0:
            wrong.append(f"{at}: doing it again failed")
            continue
        with closing(place.open("killed")) as door:
            wrong += [f"{at}, done again: {fault}" for fault in faults(door)]
            if outcome(door) != expected:
                wrong.append(f"{at}: done again, it leads elsewhere")
    return {"calls": len(calls), "threads": len(threads), "swept": len(chosen), "died": died, "wrong": wrong}


def main(folder: str, server: str, *steps: str) -> None:
    make_bytes_up()
    place = Place(Path(folder), server)

    def everything() -> None:
        place.make("warm")
        with closing(place.open("warm")) as door:
            begun_twice(door)
            roll_back(door)
            faults(door)

    preload(everything)
    print(json.dumps({step: sweep(place, step) for step in steps}))


if __name__ == "__main__":
    main(*sys.argv[1:])
