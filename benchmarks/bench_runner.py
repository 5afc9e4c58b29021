"""What the runner adds to a step: plan, cache key, transaction and ledger entry, against a plain function call.

The floor is measured in the same run: one durable SQLite commit of one small row, which every step needs at least.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from _figures import Figure, report

from keelway.flow import Context, Plan, execute_step, open_run, run_plan, step
from keelway.testing.flow import Note, note_step, step_context

STEPS = 200
REPEATS = 3
AIM_MS = 5.0


@step("bench.trivial")
def trivial(_ctx: Context, *, text: str, after: list[Note] | None = None) -> Note:
    """Return at once."""
    return Note(text, tuple(note.text for note in after or ()))


def chain(name: str) -> Plan:
    """Return a plan in which each step needs the one before."""
    first = note_step(f"{name}-0", uses="bench.trivial")
    rest = (note_step(f"{name}-{n}", f"{name}-{n - 1}", uses="bench.trivial") for n in range(1, STEPS))
    return Plan(name, (first, *rest))


def per_step_ms(work: Callable[[], object]) -> float:
    """Return how many milliseconds a piece of work takes for each step."""
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) / STEPS * 1000


def plain_calls(context: Context) -> None:
    """Call the function as often as the plan does."""
    before = Note("start")
    for number in range(STEPS):
        before = trivial(context, text=str(number), after=[before])


def bare_commits(folder: Path) -> float:
    """Return the milliseconds of one durable SQLite commit."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE line (text TEXT)")

    def commit_all() -> None:
        for number in range(STEPS):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO line VALUES (?)", (str(number),))
            connection.execute("COMMIT")

    taken = per_step_ms(commit_all)
    connection.close()
    return taken


def one_by_one(plan: Plan, context: Context) -> None:
    """Execute the steps as a distributed engine does."""
    started = open_run(plan, context=context)
    for item in plan.in_order():
        execute_step(started.run_id, item.name, context=context)


def measure(folder: Path) -> list[Figure]:
    """Return the figures of the runner."""
    context = step_context(folder)
    run_plan(Plan("warm", chain("warm").steps[:1]), context=context)
    fresh, cached, single, plain, floor = ([0.0] * REPEATS for _ in range(5))
    for number in range(REPEATS):
        plan = chain(f"fresh{number}")
        plain[number] = per_step_ms(lambda: plain_calls(context))
        fresh[number] = per_step_ms(lambda plan=plan: run_plan(plan, context=context, workers=1))  # type: ignore[misc]
        cached[number] = per_step_ms(lambda plan=plan: run_plan(plan, context=context, workers=1))  # type: ignore[misc]
        single[number] = per_step_ms(lambda n=number: one_by_one(chain(f"single{n}"), context))  # type: ignore[misc]
        with tempfile.TemporaryDirectory(dir=folder) as bare:
            floor[number] = bare_commits(Path(bare))
    context.state.close()
    base = median(floor)
    to = "one bare durable SQLite commit"
    return [
        Figure("runner.plain_call", median(plain), "ms/step"),
        Figure("runner.bare_commit", base, "ms"),
        Figure("runner.step_with_evidence", median(fresh), "ms/step", to, median(fresh) / base, f"<= {AIM_MS:g} ms"),
        Figure("runner.execute_step", median(single), "ms/step", to, median(single) / base, f"<= {AIM_MS:g} ms"),
        Figure("runner.cached_rerun", median(cached), "ms/step", to, median(cached) / base, f"<= {AIM_MS:g} ms"),
    ]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report(measure(Path(folder)), arguments.json)


if __name__ == "__main__":
    main()
