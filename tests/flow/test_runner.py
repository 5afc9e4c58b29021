"""The runner repeats nothing, stops only what must stop, and leaves evidence of everything."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from keelway.core import (
    DIRTY,
    Action,
    CodeState,
    Decision,
    Run,
    RunId,
    RunStarted,
    RunStatus,
    StepFinished,
    digest_bytes,
)
from keelway.errors import ContractError, MissingRecordError, StepError, UsageError
from keelway.flow import (
    Context,
    Plan,
    Step,
    StepEvent,
    close_run,
    execute_step,
    find_run,
    open_run,
    open_runs,
    run_plan,
    run_view,
    step,
)
from keelway.ledger import decisions
from keelway.testing.flow import (
    NOON,
    Diary,
    Note,
    PlanRunnerSuite,
    Runner,
    note_step,
    plans,
    step_context,
    steps_one_by_one,
)

CHAIN = Plan("chain", (note_step("a"), note_step("b", "a"), note_step("c", "b")))
_ids = itertools.count()


@step("tests.meet")
def meet(ctx: Context, *, text: str, of: int) -> Note:
    """Wait until `of` steps are here at the same time."""
    _meeting(ctx.root, of).wait(timeout=60)
    return Note(text)


@step("tests.interrupted")
def interrupted(ctx: Context, *, after: list[Note]) -> Note:
    Diary(ctx.root).write("interrupted")
    if not (ctx.root / "calm").exists():
        raise KeyboardInterrupt
    return Note("calm")


@step("tests.stopped-load")
def stopped_load(ctx: Context) -> Note:
    Diary(ctx.root).write("stopped")
    raise ContractError("The contract stops the load")


@step("tests.liar")
def liar(ctx: Context) -> Note:
    return Nowhere()  # type: ignore[return-value]


@step("tests.what-time")
def what_time(ctx: Context) -> Note:
    return Note(f"{ctx.now.isoformat()} {ctx.seed} {ctx.run_id}")


@dataclass(frozen=True, slots=True)
class Figure:
    value: float
    low: float


@dataclass(frozen=True, slots=True)
class Measured:
    metrics: dict[str, Figure | float | str]


@step("tests.measure")
def measure(ctx: Context) -> Measured:
    return Measured({"auc": Figure(0.8, 0.7), "loss": 0.5, "rows": 3, "words": "many"})


class Nowhere:
    """No record at all."""


_meetings: dict[Path, threading.Barrier] = {}


def _meeting(root: Path, of: int) -> threading.Barrier:
    return _meetings.setdefault(root, threading.Barrier(of))


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    context = step_context(tmp_path)
    yield context
    context.state.close()


class TestRunnerOfThisProcess(PlanRunnerSuite):
    """The in-process runner keeps the promises."""


class TestOneCallPerStep(PlanRunnerSuite):
    """So does an engine that knows only run and step names."""

    @pytest.fixture
    def runner(self) -> Runner:
        return steps_one_by_one


def entries(context: Context) -> list[Decision]:
    with context.state.snapshot() as tx:
        return [decision for _, decision in decisions(tx)]


@dataclass(frozen=True, slots=True)
class Coded:
    """A record that names the code it came of."""

    code: CodeState


@step("tests.coded")
def coded(ctx: Context, *, after: Note) -> Coded:
    return Coded(ctx.code)


def test_what_names_changed_files_is_made_anew_once_they_are_committed(context: Context) -> None:
    plan = Plan("coded", (note_step("a"), Step("b", "tests.coded", needs={"after": "a"})))

    def origins(commit: str) -> list[RunId | None]:
        run = run_plan(plan, context=replace(context, code=replace(context.code, commit=commit)))
        with context.state.snapshot() as tx:
            steps = run_view(run.run_id, tx=tx).steps
        return [found.cached_from for name in "ab" if (found := steps[name]) is not None]

    assert origins(f"c0ffee{DIRTY}") == [None, None]
    assert [origin is None for origin in origins(f"c0ffee{DIRTY}")] == [False, False]
    assert [origin is None for origin in origins("decade")] == [False, True]
    assert [origin is None for origin in origins("facade")] == [False, False]


def test_a_run_tells_which_run_it_was_opened_in(context: Context) -> None:
    inner = run_plan(CHAIN, context=replace(context, parent="of-a-notebook"))
    with context.state.snapshot() as tx:
        assert tx.get(RunStarted, inner.run_id).parent == "of-a-notebook"
        (line,) = tx.runs.named(inner.run_id)
    assert line.parent == "of-a-notebook"


def test_independent_steps_run_at_the_same_time(context: Context) -> None:
    steps = [Step(name, "tests.meet", parameters={"text": name, "of": 3}) for name in "abc"]
    assert run_plan(Plan("meeting", tuple(steps)), context=context, workers=3).status is RunStatus.SUCCEEDED


def test_each_change_has_its_ledger_entry(context: Context) -> None:
    run = run_plan(CHAIN, context=context)
    found = [(entry.action, entry.subject.removeprefix(run.run_id), entry.comment) for entry in entries(context)]
    steps = [(Action.STEP, f"/{name}", "") for name in "abc"]
    assert found == [(Action.RUN, "", "opened"), *steps, (Action.RUN, "", "closed")]
    with context.state.snapshot() as tx:
        for entry in entries(context):
            assert all(tx.text_of(digest) for digest in entry.evidence.values())


def test_a_failure_is_recorded_with_its_reason_and_names_the_way_on(context: Context) -> None:
    Diary(context.root).trouble("b")
    with pytest.raises(StepError, match=r"'b' of run .* failed.*SourceError: There is trouble with b") as caught:
        run_plan(CHAIN, context=context)
    with context.state.snapshot() as tx:
        [started] = tx.newest(RunStarted)
        run = find_run(started.run_id, tx=tx)
        view = run_view(started.run_id, tx=tx)
        assert open_runs(tx) == []
    assert f"keelway run --resume {started.run_id}" in caught.value.fix
    assert run is not None
    assert run.status is RunStatus.FAILED
    assert (set(run.outputs), set(run.steps)) == ({"a"}, {"a", "b"})
    assert view.steps["b"] is not None
    assert view.steps["b"].error.startswith("SourceError: There is trouble")
    assert view.steps["c"] is None
    assert [entry.allowed for entry in entries(context)] == [True, True, False, False]
    assert entries(context)[-1].reasons[0].startswith("b: SourceError")


def test_a_failed_run_is_resumed_where_it_failed(context: Context) -> None:
    diary = Diary(context.root)
    diary.trouble("b")
    for _ in range(2):
        run_id = _newest(context)
        with pytest.raises(StepError):
            run_plan(None if run_id else CHAIN, context=context, resume=run_id)
    diary.mend("b")
    run = run_plan(context=context, resume=_newest(context))
    assert run.status is RunStatus.SUCCEEDED
    assert diary.lines() == ["a", "b", "b", "b", "c"]
    with context.state.snapshot() as tx:
        assert [old.status for old in reversed(tx.newest(Run))] == ["failed", "failed", "succeeded"]
        assert find_run(run.run_id, tx=tx) == run


def _newest(context: Context) -> RunId | None:
    with context.state.snapshot() as tx:
        return next((started.run_id for started in tx.newest(RunStarted)), None)


def test_resuming_a_run_that_succeeded_does_nothing(context: Context) -> None:
    run = run_plan(CHAIN, context=context)
    before = len(entries(context))
    assert run_plan(context=context, resume=run.run_id) == run
    assert close_run(run.run_id, context=context) == run
    assert len(entries(context)) == before


def test_an_interrupt_leaves_the_run_open_for_a_resume(context: Context) -> None:
    plan = Plan("stop", (note_step("a"), Step("b", "tests.interrupted", {"after": ("a",)})))
    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, context=context)
    with context.state.snapshot() as tx:
        [started] = open_runs(tx)
    (context.root / "calm").touch()
    run = run_plan(context=context, resume=started.run_id)
    assert run.status is RunStatus.SUCCEEDED
    assert Diary(context.root).lines() == ["a", "interrupted", "interrupted"]
    with context.state.snapshot() as tx:
        assert open_runs(tx) == []


def test_an_interrupt_ends_the_waiting_of_a_retry(context: Context) -> None:
    Diary(context.root).trouble("slow")
    plan = Plan(
        "stop",
        (
            note_step("a"),
            note_step("slow", retries=5, backoff_s=600),
            Step("b", "tests.interrupted", {"after": ("a",)}),
        ),
    )
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, context=context)
    for thread in threading.enumerate():
        if thread.name.startswith("keelway-step"):
            thread.join(timeout=120)
            assert not thread.is_alive()
    assert time.monotonic() - begun < 120


def test_a_run_takes_its_own_time_and_seed_also_when_resumed_later(context: Context) -> None:
    plan = Plan("time", (Step("t", "tests.what-time"),))
    started = open_run(plan, context=context)
    later = replace(context, now=NOON + timedelta(days=9), seed=99)
    run = run_plan(context=later, resume=started.run_id)
    with context.state.snapshot() as tx:
        assert tx.by_digest(Note, run.outputs["t"]).text == f"{NOON.isoformat()} 7 {started.run_id}"


def other_code(context: Context) -> Context:
    return replace(context, code=CodeState(digest_bytes(b"changed"), context.code.environment_digest))


def test_a_run_is_not_resumed_with_other_code(context: Context) -> None:
    started = open_run(CHAIN, context=context)
    with pytest.raises(UsageError, match="not the one that run"):
        run_plan(context=other_code(context), resume=started.run_id)
    with pytest.raises(UsageError, match="not the one that run"):
        execute_step(started.run_id, "a", context=other_code(context))
    committed = replace(context, code=replace(context.code, commit="abc"))
    assert run_plan(context=committed, resume=started.run_id).status is RunStatus.SUCCEEDED


def test_a_run_is_not_resumed_with_another_plan(context: Context) -> None:
    started = open_run(CHAIN, context=context)
    with pytest.raises(UsageError, match="executes another plan"):
        run_plan(Plan("chain", CHAIN.steps[:2]), context=context, resume=started.run_id)


def executed_again(context: Context, plan: Plan, **options: object) -> list[str]:
    """Run the chain, then a plan; return what the second run executed."""
    run_plan(CHAIN, context=replace(context, seed=7, code=step_code()))
    before = len(Diary(context.root).lines())
    run_plan(plan, context=context, **options)  # type: ignore[arg-type]
    return Diary(context.root).lines()[before:]


def step_code() -> CodeState:
    return CodeState(digest_bytes(b"project"), digest_bytes(b"environment"))


def test_the_cache_answers_for_another_plan_with_the_same_step(context: Context) -> None:
    plan = Plan("other", (replace(note_step("x"), parameters={"text": "a"}), note_step("y", "x")))
    assert executed_again(context, plan) == ["y"]


def test_the_cache_says_which_run_executed_a_step(context: Context) -> None:
    first = run_plan(CHAIN, context=context)
    second = run_plan(CHAIN, context=context)
    with context.state.snapshot() as tx:
        assert {item.cached_from for item in tx.newest(StepFinished, parent=first.run_id)} == {None}
        assert {item.cached_from for item in tx.newest(StepFinished, parent=second.run_id)} == {first.run_id}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({}, [], id="nothing"),
        pytest.param({"now": NOON + timedelta(days=1)}, [], id="the time alone"),
        pytest.param({"seed": 8}, ["a", "b", "c"], id="seed"),
        pytest.param({"code": CodeState(digest_bytes(b"x"), digest_bytes(b"environment"))}, ["a", "b", "c"], id="code"),
        pytest.param({"code": CodeState(digest_bytes(b"project"), digest_bytes(b"x"))}, ["a", "b", "c"], id="packages"),
    ],
)
def test_the_cache_misses_what_the_output_depends_on(
    context: Context, change: dict[str, object], expected: list[str]
) -> None:
    assert executed_again(replace(context, **change), CHAIN) == expected  # type: ignore[arg-type]


def test_the_cache_misses_a_changed_parameter_and_all_that_follows(context: Context) -> None:
    assert executed_again(context, CHAIN, parameters={"b.text": "B"}) == ["B", "c"]


def test_the_cache_is_passed_over_on_demand(context: Context) -> None:
    assert executed_again(context, CHAIN, refresh=True) == ["a", "b", "c"]


def test_a_step_of_the_plan_may_refuse_the_cache(context: Context) -> None:
    plan = Plan("fresh", (CHAIN.steps[0], replace(CHAIN.steps[1], cache=False), CHAIN.steps[2]))
    assert executed_again(context, plan) == ["b"]


def test_the_same_function_with_other_source_is_not_taken_from_the_cache(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    digests = []
    for word in ("one", "two"):
        name = f"steps_{word}"
        (tmp_path / f"{name}.py").write_text(
            "from keelway.flow import step\nfrom keelway.testing.flow import Note\n"
            f"@step()\ndef made(ctx) -> Note:\n    return Note({word!r})\n"
        )
        run = run_plan(Plan("p", (Step("made", f"{name}:made"),)), context=context)
        digests.append(run.outputs["made"])
    assert digests[0] != digests[1]


def test_a_parameter_that_no_step_has_is_refused_before_anything_starts(context: Context) -> None:
    with pytest.raises(UsageError, match=r"one of a\.text, b\.text, c\.text, text, found volume"):
        run_plan(CHAIN, context=context, parameters={"volume": 11})
    assert entries(context) == []


def test_a_plan_that_does_not_fit_its_functions_starts_nothing(context: Context) -> None:
    with pytest.raises(UsageError, match="does not fit its function"):
        run_plan(Plan("p", (note_step("a"), Step("b", "testing.note"))), context=context)
    assert Diary(context.root).lines() == []
    assert entries(context) == []


def test_an_error_that_will_not_pass_is_not_tried_again(context: Context) -> None:
    with pytest.raises(StepError):
        run_plan(Plan("p", (Step("s", "tests.stopped-load", retries=3),)), context=context)
    assert Diary(context.root).lines() == ["stopped"]


def test_waits_between_retries_double_and_are_the_same_for_the_same_run(context: Context) -> None:
    Diary(context.root).trouble("a")
    started = open_run(Plan("p", (note_step("a", retries=4, backoff_s=2.0),)), context=context)
    waits: list[list[float]] = [[], []]
    for waited in waits:
        with pytest.raises(StepError):
            execute_step(started.run_id, "a", context=context, pause=waited.append)
    assert waits[0] == waits[1]
    assert all(2**n <= wait <= 2 ** (n + 1) for n, wait in enumerate(waits[0]))
    assert len(waits[0]) == 4


def test_a_step_that_returns_something_else_fails(context: Context) -> None:
    with pytest.raises(StepError, match="expected a Note or None, found a Nowhere"):
        run_plan(Plan("p", (Step("s", "tests.liar"),)), context=context)


def test_a_step_executed_twice_is_executed_once(context: Context) -> None:
    started = open_run(CHAIN, context=context)
    once = execute_step(started.run_id, "a", context=context)
    assert execute_step(started.run_id, "a", context=context) == once
    assert Diary(context.root).lines() == ["a"]


def test_of_two_executors_of_a_step_the_first_result_stands(context: Context) -> None:
    plan = Plan("p", (Step("a", "tests.meet", parameters={"text": "a", "of": 2}, cache=False),))
    started = open_run(plan, context=context)
    results: list[StepFinished] = []
    threads = [
        threading.Thread(target=lambda: results.append(execute_step(started.run_id, "a", context=context)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results[0] == results[1]
    assert sum(entry.action is Action.STEP for entry in entries(context)) == 1


def test_a_step_whose_needs_are_not_there_says_which(context: Context) -> None:
    started = open_run(CHAIN, context=context)
    with pytest.raises(StepError, match="expected outputs of a, found none of a") as caught:
        execute_step(started.run_id, "b", context=context)
    assert f"--resume {started.run_id}" in caught.value.fix


def test_unknown_runs_and_steps_are_named(context: Context) -> None:
    started = open_run(CHAIN, context=context)
    with pytest.raises(UsageError, match="one of a, b, c, found 'z'"):
        execute_step(started.run_id, "z", context=context)
    with pytest.raises(MissingRecordError, match="no such run"):
        execute_step(RunId("nobody"), "a", context=context)
    with pytest.raises(MissingRecordError, match="no such run"):
        run_plan(context=context, resume=RunId("nobody"))


def test_a_run_with_steps_left_is_not_closed(context: Context) -> None:
    started = open_run(CHAIN, context=context)
    execute_step(started.run_id, "a", context=context)
    with pytest.raises(StepError, match=r"not at its end.*none of b"):
        close_run(started.run_id, context=context)


def test_a_run_needs_a_plan_and_a_worker(context: Context) -> None:
    with pytest.raises(UsageError, match="nothing to run"):
        run_plan(context=context)
    with pytest.raises(UsageError, match="needs a worker"):
        run_plan(CHAIN, context=context, workers=0)


def test_watchers_see_each_step_begin_and_end(context: Context) -> None:
    Diary(context.root).trouble("b", times=1)
    plan = Plan("p", (note_step("a"), note_step("b", "a", retries=1, backoff_s=0.001)))
    seen: list[StepEvent] = []
    run_plan(plan, context=context, on_event=seen.append)
    run_plan(plan, context=context, on_event=seen.append)
    kinds = [(event.step, str(event.kind)) for event in seen]
    assert kinds == [
        ("a", "started"),
        ("a", "finished"),
        ("b", "started"),
        ("b", "retrying"),
        ("b", "finished"),
        ("a", "cached"),
        ("b", "cached"),
    ]
    assert all(event.seconds > 0 for event in seen if event.kind != "started")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=plans())
def test_any_plan_is_executed_in_an_order_that_respects_its_needs(context: Context, plan: Plan) -> None:
    number = next(_ids)  # the folder is shared by the examples: other texts, no cache
    steps = [note_step(item.name, *item.needed()) for item in plan.steps]
    steps = [replace(item, parameters={"text": f"{number}-{item.name}"}) for item in steps]
    before = len(Diary(context.root).lines())
    run_plan(Plan("drawn", tuple(steps)), context=context, workers=3)
    lines = [line.split("-")[1] for line in Diary(context.root).lines()[before:]]
    assert sorted(lines) == sorted(item.name for item in steps)
    assert all(lines.index(need) < lines.index(item.name) for item in steps for need in item.needed())


def test_the_run_carries_the_figures_that_its_steps_measured(context: Context) -> None:
    run = run_plan(Plan("p", (Step("score", "tests.measure"),)), context=context)
    assert run.metrics == {"score.auc": 0.8, "score.loss": 0.5, "score.rows": 3.0}
