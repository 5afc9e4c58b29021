"""What all tests need of the process they run in, and how thoroughly they look.

A run of every day is meant to end while one waits: Hypothesis tries a share of its examples, and coverage watches one
case of each quick test, because a test that is watched takes half as long again. The figure is then less than what the
whole suite covers, never more. KEELWAY_SWEEP_EVERY=1 tries every example; KEELWAY_COVER_ALL=1 watches everything.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from coverage import Coverage
from hypothesis import settings

# A worker of pytest-xdist has no main file; the Spark client takes that for a run of its own doctests, and exits.
if not hasattr(sys.modules["__main__"], "__file__"):
    sys.modules["__main__"].__file__ = __file__

HERE = Path(__file__).parent
WORLDS = ("concurrency", "engines_sql", "mutations", "real_data")
"""Folders whose tests live through whole histories, and run lines that quicker tests run too."""
LONG_MARKS = ("crash", "journey")
CHILDREN_ARE_WATCHED = "COVERAGE_PROCESS_CONFIG"
"""The variable by which coverage starts in child processes."""
UNWATCHED = pytest.StashKey[bool]()


@pytest.hookimpl(trylast=True)
def pytest_sessionstart() -> None:
    """Say how many examples are tried; none has a deadline, which would tell how busy the machine is."""
    from keelway.testing.crash import stride  # imported before this hook, it would be imported before coverage watches

    most = max(1, settings.default.max_examples // stride())
    settings.register_profile("every day", max_examples=most, deadline=None)
    settings.load_profile("every day")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Choose the tests that coverage does not watch."""
    if os.environ.get("KEELWAY_COVER_ALL"):
        return
    first: set[str] = set()
    for item in items:
        test = item.nodeid.partition("[")[0]
        item.stash[UNWATCHED] = test in first or takes_long(item)
        first.add(test)


def takes_long(item: pytest.Item) -> bool:
    """Say whether a test does a thing many times over, in many processes or on much data."""
    place = item.path.relative_to(HERE).parts[0] if item.path.is_relative_to(HERE) else ""
    example_after_example = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
    return place in WORLDS or example_after_example or any(map(item.get_closest_marker, LONG_MARKS))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run a test with its fixtures, and look away from those that take long."""
    if not item.stash.get(UNWATCHED, False):
        return (yield)
    with unwatched():
        return (yield)


@contextmanager
def unwatched() -> Iterator[None]:
    """Let coverage pause, here and in child processes, where it measures at all."""
    paused = []
    while (watching := Coverage.current()) is not None:  # a worker has one of its own and one as a child process
        watching.stop()
        paused.append(watching)
    children = os.environ.pop(CHILDREN_ARE_WATCHED, None)
    try:
        yield
    finally:
        for watching in reversed(paused):
            watching.start()
        if children is not None:
            os.environ[CHILDREN_ARE_WATCHED] = children
