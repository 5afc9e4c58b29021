"""Work on versions in processes of its own: what dies, and what races.

delta-rs does not live through a fork, so a process that uses it is forked from a fresh server that never did. What
runs there has to be importable, and therefore stands here.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from keelway.contract import CheckedBatch
from keelway.core import digest_of
from keelway.errors import ConflictError
from keelway.ingest import Batch, loaded_pointer
from keelway.snapshot import newest, snapshots
from keelway.testing.crash import CrashingArtifacts, CrashingState, CrashingTables, CrashPoint
from keelway.testing.versions import HOUR, START, Versions

END_WITHIN_S = 120


def exit_code_of(function: Callable[..., object], *arguments: object) -> int:
    """Run a function of this module in a process of its own and return how it ended."""
    (code,) = exit_codes_of([(function, *arguments)])
    return code


def exit_codes_of(calls: Sequence[tuple[Callable[..., object], *tuple[Any, ...]]]) -> list[int]:
    """Run functions of this module at once, each in a process of its own, and return how they ended."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    started: list[BaseProcess] = []
    for function, *arguments in calls:
        made: BaseProcess = context.Process(target=function, args=tuple(arguments), daemon=True)
        made.start()
        started.append(made)
    for process in started:
        process.join(END_WITHIN_S)
        if process.exitcode is None:
            process.kill()
            process.join()
    return [process.exitcode if process.exitcode is not None else -1 for process in started]


def dying(root: Path, at: int) -> tuple[Versions, CrashPoint]:
    """Open a dataset whose every port may die at the chosen instant."""
    orders, crash = Versions.open(root), CrashPoint(at)
    ports = {
        "state": CrashingState(orders.state, crash),
        "tables": CrashingTables(orders.tables, crash),
        "artifacts": CrashingArtifacts(orders.artifacts, crash),
    }
    return orders.through(**ports), crash


def vacuum_and_die(root: Path, at: int) -> None:
    """Vacuum a dataset and die at an instant."""
    dying(root, at)[0].vacuum()


def compact_and_die(root: Path, at: int) -> None:
    """Compact a dataset and die at an instant."""
    orders, _ = dying(root, at)
    orders.now = START + 10 * HOUR
    orders.compact()


def widen_and_die(root: Path, at: int) -> None:
    """Add a batch that widens a type and brings a column, and die at an instant."""
    orders, _ = dying(root, at)
    orders.now = START + 10 * HOUR
    orders.take(pending_wide(orders))


def pending_wide(orders: Versions) -> CheckedBatch:
    """Return the last checked batch, storing it first where it is not there yet."""
    with orders.state.snapshot() as tx:
        number = tx.count(Batch, parent=orders.name)
        stored = tx.find(CheckedBatch, f"{orders.name}/{number:06d}")
    if stored is not None and stored.columns.get("plan"):
        return stored
    row = {"customer": "late", "amount": 0.5, "plan": "gold"}
    return Versions.open(orders.root).checked([row], amount="double", plan="string")


def outcome(root: Path) -> tuple[object, ...]:
    """Return what the newest version of a dataset is, and whether everything hangs together."""
    orders = Versions.open(root)
    with orders.state.snapshot() as tx:
        last = newest(orders.name, tx)
        ids = [digest_of(each) for each in snapshots(orders.name, tx)]
        entries = tx.log.size()
    assert last is not None
    files = [path.name for path in orders.read(last)]
    assert sorted(files) == orders.tables.files(orders.name, last.table_version) == orders.tables.files(orders.name)
    rows = orders.rows(last)
    orders.state.close()
    return ids, entries, files, rows


def load_what_waits(root: Path, gate: Path, told: Path) -> None:
    """Wait for the gate, then take batch after batch, going on after every lost race; tell how many were won."""
    orders = Versions.open(root)
    _pass(gate)
    won = 0
    while (waiting := _waiting(orders)) is not None:
        orders.now = mine = START + HOUR * waiting.rows_in + timedelta(microseconds=os.getpid())
        try:
            won += orders.take(waiting).taken_at == mine
        except ConflictError:
            continue
    told.write_text(str(won))


def take_the_same(root: Path, gate: Path, told: Path) -> None:
    """Wait for the gate, take the batch that is pending, and tell whether this process won, lost or came late."""
    orders = Versions.open(root)
    with orders.state.snapshot() as tx:
        number = tx.count(Batch, parent=orders.name)
        checked = tx.get(CheckedBatch, f"{orders.name}/{number:06d}")
    orders.now = START + HOUR * os.getpid()
    mine = orders.now
    _pass(gate)
    try:
        taken = orders.take(checked)
    except ConflictError:
        told.write_text("lost")
    else:
        told.write_text("won" if taken.taken_at == mine else "late")


def read_until(root: Path, rows: int, told: Path) -> None:
    """Read the newest version over and over until it has so many rows; every read has to be whole."""
    orders = Versions.open(root)
    until = time.monotonic() + END_WITHIN_S
    reads = seen = 0
    while seen < rows:
        assert time.monotonic() < until
        with orders.state.snapshot() as tx:
            last = newest(orders.name, tx)
        if last is None:
            continue
        amounts = [row["amount"] for row in orders.rows(last)]
        assert len(amounts) == last.rows == len(set(amounts)) >= seen
        reads, seen = reads + 1, len(amounts)
    told.write_text(str(reads))


def _pass(gate: Path) -> None:
    until = time.monotonic() + END_WITHIN_S
    while not gate.exists():
        assert time.monotonic() < until
        time.sleep(0.001)


def _waiting(orders: Versions) -> CheckedBatch | None:
    """Return the batch that is to be taken next, or None."""
    with orders.state.snapshot() as tx:
        held = tx.pointer(loaded_pointer(orders.name))
        number = tx.by_digest(Batch, held.target).number + 1 if held else 1
        return tx.find(CheckedBatch, f"{orders.name}/{number:06d}")
