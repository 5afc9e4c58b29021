"""Runs a plan in this process: independent steps in parallel, and whatever was finished before is not repeated.

A run is opened, its steps are executed, it is closed; each of these is one transaction with its ledger entry. A
process that is killed anywhere in between leaves an open run, and `run_plan(..., resume=RUN)` carries on.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from math import isfinite
from typing import TYPE_CHECKING, Any

from keelway.core import (
    Action,
    Decision,
    Digest,
    Run,
    RunId,
    RunStarted,
    RunStatus,
    Scalar,
    StepFinished,
    digest_of,
    parse_json,
    sortable_id,
)
from keelway.errors import StepError, UsageError
from keelway.flow.define import check_plan
from keelway.flow.execute import Watcher, check_code, execute_step
from keelway.flow.history import failure_key, failures, last_closing, plan_of, run_view, started_run
from keelway.flow.plan import Plan
from keelway.flow.records import RunView, StepEvent

if TYPE_CHECKING:
    from keelway.flow.context import Context
    from keelway.ledger import Transaction


def run_plan(
    plan: Plan | None = None,
    *,
    context: Context,
    parameters: Mapping[str, Scalar] | None = None,
    workers: int = 2,
    resume: RunId | None = None,
    refresh: bool = False,
    on_event: Watcher | None = None,
) -> Run:
    """Run a plan to its end, or carry on with a run that was interrupted or failed.

    Args:
        plan: What to run; with `resume` it is not needed, the stored plan is taken.
        context: The ports a step may use, the run's present and its seed.
        parameters: Values for the steps' parameters, by `NAME` (every step that has it) or `STEP.NAME`.
        workers: How many steps run at the same time.
        resume: The run to carry on with; its successful steps are not executed again.
        refresh: Execute steps even where the cache holds their output.
        on_event: Told what happens to each step; called from several threads, one at a time.

    Returns:
        The record that closes the run.

    Raises:
        UsageError: The plan does not fit its functions, a parameter is unknown, or the code changed since the run
            was opened. Nothing was started.
        StepError: A step failed. Steps that do not need it finished first; the run is recorded as failed.
    """
    if workers < 1:
        raise UsageError("A run needs a worker", expected="workers of 1 or more", found=str(workers))
    started = _resumed(resume, plan, context) if resume else _opened(plan, parameters or {}, context)
    with context.state.snapshot() as tx:
        view = run_view(started.run_id, tx=tx)
    if view.run is not None and view.run.status is RunStatus.SUCCEEDED:
        return view.run
    failure = _Crew(view, context, refresh, on_event).work(workers)
    run = close_run(started.run_id, context=context)
    if failure is not None:
        raise failure
    return run


def open_run(
    plan: Plan, *, context: Context, parameters: Mapping[str, Scalar] | None = None, run_id: RunId | None = None
) -> RunStarted:
    """Store a plan and open a run of it.

    Args:
        plan: What will be run.
        context: The run's present, seed, code and principal are taken from it.
        parameters: Values for the steps' parameters, by `NAME` (every step that has it) or `STEP.NAME`.
        run_id: The id of the run where an engine chose it; a new one when None.

    Raises:
        UsageError: The plan does not fit its functions, or no step has one of the parameters.
        RecordExistsError: Another run has that id.
    """
    from keelway.ledger import record_decision

    given = dict(parameters or {})
    check_plan(plan)
    _check_parameters(plan, given)
    started = RunStarted(
        run_id=run_id or RunId(sortable_id()),
        plan=plan.name,
        plan_digest=plan.digest(),
        parameters=given,
        seed=context.seed,
        code=context.code,
        principal=context.principal,
        started_at=context.wall.now(),
        now=context.now,
        parent=context.parent,
    )
    with context.state.transaction() as tx:
        tx.insert(started.plan_digest, plan, parent=plan.name, at=context.now)
        opened = tx.insert(started.run_id, started, parent=plan.name, at=context.now)
        evidence = {"opened": opened, "plan": started.plan_digest}
        record_decision(_decision(started, context, evidence, comment="opened"), tx=tx)
    return started


def close_run(run_id: RunId, *, context: Context) -> Run:
    """Close a run whose steps have all ended, or can no longer start because one failed.

    Closing it twice does nothing. A run that failed may be resumed, and is then closed once more.

    Raises:
        MissingRecordError: There is no such run.
        StepError: Steps are left that could still be executed.
    """
    from keelway.ledger import record_decision

    with context.state.transaction() as tx:
        view = run_view(run_id, tx=tx)
        if view.run is not None and view.run.status is RunStatus.SUCCEEDED:
            return view.run
        _check_ended(view)
        run = _closing(view, context, tx=tx)
        if view.run is not None and view.run.steps == run.steps:
            return view.run
        key: str = run_id
        if run.status is RunStatus.FAILED:
            key = failure_key(run_id, len(failures(Run, run_id, tx=tx)) + 1)
        digest = tx.insert(key, run, parent=run_id, at=context.now)
        reasons = tuple(f"{name}: {step.error}" for name, step in view.steps.items() if step and step.error)
        evidence = {"run": digest, "opened": run.opened}
        record_decision(_decision(view.started, context, evidence, reasons=reasons, comment="closed"), tx=tx)
    return run


def find_run(run_id: RunId, *, tx: Transaction) -> Run | None:
    """Return the record that closed a run last, or None while it is open."""
    return last_closing(Run, run_id, tx=tx)


class _Crew:
    """Threads that execute the steps of one run as their needs are met."""

    def __init__(self, view: RunView, context: Context, refresh: bool, on_event: Watcher | None) -> None:
        self._run_id = view.started.run_id
        self._context = context
        self._refresh = refresh
        self._watcher = on_event
        self._one_at_a_time = threading.Lock()
        self._stop = threading.Event()
        done = {name for name, step in view.steps.items() if step and step.status is RunStatus.SUCCEEDED}
        self._waiting = {step.name: set(step.needed()) - done for step in view.plan.in_order() if step.name not in done}

    def work(self, workers: int) -> StepError | None:
        """Execute every step that can be; return the first failure."""
        failure: StepError | None = None
        pool = ThreadPoolExecutor(workers, thread_name_prefix="keelway-step")
        running: dict[Future[StepFinished], str] = {}
        try:
            self._start_ready(pool, running)
            while running:
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    failure = self._take(future, running.pop(future)) or failure
                self._start_ready(pool, running)
        finally:
            # Reached early only by an interrupt: nothing new starts, and the run stays open for a resume.
            self._stop.set()
            pool.shutdown(wait=not running, cancel_futures=True)
        return failure

    def _start_ready(self, pool: ThreadPoolExecutor, running: dict[Future[StepFinished], str]) -> None:
        ready = [name for name, needs in self._waiting.items() if not needs]
        for name in ready:
            del self._waiting[name]
            running[pool.submit(self._execute, name)] = name

    def _take(self, future: Future[StepFinished], name: str) -> StepError | None:
        try:
            future.result()
        except StepError as error:
            return error
        for needs in self._waiting.values():
            needs.discard(name)
        return None

    def _execute(self, name: str) -> StepFinished:
        return execute_step(
            self._run_id,
            name,
            context=self._context,
            refresh=self._refresh,
            on_event=self._tell,
            pause=self._pause,
        )

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise KeyboardInterrupt

    def _tell(self, event: StepEvent) -> None:
        if self._watcher is not None:
            with self._one_at_a_time:
                self._watcher(event)


def _opened(plan: Plan | None, parameters: Mapping[str, Scalar], context: Context) -> RunStarted:
    if plan is None:
        raise UsageError("There is nothing to run", expected="a plan, or a run to resume", found="neither")
    return open_run(plan, context=context, parameters=parameters)


def _resumed(run_id: RunId, plan: Plan | None, context: Context) -> RunStarted:
    with context.state.snapshot() as tx:
        started = started_run(run_id, tx=tx)
        stored = plan_of(started, tx=tx)
    check_code(started, context)
    check_plan(stored)
    if plan is not None and plan.digest() != started.plan_digest:
        raise UsageError(
            f"Run {run_id} executes another plan",
            expected=f"{stored.name} ({started.plan_digest})",
            found=f"{plan.name} ({plan.digest()})",
            fix="Resume it without a plan, or start a new run.",
        )
    return started


def _check_parameters(plan: Plan, parameters: Mapping[str, Scalar]) -> None:
    short = {name for step in plan.steps for name in step.parameters}
    known = short | {f"{step.name}.{name}" for step in plan.steps for name in step.parameters}
    unknown = sorted(parameters.keys() - known)
    if unknown:
        raise UsageError(
            f"No step of plan {plan.name!r} has such a parameter",
            expected=f"one of {', '.join(sorted(known))}" if known else "no parameters",
            found=", ".join(unknown),
        )


def _check_ended(view: RunView) -> None:
    """Refuse to close a run while a step is left whose needs are met."""
    left = [
        name
        for name, finished in view.steps.items()
        if finished is None
        and all(
            (need := view.steps[needed]) is not None and need.status is RunStatus.SUCCEEDED
            for needed in view.plan.step(name).needed()
        )
    ]
    if left:
        raise StepError(
            f"Run {view.started.run_id} is not at its end",
            expected="every step executed",
            found=f"none of {', '.join(left)}",
            fix=f"Carry on: keelway run --resume {view.started.run_id}",
        )


def _closing(view: RunView, context: Context, *, tx: Transaction) -> Run:
    ended = {name: step for name, step in view.steps.items() if step is not None}
    succeeded = {name: step for name, step in ended.items() if step.status is RunStatus.SUCCEEDED}
    outputs = {name: step.output for name, step in succeeded.items()}
    return Run(
        run_id=view.started.run_id,
        plan=view.plan.name,
        opened=digest_of(view.started),
        status=RunStatus.SUCCEEDED if len(succeeded) == len(view.steps) else RunStatus.FAILED,
        steps={name: digest_of(step) for name, step in ended.items()},
        outputs=outputs,
        metrics=_metrics(outputs, tx=tx),
        ended_at=context.wall.now(),
    )


def _metrics(outputs: Mapping[str, Digest], *, tx: Transaction) -> dict[str, float]:
    """Return the figures in the outputs' `metrics`, plain or with an interval, as `STEP.NAME`."""
    figures: dict[str, float] = {}
    for step, digest in outputs.items():
        text = tx.text_of(digest)
        metrics = parse_json(text[1].encode()).get("metrics") if text else None
        for name, figure in metrics.items() if isinstance(metrics, dict) else ():
            value: Any = figure.get("value") if isinstance(figure, dict) else figure
            if isinstance(value, (int, float)) and isfinite(value):
                figures[f"{step}.{name}"] = float(value)
    return figures


def _decision(
    started: RunStarted,
    context: Context,
    evidence: dict[str, Digest],
    *,
    reasons: tuple[str, ...] = (),
    comment: str = "",
) -> Decision:
    return Decision(
        action=Action.RUN,
        subject=started.run_id,
        allowed=not reasons,
        principal=context.principal,
        at=context.now,
        evidence=evidence,
        reasons=reasons,
        comment=comment,
    )
