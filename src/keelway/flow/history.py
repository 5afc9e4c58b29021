"""Reads what the store knows of runs: which are open, how far each came, how it ended.

Records never change, so a step or a run that failed and was resumed has several: the success lies under the plain
key (`RUN/STEP`, `RUN`), each failure before it under that key with `#1`, `#2` and so on.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from keelway.core import Run, RunId, RunStarted, StepFinished
from keelway.errors import MissingRecordError
from keelway.flow.plan import Plan
from keelway.flow.records import RunView

if TYPE_CHECKING:
    from keelway.ledger import Transaction

Closing = TypeVar("Closing", Run, StepFinished)


def open_runs(tx: Transaction) -> list[RunStarted]:
    """Return the runs that were opened and never closed, newest first: running now, or interrupted."""
    started = tx.newest(RunStarted)
    unfinished = tx.missing(Run, [run.run_id for run in started])
    never_failed = tx.missing(Run, [failure_key(run_id, 1) for run_id in unfinished])
    return [run for run in started if failure_key(run.run_id, 1) in never_failed]


def run_view(run_id: RunId, *, tx: Transaction) -> RunView:
    """Return a run as it stands now.

    Raises:
        MissingRecordError: There is no such run.
    """
    started = started_run(run_id, tx=tx)
    plan = plan_of(started, tx=tx)
    steps = {step.name: last_closing(StepFinished, step_key(run_id, step.name), tx=tx) for step in plan.in_order()}
    return RunView(started, plan, steps, last_closing(Run, run_id, tx=tx))


def started_run(run_id: RunId, *, tx: Transaction) -> RunStarted:
    """Return the record that opened a run.

    Raises:
        MissingRecordError: There is no such run.
    """
    started = tx.find(RunStarted, run_id)
    if started is None:
        raise MissingRecordError(
            "There is no such run", expected="the id of a run", found=repr(run_id), fix="List them: keelway runs"
        )
    return started


def plan_of(started: RunStarted, *, tx: Transaction) -> Plan:
    """Return the stored plan that a run executes; its bytes are checked each time, and parsed once.

    Raises:
        MissingRecordError: It is not in the store.
    """
    found = tx.text_of(started.plan_digest)
    if found is None:
        raise MissingRecordError(
            f"The plan of run {started.run_id} is not stored", expected=started.plan_digest, found="nothing"
        )
    return _parsed(found[1])


@lru_cache(maxsize=32)
def _parsed(text: str) -> Plan:
    return Plan.from_json(text.encode())


def step_key(run_id: RunId, step: str) -> str:
    """Return the key under which the success of a step is stored."""
    return f"{run_id}/{step}"


def failure_key(key: str, number: int) -> str:
    """Return the key of the failure with that number, counted from 1."""
    return f"{key}#{number}"


def failures(kind: type[Closing], key: str, *, tx: Transaction) -> list[Closing]:
    """Return the failures under a key, oldest first."""
    found: list[Closing] = []
    while (failure := tx.find(kind, failure_key(key, len(found) + 1))) is not None:
        found.append(failure)
    return found


def last_closing(kind: type[Closing], key: str, *, tx: Transaction) -> Closing | None:
    """Return the success under a key, else the last failure, else None."""
    success = tx.find(kind, key)
    if success is not None:
        return success
    return next(reversed(failures(kind, key, tx=tx)), None)
