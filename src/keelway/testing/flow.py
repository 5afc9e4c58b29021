"""For tests of steps, plans and engines that run plans: a context, steps that keep a diary, a conformance suite.

An engine that executes plans (an orchestrator, a queue) inherits `PlanRunnerSuite` and gives it one fixture:

    class TestMyEngine(PlanRunnerSuite):
        @pytest.fixture
        def runner(self):
            return lambda plan, context: my_engine_run(plan, context=context)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from keelway.core import CodeState, PrincipalId, Run, RunStatus, StepFinished, digest_bytes, digest_of
from keelway.errors import SourceError, StepError, UsageError
from keelway.flow import Context, Plan, Step, close_run, execute_step, open_run, run_plan, run_view, step

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
Runner = Callable[[Plan, Context], Run]

_PORTS = ("project", "artifacts", "tables", "checker", "source", "tracker", "key", "policy_engine")


@dataclass(frozen=True, slots=True)
class Note:
    """What a diary step returns: its own text and the texts of the notes it was handed."""

    text: str
    after: tuple[str, ...] = ()
    seed: int = 0


class Diary:
    """The file in which diary steps write a line each time they are really executed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._file = root / "diary.txt"

    def write(self, text: str) -> None:
        """Append a line in one write, so that lines of parallel steps do not mix."""
        with self._file.open("ab", buffering=0) as stream:
            stream.write(f"{text}\n".encode())

    def lines(self) -> list[str]:
        """Return the texts of the executed steps, in the order in which they began."""
        return self._file.read_text().splitlines() if self._file.exists() else []

    def trouble(self, text: str, *, times: int = 1_000_000) -> None:
        """Let the step with that text fail so many times."""
        self._trouble(text).write_text(str(times))

    def mend(self, text: str) -> None:
        """End the trouble of a step."""
        self._trouble(text).unlink()

    def meets_trouble(self, text: str) -> bool:
        """Say whether the step fails now, and count it."""
        file = self._trouble(text)
        left = int(file.read_text()) if file.exists() else 0
        if left > 0:
            file.write_text(str(left - 1))
        return left > 0

    def _trouble(self, text: str) -> Path:
        return self._root / f"trouble-{text.replace(':', '-')}"


@step("testing.note")
def note(ctx: Context, *, text: str, after: list[Note] | None = None) -> Note:
    """Write a line into the diary and return it with the notes before it."""
    return _write_note(ctx, text, after)


@step("testing.look_outside", cache=False)
def look_outside(ctx: Context, *, text: str, after: list[Note] | None = None) -> Note:
    """Do as `note` does, as a step that looks at the outside world."""
    return _write_note(ctx, text, after)


@step("testing.nothing_new")
def nothing_new(ctx: Context, *, text: str) -> Note | None:
    """Write a line into the diary and return None."""
    Diary(ctx.root).write(text)
    return None


@step("testing.is_none")
def is_none(_ctx: Context, *, given: Note | None) -> Note:
    """Return a note that says whether None was given."""
    return Note("none" if given is None else "some")


def _write_note(ctx: Context, text: str, after: list[Note] | None) -> Note:
    diary = Diary(ctx.root)
    diary.write(text)
    if diary.meets_trouble(text):
        raise SourceError(f"There is trouble with {text}", expected="peace", fix="Mend it.")
    return Note(text, tuple(before.text for before in after or ()), ctx.seed)


def note_step(name: str, *needs: str, uses: str = "testing.note", **options: Any) -> Step:
    """Return a diary step with its name for a text."""
    return Step(name, uses, {"after": tuple(needs)} if needs else {}, {"text": name}, **options)


def step_context(root: Path, **ports: Any) -> Context:
    """Return a context in a folder, with a state of its own unless given; ports that are not given refuse use."""
    from keelway.engines.sql import SqlState

    code = CodeState(digest_bytes(b"project"), digest_bytes(b"environment"))
    facts = {"now": NOON, "seed": 7, "principal": PrincipalId("user:ana"), "code": code, "root": root}
    if "state" not in ports:
        ports["state"] = SqlState(f"sqlite:///{root}/state.db")
    absent: dict[str, Any] = {name: Absent(name) for name in _PORTS}
    return Context(**absent | facts | ports)


class Absent:
    """A port that a test did not give."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> object:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        raise UsageError(
            f"This context has no {self._name}",
            expected=f"step_context(..., {self._name}=...)",
            found=f"a use of {self._name}.{attribute}",
        )


class PlanRunnerSuite:
    """What every engine that runs plans promises, whatever it runs them on."""

    @pytest.fixture
    def runner(self) -> Runner:
        """Return the function under test; the default is the runner of this process."""
        return lambda plan, context: run_plan(plan, context=context)

    @pytest.fixture
    def context(self, tmp_path: Path) -> Any:
        """Return a context in a fresh folder."""
        context = step_context(tmp_path)
        yield context
        context.state.close()

    diamond = Plan(
        "diamond",
        (note_step("a"), note_step("b", "a"), note_step("c", "a"), note_step("d", "b", "c")),
    )

    def test_a_step_starts_after_those_it_needs(self, runner: Runner, context: Context) -> None:
        runner(self.diamond, context)
        lines = Diary(context.root).lines()
        assert sorted(lines) == ["a", "b", "c", "d"]
        assert (lines[0], lines[-1]) == ("a", "d")

    def test_a_step_is_handed_the_outputs_it_needs_in_order(self, runner: Runner, context: Context) -> None:
        run = runner(self.diamond, context)
        with context.state.snapshot() as tx:
            assert tx.by_digest(Note, run.outputs["d"]) == Note("d", ("b", "c"), context.seed)

    def test_the_run_names_what_closed_each_step(self, runner: Runner, context: Context) -> None:
        run = runner(self.diamond, context)
        assert run.status is RunStatus.SUCCEEDED
        with context.state.snapshot() as tx:
            view = run_view(run.run_id, tx=tx)
        assert view.run == run
        assert run.steps == {name: digest_of(finished) for name, finished in view.steps.items()}

    def test_a_second_run_takes_everything_from_the_cache(self, runner: Runner, context: Context) -> None:
        first = runner(self.diamond, context)
        second = runner(self.diamond, context)
        assert second.outputs == first.outputs
        assert len(Diary(context.root).lines()) == len(self.diamond.steps)

    def test_what_looks_outside_is_executed_in_every_run(self, runner: Runner, context: Context) -> None:
        plan = Plan("outside", (note_step("look", uses="testing.look_outside"), note_step("then", "look")))
        runner(plan, context)
        runner(plan, context)
        assert Diary(context.root).lines() == ["look", "then", "look"]

    def test_a_failure_stops_only_the_steps_that_need_it(self, runner: Runner, context: Context) -> None:
        diary = Diary(context.root)
        diary.trouble("bad")
        plan = Plan("mixed", (note_step("bad"), note_step("never", "bad"), note_step("good"), note_step("on", "good")))
        with pytest.raises(StepError) as caught:
            runner(plan, context)
        assert isinstance(caught.value.__cause__, SourceError)
        assert sorted(diary.lines()) == ["bad", "good", "on"]

    def test_a_failing_step_is_tried_again_as_often_as_the_plan_says(self, runner: Runner, context: Context) -> None:
        diary = Diary(context.root)
        diary.trouble("shaky", times=2)
        run = runner(Plan("shaky", (note_step("shaky", retries=2, backoff_s=0.001),)), context)
        assert run.status is RunStatus.SUCCEEDED
        assert diary.lines() == ["shaky"] * 3

    def test_none_goes_on_as_none(self, runner: Runner, context: Context) -> None:
        plan = Plan(
            "nothing",
            (
                Step("n", "testing.nothing_new", parameters={"text": "n"}),
                Step("after", "testing.is_none", {"given": "n"}),
            ),
        )
        run = runner(plan, context)
        with context.state.snapshot() as tx:
            assert tx.by_digest(Note, run.outputs["after"]).text == "none"


def plans(*, max_steps: int = 12) -> SearchStrategy[Plan]:
    """Return a hypothesis strategy that draws plans without circles, their steps in any order."""
    from hypothesis import strategies as st

    @st.composite
    def drawn(draw: st.DrawFn) -> Plan:
        steps = [_drawn_step(number, draw) for number in range(draw(st.integers(1, max_steps)))]
        return Plan("drawn", tuple(draw(st.permutations(steps))))

    return drawn()


def _drawn_step(number: int, draw: DrawFn) -> Step:
    from hypothesis import strategies as st

    before = draw(st.lists(st.integers(0, number - 1), unique=True)) if number else []
    needs: dict[str, str | tuple[str, ...]] = {"many": tuple(f"s{index}" for index in before)} if before else {}
    twice: bool = draw(st.booleans())
    if before and twice:
        needs["one"] = f"s{before[0]}"
    parameters = draw(st.dictionaries(st.sampled_from("abc"), st.none() | st.booleans() | st.integers(-9, 9)))
    return Step(f"s{number}", "shop:work", needs, dict(parameters), retries=draw(st.integers(0, 3)))


def steps_one_by_one(plan: Plan, context: Context) -> Run:
    """Run a plan as a distributed engine does: open, one call per step by its names alone, close."""
    started = open_run(plan, context=context)
    failure: StepError | None = None
    ended: dict[str, StepFinished] = {}
    for item in plan.in_order():
        if all(need in ended for need in item.needed()):
            try:
                ended[item.name] = execute_step(started.run_id, item.name, context=context)
            except StepError as error:
                failure = error
    run = close_run(started.run_id, context=context)
    if failure is not None:
        raise failure
    return run
