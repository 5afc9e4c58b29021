"""A policy that crashes, hangs or fills memory refuses and is recorded; the process that asks it lives on."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from keelway.core import Action, PolicySet, canonical_json
from keelway.engines.rego import RegoEngine, answering
from keelway.engines.rego.compiled import asking, program_of
from keelway.engines.rego.processes import (
    ENDED,
    MOST_ENDED,
    AnsweringProcess,
    AnsweringProcesses,
    EvaluationLimits,
    RegoProgram,
    available_processors,
    processes,
)
from keelway.errors import EngineError, RefusedError
from keelway.ledger import decisions
from keelway.testing.door import DoorWorld

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits and signals are those of Linux")

TIGHT = EvaluationLimits(seconds=0.3, memory=192 << 20)
ROOMY = EvaluationLimits(seconds=60, memory=192 << 20)
HEAD = 'package keelway.gate\nrules contains "a"\n'
QUIET = 'deny contains "x" if input.a == 2\n'
CRASHES = f"{QUIET}deep := {'[' * 20_000}{']' * 20_000}\n"
HANGS = f"{QUIET}deny contains sprintf(`%v`, [n]) if {{ n := input.n; some x in numbers.range(1, n); x * x == -1 }}\n"
FILLS = f'{QUIET}deny contains "x" if count(numbers.range(1, 100000000)) < 3\n'
SLOW = 'deny contains "x" if { some a in numbers.range(1, 3000); some b in numbers.range(1, 3000); a * b == -1 }\n'


def gate(text: str, name: str = "gate") -> PolicySet:
    return PolicySet(name, {"gate.rego": HEAD + text})


def program(text: str = QUIET) -> RegoProgram:
    return program_of("gate", gate(text).files, asking("deny"))


@pytest.fixture
def among() -> Iterator[AnsweringProcesses]:
    made = AnsweringProcesses(TIGHT, most=2)
    yield made
    made.stop()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (CRASHES, "it ended by signal 11 (SIGSEGV)"),
        (SLOW, "it took more than 0.3 s of processor time"),
        (FILLS, "it ended by signal 6 (SIGABRT), as it does out of memory (192 MB)"),
    ],
    ids=["a crash", "an endless evaluation", "too much memory"],
)
def test_a_policy_that_ends_its_process_refuses_and_says_how(text: str, reason: str) -> None:
    engine = RegoEngine(ROOMY if text is FILLS else TIGHT)
    verdict = engine.judge(gate(text), {"a": 1})
    assert not verdict.allowed
    assert verdict.reasons == (f"the policy gate ended the process that judged it: {reason}",)
    assert engine.judge(gate(QUIET), {"a": 1}).allowed
    assert engine.judge(gate(QUIET), {"a": 2}).reasons == ("x",)


def test_such_a_policy_is_a_fault_or_an_error_wherever_else_it_is_asked() -> None:
    engine = RegoEngine(TIGHT)
    (fault,) = engine.faults(gate(CRASHES))
    assert "SIGSEGV" in fault
    with pytest.raises(EngineError, match="processor time"):
        engine.texts(gate(SLOW), {"a": 1}, sets=["deny"])
    (outcome,) = engine.unit_tests(
        gate(SLOW), {"a_test.rego": "package t\nimport data.keelway.gate\ntest_x if count(gate.deny) == 0\n"}
    )
    assert "processor time" in outcome.problem


def test_a_promotion_by_such_a_policy_is_refused_with_a_ledger_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keelway.testing.door.RegoEngine", lambda: RegoEngine(TIGHT))
    world = DoorWorld(tmp_path)
    with pytest.raises(RefusedError) as caught:
        world.promote(
            environment=dataclasses.replace(
                world.rules, approvals=0, policy=gate(CRASHES.replace("input.a", "input.now"))
            )
        )
    assert "SIGSEGV" in str(caught.value)
    with world.state.snapshot() as tx:
        *_, (_, last) = decisions(tx)
    assert (last.action, last.allowed) == (Action.PROMOTE, False)
    assert any("SIGSEGV" in reason for reason in last.reasons)


def test_one_document_among_many_on_which_a_policy_ends_refuses_alone() -> None:
    engine, policy = RegoEngine(TIGHT), gate(HANGS)
    data = [canonical_json({"a": 1 + number % 2, "n": 1 + number}) for number in range(110)]
    data[70] = canonical_json({"a": 1, "n": 30_000_000})
    found = engine.judge_many(policy, data, workers=2)
    assert "ended the process" in found[70].reasons[0]
    assert [verdict.allowed for number, verdict in enumerate(found) if number != 70] == [
        number % 2 == 0 for number in range(110) if number != 70
    ]


def test_a_policy_that_ends_every_process_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    class Counted(AnsweringProcess):
        def __init__(self, limits: EvaluationLimits) -> None:
            started.append(limits)
            super().__init__(limits)

    monkeypatch.setattr("keelway.engines.rego.processes.AnsweringProcess", Counted)
    data = [canonical_json({"a": number}) for number in range(110)]
    with pytest.raises(EngineError, match="ended the process"):
        RegoEngine(EvaluationLimits(seconds=0.1)).judge_many(gate(SLOW), data, workers=1)
    assert MOST_ENDED <= len(started) <= MOST_ENDED + 2


def test_a_policy_that_cannot_even_be_compiled_is_not_asked_for_each_document() -> None:
    data = [canonical_json({"a": number}) for number in range(5)]
    found = RegoEngine(TIGHT).judge_many(gate("deny if {"), data, workers=1)
    assert not any(verdict.allowed for verdict in found)
    assert {verdict.reasons for verdict in found} == {
        RegoEngine(TIGHT).judge(gate("deny if {"), {"a": 1}).reasons,
    }


def test_a_process_that_somebody_killed_while_it_was_idle_is_replaced(among: AnsweringProcesses) -> None:
    assert among.ask(program(), [b'{"a":1}'])[0].kind == answering.ANSWERED
    first = _only(among)
    os.kill(first.pid, signal.SIGKILL)
    os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)
    assert among.ask(program(), [b'{"a":1}'])[0].kind == answering.ANSWERED
    assert _only(among).pid != first.pid


def test_a_process_that_is_killed_while_it_judges_is_a_refusal() -> None:
    slow = AnsweringProcesses(EvaluationLimits(), most=1)
    slow.ask(program(), [b'{"a":1}'])
    pid = _only(slow).pid
    timer = threading.Timer(0.05, os.kill, (pid, signal.SIGKILL))
    timer.start()
    (reply,) = slow.ask(program(SLOW), [b'{"a":1}'])
    timer.join()
    slow.stop()
    assert (reply.kind, reply.text) == (ENDED, "it ended by signal 9 (SIGKILL)")


def test_documents_after_the_last_ending_that_is_borne_are_not_asked(among: AnsweringProcesses) -> None:
    replies = among.ask(program(SLOW), [b'{"a":1}'] * (MOST_ENDED + 2))
    assert [reply.kind for reply in replies] == [ENDED] * (MOST_ENDED + 2)


def test_a_program_that_a_process_let_go_is_compiled_again(among: AnsweringProcesses) -> None:
    for number in range(answering.KEPT + 2):
        among.ask(program(f'deny contains "{number}"'), [b"{}"])
    (reply,) = among.ask(program('deny contains "0"'), [b"{}"])
    assert reply.kind == answering.ANSWERED
    assert "MA==" in reply.text


def test_an_interrupted_question_leaves_no_answer_for_the_next(
    among: AnsweringProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    among.ask(program(), [b'{"a":1}'])

    def interrupted(_: Any) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(answering, "read_frame", interrupted)
        with pytest.raises(KeyboardInterrupt):
            among.ask(program(), [b'{"a":2}'])
    (reply,) = among.ask(program(), [b'{"a":1}'])
    assert '"deny":[["set",[],0]]' in reply.text.replace(" ", "")


def test_threads_share_the_processes_and_wait_for_one(among: AnsweringProcesses) -> None:
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda n: among.ask(program(), [b'{"a":%d}' % n])[0].text, [1, 2] * 12))
    assert len(set(found[::2])) == len(set(found[1::2])) == 1
    assert found[0] != found[1]
    assert 1 <= len(among._idle) <= 2


def test_a_forked_process_asks_processes_of_its_own() -> None:
    engine = RegoEngine(TIGHT)
    assert engine.judge(gate(QUIET), {"a": 1}).allowed
    before = {process.pid for process in processes(TIGHT)._idle}
    child = os.fork()
    if not child:
        judged = RegoEngine(TIGHT).judge(gate(QUIET), {"a": 1})
        own = {process.pid for process in processes(TIGHT)._idle}
        processes(TIGHT).stop()
        os._exit(0 if judged.allowed and not own & before else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert engine.judge(gate(QUIET), {"a": 2, "b": 1}).reasons == ("x",)
    assert before & {process.pid for process in processes(TIGHT)._idle}


def test_processes_end_with_the_one_that_asks_even_when_that_is_killed() -> None:
    told, telling = os.pipe()
    child = os.fork()
    if not child:
        pool = AnsweringProcesses(TIGHT, most=1)
        pool.ask(program(), [b'{"a":1}'])
        os.write(telling, str(_only(pool).pid).encode())
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(telling)
    with os.fdopen(told) as pipe:
        pid = int(pipe.read())
    os.waitpid(child, 0)
    deadline = time.monotonic() + 60
    while _is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _is_alive(pid)


def test_the_process_sees_no_secret_of_the_environment(
    among: AnsweringProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEELWAY_SECRET", "hidden")
    among.ask(program(), [b'{"a":1}'])
    seen = Path(f"/proc/{_only(among).pid}/environ").read_bytes()
    assert b"hidden" not in seen


def test_an_answer_that_nobody_could_store_is_an_error(among: AnsweringProcesses) -> None:
    text = f'a := "{"a" * 170}"\nb := replace(a, "a", a)\ndeny contains replace(b, "a", a)\n'
    (reply,) = among.ask(program(text), [b"{}"])
    assert (reply.kind, reply.text) == (answering.ERROR, "the answer is too long")


def test_a_python_without_the_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineError, match="regopy") as caught:
        AnsweringProcess(TIGHT)
    assert caught.value.fix == "pip install regopy"


def test_frames_come_out_as_they_went_in(tmp_path: Path) -> None:
    bodies = [b"", b"a", "ä☃".encode() * 1000]
    path = tmp_path / "frames"
    path.write_bytes(b"".join(answering.frame(body) for body in bodies) + b"\x00\x00\x00\x09cut")
    with path.open("rb") as pipe:
        assert [answering.read_frame(pipe) for _ in range(4)] == [*bodies, None]
        assert answering.read_frame(pipe) is None


def test_there_is_a_processor() -> None:
    assert 1 <= available_processors() <= (os.cpu_count() or 1)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _only(among: AnsweringProcesses) -> AnsweringProcess:
    (process,) = among._idle
    return process
