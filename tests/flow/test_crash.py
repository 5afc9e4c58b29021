"""A run that is killed with SIGKILL anywhere is carried on with, and no finished step is executed again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from keelway.core import Action, Run, RunStarted, RunStatus, StepFinished
from keelway.flow import Context, Plan, open_runs, run_plan
from keelway.ledger import decisions
from keelway.testing.flow import Diary, note_step, step_context

if TYPE_CHECKING:
    from keelway.ledger import StateStore, Transaction

PLAN = Plan("crash", (note_step("a"), note_step("b", "a"), note_step("c", "a"), note_step("d", "b", "c")))
TRANSACTIONS = 2 + len(PLAN.steps)  # opening, one a step, closing
BOUNDARIES = ("before", "inside", "after")


class KillingState:
    """A state store that kills its process at one boundary of one of its transactions."""

    def __init__(self, inner: StateStore, number: int, boundary: str) -> None:
        self._inner = inner
        self._target = (number, boundary)
        self._opened = 0

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Open a transaction; the process may not see its end."""
        self._opened += 1
        self._reach("before")
        with self._inner.transaction() as tx:
            yield tx
            self._reach("inside")
        self._reach("after")

    def snapshot(self) -> object:
        """Open a reading transaction."""
        return self._inner.snapshot()

    def close(self) -> None:
        """Close the store."""
        self._inner.close()

    def _reach(self, boundary: str) -> None:
        if (self._opened, boundary) == self._target:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def empty_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a state database whose tables are made, so that each case need not."""
    folder = tmp_path_factory.mktemp("empty")
    step_context(folder).state.close()
    return folder


def in_a_child(work: Callable[[], object]) -> int:
    """Do the work in a forked process; return the signal that ended it, or 0."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def killed_run(root: Path, number: int, boundary: str) -> None:
    context = step_context(root)
    killing = KillingState(context.state, number, boundary)
    run_plan(PLAN, context=replace(context, state=killing), workers=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("number", range(1, TRANSACTIONS + 1))
def test_a_killed_run_is_resumed_without_repeating_finished_steps(
    number: int, boundary: str, empty_state: Path, tmp_path: Path
) -> None:
    root = tmp_path / "project"
    shutil.copytree(empty_state, root)
    assert in_a_child(lambda: killed_run(root, number, boundary)) == signal.SIGKILL
    context = step_context(root)
    finished_before = finished_steps(context)
    lines_before = Diary(root).lines()
    carry_on(context)
    again = Diary(root).lines()[len(lines_before) :]
    assert not set(again) & finished_before
    assert set(again) | finished_before == {"a", "b", "c", "d"}
    assert len(again) == len(set(again))
    check_evidence(context)
    context.state.close()


def finished_steps(context: Context) -> set[str]:
    with context.state.snapshot() as tx:
        return {item.step for item in tx.newest(StepFinished)}


def carry_on(context: Context) -> None:
    """Resume what is open; where the kill came before the opening, start."""
    with context.state.snapshot() as tx:
        still_open = open_runs(tx)
        closed = tx.count(Run)
    if still_open:
        assert run_plan(context=context, resume=still_open[0].run_id).status is RunStatus.SUCCEEDED
    elif not closed:
        run_plan(PLAN, context=context)


def check_evidence(context: Context) -> None:
    """One run, one record of each step, and one ledger entry for each change."""
    with context.state.snapshot() as tx:
        counts = [tx.count(kind) for kind in (RunStarted, StepFinished, Run)]
        actions = [decision.action for _, decision in decisions(tx)]
    assert counts == [1, 4, 1]
    assert actions == [Action.RUN, *[Action.STEP] * 4, Action.RUN]


SLEEPER = """
import sys, time
from pathlib import Path
from keelway.flow import Context, Plan, Step, run_plan, step
from keelway.testing.flow import Diary, Note, note_step, step_context

@step("tests.sleep")
def sleep(ctx: Context, *, after: list[Note]) -> Note:
    Diary(ctx.root).write("sleep")
    if not (ctx.root / "awake").exists():
        print("asleep", flush=True)
        time.sleep(60)
    return Note("slept")

context = step_context(Path(sys.argv[1]))
plan = Plan("sleepy", (note_step("a"), Step("sleep", "tests.sleep", {"after": ("a",)}), note_step("z", "sleep")))
print(run_plan(plan, context=context, resume=sys.argv[2] if len(sys.argv) > 2 else None).status)
"""


def test_kill_9_in_the_middle_of_a_step(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLEEPER, str(tmp_path)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "asleep\n"
    child.kill()
    child.communicate()
    context = step_context(tmp_path)
    with context.state.snapshot() as tx:
        [started] = open_runs(tx)
    context.state.close()
    (tmp_path / "awake").touch()
    ended = subprocess.run([*command, started.run_id], capture_output=True, text=True, check=True)
    assert ended.stdout == "succeeded\n"
    assert Diary(tmp_path).lines() == ["a", "sleep", "sleep", "z"]
