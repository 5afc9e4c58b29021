"""The memory budget: refused before it is loaded, measured after, and learned from."""

from __future__ import annotations

import pytest

from keelway.core import digest_bytes
from keelway.errors import ServingError
from keelway.serve import MemoryBudget
from keelway.serve.budget import FIRST_RATIO, LARGE_BYTES, resident_bytes

A, B = digest_bytes(b"a"), digest_bytes(b"b")
MB = 1_000_000


class Process:
    """A process whose memory a test sets."""

    def __init__(self, megabytes: int) -> None:
        self.bytes = megabytes * MB

    def __call__(self) -> int:
        return self.bytes


def test_without_a_limit_everything_fits() -> None:
    MemoryBudget(resident=Process(10_000)).check("churn:1", A, 10**12)


def test_what_does_not_fit_is_refused_with_the_numbers_before_it_is_loaded() -> None:
    budget = MemoryBudget(200, resident=Process(100))
    budget.check("churn:1", A, 30 * MB)
    with pytest.raises(ServingError, match="at most 200 MB") as caught:
        budget.check("churn:2", B, 40 * MB)
    assert f"about {40 * FIRST_RATIO:.0f} MB" in caught.value.found
    assert "serving.memory_mb" in caught.value.fix


def test_growth_that_was_measured_is_expected_of_the_next_model() -> None:
    process = Process(100)
    budget = MemoryBudget(1_000, resident=process)
    before = budget.check("churn:1", A, LARGE_BYTES)
    process.bytes += 8 * LARGE_BYTES
    budget.loaded("churn:1", A, LARGE_BYTES, before=before)
    assert budget.expected(B, 10 * MB) == 80 * MB
    assert budget.expected(A, 10 * MB) == 8 * LARGE_BYTES, "this one is known"


def test_libraries_read_with_a_small_first_model_are_not_held_against_the_next() -> None:
    process = Process(100)
    budget = MemoryBudget(resident=process)
    process.bytes += 60 * MB
    budget.loaded("churn:1", A, 20_000, before=100 * MB)
    assert budget.expected(B, 1 * MB) == int(FIRST_RATIO * MB)


def test_a_model_that_took_more_than_there_was_room_for_is_refused_after_all() -> None:
    process = Process(100)
    budget = MemoryBudget(150, resident=process)
    before = budget.check("churn:1", A, 10 * MB)
    process.bytes = 170 * MB
    with pytest.raises(ServingError, match="170 MB with it"):
        budget.loaded("churn:1", A, 10 * MB, before=before)
    process.bytes = 100 * MB
    with pytest.raises(ServingError):
        budget.check("churn:1", A, 10 * MB)


def test_this_process_takes_some_memory() -> None:
    assert 1 * MB < resident_bytes() < 10**12
