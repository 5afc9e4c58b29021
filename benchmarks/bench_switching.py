"""What callers see of `keelway serve --workers 2` while versions are switched and rolled back, a worker is killed, and the state
and the store are away: errors, answers by the wrong version, and how long a change takes to reach everybody.

A request is answered wrongly when it was sent more than 5 s after a change was acknowledged (its ledger entry was written) and
the version that was left answers it. Requests ask for 8 rows at once, so that a mixed batch would be seen.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from _figures import Figure, report
from _house import keelway, served, take_away, write_settings
from _scoring import ENVIRONMENT, MODEL, make_project, move_traffic, second_version
from _watching_load import WatchingLoad

ROUNDS, SETTLE_S, PROMISE_S, CONNECTIONS, ROWS = 4, 6.5, 5.0, 32, 8
ONE, TWO = f"{MODEL}:1", f"{MODEL}:2"


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_project(folder)
        second_version(folder)
        write_settings(folder, f'fallback = {{ {MODEL} = ["previous"] }}')
        report(measure(folder, chosen.rounds), chosen.json)


def measure(folder: Path, rounds: int) -> list[Figure]:
    """Return what callers saw."""
    bodies = bodies_of(folder, ROWS)
    with served(folder, workers=2) as house, loaded(house.port, bodies) as load:
        figures = [*switching(folder, load, rounds), *killing(load, house.workers[0])]
        figures += renewing(load, house.process.pid)
    mixed, answers, refused = load.mixed, len(load.answers), load.refused
    kinds = collections.Counter(what for _, what in load.errors)
    take_away(folder)
    with served(folder, workers=2) as house, loaded(house.port, bodies) as load:
        figures += away(folder, load)
    figures.append(Figure("switching.mixed_batches", mixed + load.mixed, "answers", aim="0"))
    kinds.update(what for _, what in load.errors)
    told = ", ".join(f"{count} {what}" for what, count in sorted(kinds.items())) or "none"
    figures.append(Figure("switching.refused", refused + load.refused, f"answers of 503; errors were: {told}"))
    figures.append(Figure("switching.answers", answers + len(load.answers), "answers of 8 rows"))
    return figures


def bodies_of(folder: Path, rows: int) -> list[str]:
    """Return requests for so many rows each."""
    instances = [json.loads(body) for body in json.loads((folder / "bodies.json").read_text())]
    return [json.dumps({"instances": instances[at : at + rows]}) for at in range(0, len(instances), rows)]


@contextlib.contextmanager
def loaded(port: int, bodies: list[str]) -> Iterator[WatchingLoad]:
    """Ask without end."""
    load = WatchingLoad(port, bodies, connections=CONNECTIONS)
    load.start()
    time.sleep(1.0)
    try:
        yield load
    finally:
        load.stop()


def switching(folder: Path, load: WatchingLoad, rounds: int) -> Iterator[Figure]:
    """Switch there and back, and look at who answers afterwards."""
    begun, longest, wrong, number = time.monotonic(), 0.0, 0, 0
    for number in range(rounds):
        new, old = (TWO, ONE) if number % 2 == 0 else (ONE, TWO)
        move_traffic(folder, new)
        acknowledged = time.monotonic()
        time.sleep(SETTLE_S)
        longest = max(longest, load.last_asked_of(old, acknowledged))
        wrong += sum(by == old and asked > acknowledged + PROMISE_S for asked, _, by in load.answers)
        load_of_round = load.answers_between(acknowledged, time.monotonic())
        if not load_of_round:
            raise SystemExit("Nobody answered while the traffic moved")
    yield Figure("switching.effective_everywhere", longest, "s after the ledger entry", aim="<= 5")
    yield Figure("switching.wrong_version", wrong, "answers", aim="0")
    yield Figure("switching.errors", load.errors_between(begun, time.monotonic()), "errors", aim="0")


def killing(load: WatchingLoad, pid: int) -> Iterator[Figure]:
    """Kill a worker under load."""
    begun = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    time.sleep(8.0)
    ended = time.monotonic()
    errors, answers = load.errors_between(begun, ended), load.answers_between(begun, ended)
    yield Figure("switching.killed_worker_errors", errors, "errors", "all answers of 8 s", errors / max(1, answers))
    yield Figure(
        "switching.killed_worker_errors_late", load.errors_between(begun + 1.0, ended), "errors 1 s later", aim="0"
    )


def away(folder: Path, load: WatchingLoad) -> Iterator[Figure]:
    """Roll back on this machine, while state and store were away since before the server started."""
    before = load.answers[-1][2]
    keelway(folder, "rollback", MODEL, "--env", ENVIRONMENT, "--offline", "--to", TWO if before == ONE else ONE)
    acknowledged = time.monotonic()
    time.sleep(SETTLE_S)
    late = sum(by == before and asked > acknowledged + PROMISE_S for asked, _, by in load.answers)
    yield Figure("switching.away_errors", len(load.errors), "errors", aim="0")
    yield Figure(
        "switching.away_rollback_effective", load.last_asked_of(before, acknowledged), "s after the command", aim="<= 5"
    )
    yield Figure("switching.away_wrong_version", late, "answers", aim="0")


def renewing(load: WatchingLoad, supervisor: int) -> Iterator[Figure]:
    """Start every worker anew, as after a change of settings."""
    begun = time.monotonic()
    os.kill(supervisor, signal.SIGHUP)
    time.sleep(15.0)
    errors = load.errors_between(begun, time.monotonic())
    answers = load.answers_between(begun, time.monotonic())
    yield Figure("switching.renewal_errors", errors, "connections lost", "all answers", errors / max(1, answers))


if __name__ == "__main__":
    main()
