"""Work that a server repeats: as often as there is time for, and never again once it was closed."""

from __future__ import annotations

import threading

import pytest

from keelway.serve.repeating import Repeating


def test_work_is_done_again_until_it_is_closed_and_the_turn_under_way_is_waited_for() -> None:
    turns: list[str] = []
    thrice, go_on = threading.Event(), threading.Event()

    def work() -> None:
        turns.append(threading.current_thread().name)
        if len(turns) == 3:
            thrice.set()
            go_on.wait(30)
            turns.append("ended")

    repeating = Repeating(work, every_s=0.0, name="keelway-test")
    repeating.start()
    assert thrice.wait(30)
    threading.Timer(0.05, go_on.set).start()
    repeating.close()
    assert turns == ["keelway-test"] * 3 + ["ended"]
    assert not any(thread.name == "keelway-test" for thread in threading.enumerate())


@pytest.mark.parametrize("times", [1, 2])
def test_what_was_never_started_is_closed_without_a_turn(times: int) -> None:
    turns: list[int] = []
    repeating = Repeating(lambda: turns.append(1), every_s=0.0, name="keelway-test")
    for _ in range(times):
        repeating.close()
    assert turns == []


def test_a_close_in_the_pause_does_not_wait_for_its_end() -> None:
    turns: list[int] = []
    repeating = Repeating(lambda: turns.append(1), every_s=3600.0, name="keelway-test")
    repeating.start()
    repeating.close()
    assert turns == []
