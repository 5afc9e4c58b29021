"""Several clients at one door, killed at random: they register, ask, approve, promote, deploy, roll back and read.

Each client is a process with a seed of its own and a file for each of its lives, in which it notes an operation before
it begins and after it was told the outcome, on the disk each time. `drive` starts them, kills them and starts them
again; `judge` reads the files and the ledger, and asks the checker for one order that explains everything.

    python -m keelway.testing.clients FOLDER sqlite:////tmp/state.db OPERATIONS KILLS SEED
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from keelway.core import Action
from keelway.engines.sql import SqlState
from keelway.errors import ConflictError, MissingRecordError, RefusedError, UsageError
from keelway.ledger import audit, decisions
from keelway.register import ModelVersion
from keelway.testing.forks import preload
from keelway.testing.history import Entry, Operation, check
from keelway.testing.light import KEY, SOME, LightDoor, make_bytes_up

CLIENTS = 8
WEIGHTS = {"register": 1, "request": 3, "approve": 3, "promote": 4, "deploy": 3, "rollback": 2, "read": 4}
"""How often a client does what, in parts of their sum."""
LONGEST_PAUSE_S = 0.25
"""Between two kills, at most."""


class Notes:
    """The file of one life of one client."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, **told: object) -> None:
        """Put a line on the disk."""
        os.write(self._file, json.dumps(told).encode() + b"\n")
        os.fsync(self._file)


def drive(folder: Path, url: str, *, operations: int, kills: int, seed: int, clients: int = CLIENTS) -> dict[str, Any]:
    """Let clients work until so many operations were told an outcome and so many clients killed; return what was found.

    Args:
        folder: An empty one.
        url: An empty state database; another than the one in the folder.
    """
    make_bytes_up()
    preload(lambda: live(folder / "warm", f"sqlite:///{folder / 'warm.db'}", "warm", 0, seed, only=20))
    dice, began = random.Random(seed), time.monotonic()
    lives = dict.fromkeys(map(str, range(clients)), 0)
    running = {client: _start(folder / "run", url, client, 0, seed) for client in lives}
    killed = failed = ended = 0
    while killed < kills or ended < operations:
        time.sleep(dice.uniform(0, LONGEST_PAUSE_S))
        ended = _ended(folder / "run")
        client = dice.choice(sorted(lives))
        if killed < kills * ended / operations:  # in step with the work, however fast the machine is
            os.kill(running[client], signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(running[client], 0)[1])
            killed, failed = killed + (status == -signal.SIGKILL), failed + (status > 0)
            lives[client] += 1
            running[client] = _start(folder / "run", url, client, lives[client], seed)
    (folder / "run" / "stop").touch()
    failed += sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0 for child in running.values())
    seconds = time.monotonic() - began
    return {**judge(folder / "run", url), "kills": killed, "failed": failed, "seconds": round(seconds, 1)}


def live(folder: Path, url: str, client: str, life: int, seed: int, *, only: int | None = None) -> None:
    """Work until the file `stop` is there, or for so many operations; begins with what the life before left undone."""
    folder.mkdir(parents=True, exist_ok=True)
    dice = random.Random(f"{seed} {client} {life}")
    notes = Notes(folder / f"{client}.{life}.notes")
    with closing(LightDoor(folder, url)) as door:
        for name in _unfinished(folder / f"{client}.{life - 1}.notes"):
            act(door, "register", name, client, dice, notes)
        for number in range(only) if only is not None else count():
            if (folder / "stop").exists():
                return
            kind = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            act(door, kind, f"{client}.{life}.{number}", client, dice, notes)


def act(door: LightDoor, kind: str, name: str, client: str, dice: random.Random, notes: Notes) -> None:
    """Do one operation, and note it before and after."""
    versions = door.versions()
    if len(versions) < SOME:
        kind = "register"
    chosen = () if kind in ("register", "rollback") else (dice.choice(versions),)
    notes.write(name=name, kind=kind, began=time.monotonic_ns())
    told: dict[str, object] = {}
    try:
        if kind == "read":
            size, pointers = door.read()
            told = {"outcome": "read", "size": size, "pointers": pointers}
        else:
            changed = getattr(door, kind)(name, moment(client), *chosen)
            told = {"outcome": "done" if changed else "nothing"}
    except RefusedError:
        told = {"outcome": "refused"}
    except ConflictError:
        told = {"outcome": "conflict"}
    except (MissingRecordError, UsageError):  # nobody asked for it, or there is nothing to go back to
        told = {"outcome": "nothing"}
    notes.write(name=name, ended=time.monotonic_ns(), **told)


def moment(client: str) -> datetime:
    """Return the time, which no other client can have: its last digit is the client's."""
    now = datetime.now(UTC)
    own = int(client) if client.isdigit() else CLIENTS
    return now - timedelta(microseconds=now.microsecond % 10 - own)


def judge(folder: Path, url: str) -> dict[str, Any]:
    """Return what contradicts the ledger's order, with counts of what happened."""
    operations = [*_operations(folder)]
    with closing(SqlState(url)) as state:
        problems = [*audit(state, key=KEY.public).problems]
        with state.snapshot() as tx:
            entries = [*_entries(tx)]
            numbers = sorted(version.number for version in tx.newest(ModelVersion))
    if numbers != [*range(1, len(numbers) + 1)]:
        problems.append(f"the versions are numbered {numbers}")
    outcomes = Counter(f"{each.kind} {each.outcome}" for each in operations)
    return {
        "operations": len(operations),
        "entries": len(entries),
        "outcomes": dict(sorted(outcomes.items())),
        "problems": problems + check(operations, entries),
    }


def _start(folder: Path, url: str, client: str, life: int, seed: int) -> int:
    """Begin a life of a client in a child, and return its process."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            live(folder, url, client, life, seed)
            code = 0
        except Exception:  # noqa: BLE001 - the process ends here, and its parent counts it as failed
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


def _ended(folder: Path) -> int:
    return sum(path.read_bytes().count(b'"ended"') for path in folder.glob("*.notes"))


def _lines(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a life; the last one may have been cut short."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def _unfinished(path: Path) -> list[str]:
    """Return the registration that a life did not end, which can be repeated under its name."""
    lines = _lines(path)
    return [lines[-1]["name"]] if lines and lines[-1].get("kind") == "register" else []


def _operations(folder: Path) -> Iterator[Operation]:
    """Yield what all clients know; what was repeated began with its first try and ended with its last."""
    begun: dict[str, tuple[str, float]] = {}
    told: dict[str, dict[str, Any]] = {}
    for path in folder.glob("*.notes"):
        for line in _lines(path):
            if "began" in line:
                earlier = begun.get(line["name"], (line["kind"], math.inf))
                begun[line["name"]] = line["kind"], min(earlier[1], line["began"])
            else:
                told[line.pop("name")] = line
    for name, (kind, began) in begun.items():
        yield Operation(name, kind, began, **{"ended": math.inf, "outcome": "killed", **told.get(name, {})})


def _entries(tx: Any) -> Iterator[Entry]:
    """Yield what the ledger tells, by the names of the operations."""
    for index, decision in decisions(tx):
        name = decision.comment
        if decision.action is Action.REGISTER:
            name = tx.by_digest(ModelVersion, decision.evidence["version"]).run_id
        moves = tuple((move.name, move.before, move.after) for move in decision.moves)
        yield Entry(index, name, decision.allowed, moves)


def main(words: list[str]) -> None:
    """Drive clients as the words say, and print what was found."""
    folder, url, operations, kills, seed = words
    found = drive(Path(folder), url, operations=int(operations), kills=int(kills), seed=int(seed))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
