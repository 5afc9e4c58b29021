"""Executes one step of a stored run: the unit that every engine calls, wherever it does.

1. A step that succeeded in its run is not executed again; calling twice, or from two places, does no harm.
2. A step ends in one transaction: its output, its `StepFinished`, its line in the cache and its ledger entry.
3. A cached output stands in only for the same function, code, environment, parameters, inputs and seed.
4. The code that executes is the code the run was opened with, or the step is refused.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Action, CodeState, Decision, Digest, RunId, RunStarted, RunStatus, StepFinished, digest_of
from keelway.errors import (
    ContractError,
    FeatureError,
    IntegrityError,
    KeelwayError,
    RefusedError,
    StepError,
    TrainingError,
    UsageError,
)
from keelway.flow.define import StepDefinition, definition_of
from keelway.flow.history import failure_key, failures, plan_of, started_run, step_key
from keelway.flow.plan import Plan, Step
from keelway.flow.records import CachedStep, Nothing, StepEvent, StepEventKind

if TYPE_CHECKING:
    from keelway.core import Scalar
    from keelway.flow.context import Context
    from keelway.ledger import Transaction

Watcher = Callable[[StepEvent], None]

PERMANENT = (UsageError, RefusedError, IntegrityError, ContractError, FeatureError, TrainingError)
"""Errors that the same call would meet again: never retried."""
MAX_BACKOFF_S = 300.0
MAX_ERROR_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class _Job:
    """One step with everything that its execution depends on."""

    started: RunStarted
    plan: Plan
    step: Step
    definition: StepDefinition
    inputs: dict[str, StepFinished]  # by the name of the step that made them
    cache_key: Digest

    @property
    def cacheable(self) -> bool:
        return self.step.cache and self.definition.cache

    @property
    def key(self) -> str:
        return step_key(self.started.run_id, self.step.name)


def execute_step(
    run_id: RunId,
    step_name: str,
    *,
    context: Context,
    refresh: bool = False,
    on_event: Watcher | None = None,
    pause: Callable[[float], object] = time.sleep,
) -> StepFinished:
    """Execute one step of an open run, or return what it left when it was executed before.

    Args:
        run_id: The run, which must be open.
        step_name: The step's name in the run's plan.
        context: The ports a step may use; time and seed are taken from the run.
        refresh: Execute it even where the cache holds its output.
        on_event: Told what happens to the step.
        pause: Waits between retries.

    Raises:
        MissingRecordError: There is no such run.
        UsageError: The plan has no such step, or the code is not that of the run.
        StepError: A step it needs has no output yet; or it failed, which is recorded, and the cause is chained.
    """
    tell = on_event or _tell_nobody
    with context.state.snapshot() as tx:
        done = tx.find(StepFinished, step_key(run_id, step_name))
        if done is not None:
            return done
        started = started_run(run_id, tx=tx)
        check_code(started, context)
        job = _job(started, step_name, tx=tx)
        cached = tx.find(CachedStep, job.cache_key) if job.cacheable and not refresh else None
        arguments = {} if cached else _arguments(job, tx=tx)
    if cached is not None:
        return _take_cached(cached, job, context, tell)
    return _execute(job, arguments, context=context, tell=tell, pause=pause)


def check_code(started: RunStarted, context: Context) -> None:
    """Compare the code at hand with the code the run was opened with.

    Raises:
        UsageError: They differ, so the run's record would not tell the truth.
    """
    if _same_code(started.code, context.code):
        return
    raise UsageError(
        f"The code is not the one that run {started.run_id} was opened with",
        expected=f"project {started.code.project_digest}, environment {started.code.environment_digest}",
        found=f"project {context.code.project_digest}, environment {context.code.environment_digest}",
        fix="Start a new run (keelway run), or put the code back as it was.",
    )


def step_parameters(step: Step, parameters: dict[str, Scalar]) -> dict[str, Scalar]:
    """Return a step's parameters, those of the run (`NAME` or `STEP.NAME`) put in their place."""
    return {
        name: parameters.get(f"{step.name}.{name}", parameters.get(name, value))
        for name, value in step.parameters.items()
    }


def _take_cached(cached: CachedStep, job: _Job, context: Context, tell: Watcher) -> StepFinished:
    begun, clock = context.wall.now(), time.perf_counter()
    finished = _finished(job, begun, context, output=cached.output, kind=cached.output_kind, origin=cached.run_id)
    with context.state.transaction() as tx:
        finished = _close(finished, job, context, tx=tx)
    tell(StepEvent(finished.run_id, finished.step, StepEventKind.CACHED, time.perf_counter() - clock))
    return finished


def _execute(
    job: _Job, arguments: dict[str, object], *, context: Context, tell: Watcher, pause: Callable[[float], object]
) -> StepFinished:
    run_id, name = job.started.run_id, job.step.name
    begun, clock = context.wall.now(), time.perf_counter()
    tell(StepEvent(run_id, name, StepEventKind.STARTED))
    try:
        output = _call(job, arguments, context=context, tell=tell, pause=pause)
    except Exception as error:  # the edge to a user's function: whatever it raises is recorded and chained
        _record_failure(error, job, begun, context)
        tell(StepEvent(run_id, name, StepEventKind.FAILED, time.perf_counter() - clock, _in_words(error)))
        raise _failed(job, error) from error
    finished = _record_output(output, job, begun, context)
    tell(StepEvent(run_id, name, StepEventKind.FINISHED, time.perf_counter() - clock))
    return finished


def _same_code(one: CodeState, other: CodeState) -> bool:
    # The commit is left out: to commit what was executed changes no byte of it.
    return (one.project_digest, one.environment_digest) == (other.project_digest, other.environment_digest)


def _job(started: RunStarted, step_name: str, *, tx: Transaction) -> _Job:
    plan = plan_of(started, tx=tx)
    step = plan.step(step_name)
    found = {name: tx.find(StepFinished, step_key(started.run_id, name)) for name in step.needed()}
    inputs = {name: finished for name, finished in found.items() if finished is not None}
    if len(inputs) < len(found):
        raise StepError(
            f"Step {step_name!r} of run {started.run_id} cannot start yet",
            expected=f"outputs of {', '.join(found)}",
            found=f"none of {', '.join(name for name in found if name not in inputs)}",
            fix=f"Execute them first: keelway run --resume {started.run_id}",
        )
    definition = definition_of(step.uses)
    return _Job(started, plan, step, definition, inputs, _cache_key(started, step, definition, inputs))


def _cache_key(started: RunStarted, step: Step, definition: StepDefinition, inputs: dict[str, StepFinished]) -> Digest:
    digests = {
        argument: inputs[need].output if isinstance(need, str) else [inputs[name].output for name in need]
        for argument, need in step.needs.items()
    }
    everything = {
        "uses": step.uses,
        "function": definition.source_digest(),
        "parameters": step_parameters(step, started.parameters),
        "inputs": digests,
        "project": started.code.project_digest,
        "environment": started.code.environment_digest,
        "seed": started.seed,
        **({"dirty": True} if started.code.dirty and _names_code(definition.output_class()) else {}),
        # What looks at the outside world belongs to its run alone.
        "run": "" if step.cache and definition.cache else step_key(started.run_id, step.name),
    }
    return digest_of(everything)


def _names_code(output: type[object]) -> bool:
    """Say whether a record names its code: it would tell of changed files for ever, also after they were committed."""
    return "code" in {each.name for each in fields(output)}  # type: ignore[arg-type]  # every output is a record


def _arguments(job: _Job, *, tx: Transaction) -> dict[str, object]:
    records = {name: _input(job.plan.step(name), finished, tx=tx) for name, finished in job.inputs.items()}
    needs = {
        argument: records[need] if isinstance(need, str) else [records[name] for name in need]
        for argument, need in job.step.needs.items()
    }
    return needs | step_parameters(job.step, job.started.parameters)


def _input(maker: Step, finished: StepFinished, *, tx: Transaction) -> object:
    if finished.output_kind == Nothing.__name__:
        return None
    kind: type[object] = definition_of(maker.uses).output_class()
    return tx.by_digest(kind, finished.output)


def _call(
    job: _Job,
    arguments: dict[str, object],
    *,
    context: Context,
    tell: Watcher,
    pause: Callable[[float], object],
) -> object:
    started = job.started
    mine = replace(context, run_id=started.run_id, now=started.now, seed=started.seed)
    for attempt in range(job.step.retries + 1):
        try:
            return _checked_output(job, job.definition.function(mine, **arguments))
        except PERMANENT:
            raise
        except Exception as error:  # the edge to a user's function
            if attempt == job.step.retries:
                raise
            wait = _backoff_s(job, attempt)
            tell(StepEvent(started.run_id, job.step.name, StepEventKind.RETRYING, wait, _in_words(error)))
            pause(wait)
    raise AssertionError("unreachable: the last attempt returns or raises")


def _backoff_s(job: _Job, attempt: int) -> float:
    """Return a wait between half and all of `backoff_s` doubled for each attempt; the same run waits the same."""
    chance = random.Random(f"{job.started.seed}/{job.key}/{attempt}")  # noqa: S311 - spreads waits, hides nothing
    return float(min(job.step.backoff_s * 2**attempt, MAX_BACKOFF_S) * chance.uniform(0.5, 1.0))


def _checked_output(job: _Job, output: object) -> object:
    expected = job.definition.output_class()
    if output is None or type(output) is expected:
        return Nothing() if output is None else output
    raise UsageError(
        f"Step {job.step.name!r} returned something else than it declares",
        expected=f"a {expected.__name__} or None",
        found=f"a {type(output).__name__}",
        fix="Mend the return annotation of its function, or what it returns.",
    )


def _record_output(output: object, job: _Job, begun: datetime, context: Context) -> StepFinished:
    digest, kind = digest_of(output), type(output).__name__
    finished = _finished(job, begun, context, output=digest, kind=kind)
    with context.state.transaction() as tx:
        if tx.text_of(digest) is None:
            tx.insert(digest, output, parent=job.started.run_id, at=context.now)
        if job.cacheable and tx.find(CachedStep, job.cache_key) is None:
            line = CachedStep(job.cache_key, digest, kind, job.started.run_id, job.step.name)
            tx.insert(job.cache_key, line, parent=job.step.uses, at=context.now)
        return _close(finished, job, context, tx=tx)


def _record_failure(error: Exception, job: _Job, begun: datetime, context: Context) -> None:
    kind = Nothing.__name__
    failed = replace(
        _finished(job, begun, context, output=digest_of(Nothing()), kind=kind),
        status=RunStatus.FAILED,
        error=_in_words(error),
    )
    with context.state.transaction() as tx:
        tx.insert(failed.output, Nothing(), at=context.now)
        _close(failed, job, context, tx=tx)


def _finished(
    job: _Job, begun: datetime, context: Context, *, output: Digest, kind: str, origin: RunId | None = None
) -> StepFinished:
    return StepFinished(
        run_id=job.started.run_id,
        step=job.step.name,
        cache_key=job.cache_key,
        status=RunStatus.SUCCEEDED,
        output=output,
        output_kind=kind,
        cached_from=origin,
        started_at=begun,
        ended_at=context.wall.now(),
    )


def _close(finished: StepFinished, job: _Job, context: Context, *, tx: Transaction) -> StepFinished:
    """Store how a step ended, with its ledger entry; the first success of a step stands."""
    from keelway.ledger import record_decision
    from keelway.snapshot import Snapshot, must_be_kept

    done = tx.find(StepFinished, job.key)
    if done is not None:
        return done
    succeeded = finished.status is RunStatus.SUCCEEDED
    key = job.key if succeeded else failure_key(job.key, len(failures(StepFinished, job.key, tx=tx)) + 1)
    if finished.output_kind == Snapshot.__name__:
        must_be_kept([finished.output], tx)
    digest = tx.insert(key, finished, parent=job.started.run_id, at=context.now)
    decision = Decision(
        action=Action.STEP,
        subject=job.key,
        allowed=succeeded,
        principal=context.principal,
        at=context.now,
        evidence={"step": digest, "output": finished.output} if succeeded else {"step": digest},
        reasons=(finished.error,) if finished.error else (),
    )
    record_decision(decision, tx=tx)
    return finished


def _failed(job: _Job, error: Exception) -> StepError:
    """Return the error of a step: what one of Keelway's expected and found stays what it was."""
    run_id = job.started.run_id
    what = f"Step {job.step.name!r} of run {run_id} failed"
    then = f"keelway run --resume {run_id} (after a change of code: keelway run)"
    if not isinstance(error, KeelwayError):
        expected = f"a {job.definition.output_class().__name__}"
        return StepError(what, expected=expected, found=_in_words(error), fix=f"Mend the cause, then: {then}")
    return StepError(
        f"{what}: {type(error).__name__}: {error.what}",
        expected=error.expected,
        found=error.found,
        fix=f"{error.fix or 'Mend the cause.'} Then: {then}",
    )


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:MAX_ERROR_CHARACTERS]


def _tell_nobody(_event: StepEvent) -> None:
    """Drop an event."""
