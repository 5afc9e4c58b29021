"""Coverage watches one case of each quick test, and is away while what takes long is done."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from coverage import Coverage
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.testing.crash import stride

EVERYTHING = "KEELWAY_COVER_ALL" in os.environ
TELL = "import coverage; print(coverage.Coverage.current() is not None)"


@pytest.fixture(autouse=True)
def measured(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("cov_source", default=None):
        pytest.skip("coverage is not measured")


def is_watched() -> bool:
    return Coverage.current() is not None and sys.gettrace() is not None


def is_watched_in_a_child() -> bool:
    told = subprocess.run([sys.executable, "-c", TELL], capture_output=True, text=True, check=True)
    return told.stdout.strip() == "True"


@pytest.mark.parametrize("first", [True, False])
def test_the_first_case_is_watched_with_its_children(first: bool) -> None:
    assert is_watched() == is_watched_in_a_child() == (first or EVERYTHING)


@pytest.mark.crash
def test_a_sweep_is_not_watched() -> None:
    assert is_watched() == is_watched_in_a_child() == EVERYTHING


@given(st.integers())
def test_examples_are_not_watched(number: int) -> None:
    assert is_watched() == EVERYTHING, number


def test_a_quick_test_is_watched_after_one_that_was_not() -> None:
    assert is_watched()


@pytest.mark.skipif(stride() == 1, reason="every example is tried")
def test_a_share_of_the_examples_is_tried_and_none_has_a_deadline() -> None:
    assert settings.default.max_examples * stride() <= 100
    assert settings.default.deadline is None
