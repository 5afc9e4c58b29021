"""Rows that wait for a process are taken together, in their order, and nobody waits for what would not be worth it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from keelway.engines.local.python_worker.waiting import PythonRule, Waiting, WaitingRows, hand_out
from keelway.errors import OverloadedError, ServingError
from keelway.serve import ShedRule

LONG_S = 60.0


def waits(rows: int = 1, *, ago_s: float = 0.0) -> Waiting:
    return Waiting([[number] for number in range(rows)], time.monotonic() - ago_s, Future())


def waiting_rows(**rule: Any) -> WaitingRows:
    return WaitingRows(PythonRule(**({"wait_s": LONG_S, "shed": ShedRule(target_s=LONG_S)} | rule)))


class RecordingLoop:
    """Notes who wakes it, and does what it is told at once."""

    def __init__(self, *, closed: bool = False) -> None:
        self.woken, self.closed = 0, closed

    def call_soon_threadsafe(self, call: Callable[..., object], *given: Any) -> None:
        if self.closed:
            raise RuntimeError("Event loop is closed")
        self.woken += 1
        call(*given)


def test_a_lone_request_is_taken_without_waiting_for_another() -> None:
    queue, one = waiting_rows(), waits()
    queue.put(one)
    assert queue.taken() == [one]
    queue.called(1, LONG_S)
    queue.put(one)
    assert queue.taken() == [one]


def test_what_gathered_while_a_process_computed_is_taken_at_once() -> None:
    queue, some_of_them = waiting_rows(), [waits(2) for _ in range(5)]
    queue.called(10, LONG_S)
    for each in some_of_them:
        queue.put(each)
    assert queue.taken() == some_of_them


def test_who_takes_waits_until_as_many_rows_are_there_as_the_last_call_had() -> None:
    queue, three = waiting_rows(), [waits() for _ in range(3)]
    queue.called(3, 10 * LONG_S)
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(queue.taken)
        for each in three:
            queue.put(each)
            time.sleep(0.01)
        assert taken.result() == three


def test_who_takes_does_not_wait_for_rows_that_cost_nothing_to_ask_for_later() -> None:
    queue, one = waiting_rows(), waits()
    queue.called(100, 0.0)
    queue.put(one)
    assert queue.taken() == [one], "a call takes no time, so that nothing is gained by a larger one"


@pytest.mark.parametrize("wait_s", [0.0, 0.01], ids=["never", "a while"])
def test_nobody_waits_longer_than_is_declared(wait_s: float) -> None:
    queue, one = waiting_rows(wait_s=wait_s), waits()
    queue.called(100, 10 * LONG_S)
    queue.put(one)
    assert queue.taken() == [one]


@given(sizes=some.lists(some.integers(1, 9), min_size=1, max_size=30), most=some.integers(1, 6))
def test_every_request_is_taken_once_in_its_order_and_no_call_is_larger_than_declared(
    sizes: list[int], most: int
) -> None:
    queue, given_in = waiting_rows(batch=most), [waits(size) for size in sizes]
    for each in given_in:
        queue.put(each)
    batches: list[list[Waiting]] = []
    while sum(map(len, batches)) < len(given_in):
        batches.append(queue.taken())
    assert [each for batch in batches for each in batch] == given_in
    assert all(len(batch) == 1 or sum(len(each.rows) for each in batch) <= most for batch in batches)


def test_several_processes_take_every_request_once() -> None:
    queue, given_in, taken = waiting_rows(wait_s=0.001), [waits() for _ in range(500)], []
    done = threading.Event()

    def take() -> None:
        while not done.is_set():
            taken.extend(queue.taken())

    takers = [threading.Thread(target=take) for _ in range(3)]
    for each in takers:
        each.start()
    for each in given_in:
        queue.put(each)
    while len(taken) < len(given_in):
        time.sleep(0.001)
    done.set()
    queue.close()
    for each in takers:
        each.join()
    assert sorted(map(id, taken)) == sorted(map(id, given_in))


def test_who_waits_for_requests_is_let_go_when_there_will_be_none() -> None:
    queue = waiting_rows()
    with ThreadPoolExecutor(2) as pool:
        takers = [pool.submit(queue.taken) for _ in range(2)]
        queue.close()
        assert [each.result() for each in takers] == [[], []]


def test_requests_that_nobody_will_take_are_returned_once() -> None:
    queue, two = waiting_rows(), [waits(), waits(3)]
    for each in two:
        queue.put(each)
    assert queue.emptied() == two
    assert queue.emptied() == []
    queue.put(two[0])
    assert queue.taken() == [two[0]]


def test_who_could_not_wait_is_left_out() -> None:
    queue, gone, here = waiting_rows(), waits(), waits()
    gone.answers.cancel()
    queue.put(gone)
    queue.put(here)
    assert queue.taken() == [here]


def test_what_waited_too_long_is_refused_and_the_rest_is_taken() -> None:
    queue = waiting_rows(shed=ShedRule(target_s=0.001, interval_s=0.01))
    late = [waits(ago_s=1.0) for _ in range(3)]
    queue.put(late[0])
    assert queue.taken() == [late[0]], "one that waited is no queue that stays"
    time.sleep(0.02)
    for each in late[1:]:
        queue.put(each)
    assert queue.taken() == [late[1]]
    with pytest.raises(OverloadedError, match=r"10.. ms of waiting"):
        late[2].answers.result(0)


def test_an_event_loop_is_woken_once_for_all_its_answers() -> None:
    loops: list[Any] = [RecordingLoop(), RecordingLoop()]
    given_in = [Waiting([[1]], 0.0, Future(), loops[number % 2]) for number in range(10)]
    hand_out((each, [number]) for number, each in enumerate(given_in))
    assert [each.woken for each in loops] == [1, 1]
    assert [each.answers.result() for each in given_in] == [[number] for number in range(10)]


def test_a_loop_that_was_closed_and_a_caller_that_is_gone_cost_nobody_else_an_answer() -> None:
    closed: Any = RecordingLoop(closed=True)
    lost, gone, here = Waiting([[1]], 0.0, Future(), closed), waits(), waits()
    gone.answers.cancel()
    hand_out([(lost, [1]), (gone, [2]), (gone, ServingError("It is gone")), (here, [3])])
    assert here.answers.result() == [3]
    assert not lost.answers.done()


def test_what_a_loop_awaits_comes_from_a_thread() -> None:
    async def both() -> list[Any]:
        loop = asyncio.get_running_loop()
        two = [Waiting([[1]], 0.0, loop.create_future(), loop) for _ in range(2)]
        threading.Thread(target=hand_out, args=([(two[0], [1]), (two[1], ServingError("It is gone"))],)).start()
        return await asyncio.gather(*(each.answers for each in two), return_exceptions=True)  # type: ignore[arg-type]

    answered, failed = asyncio.run(both())
    assert answered == [1]
    assert isinstance(failed, ServingError)
