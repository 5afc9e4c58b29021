"""What all tests need of the process they run in, and how thoroughly they look.

A run of every day is meant to end while one waits: Hypothesis tries a share of its examples, and coverage watches one
case of each quick test, because a test that is watched takes half as long again. The figure is then less than what the
whole suite covers, never more. KEELWAY_SWEEP_EVERY=1 tries every example; KEELWAY_COVER_ALL=1 watches everything.

Most tests begin with an empty state. They get the tables that the migrations made once; the tests of the SQL engine let
them run each time. What tests write lies in memory where it has room, and goes as soon as they pass. The folders whose
tests take longest come first, so that the workers have short ones left to share at the end.
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from coverage import Coverage
from hypothesis import settings

# A worker of pytest-xdist has no main file; the Spark client takes that for a run of its own doctests, and exits.
if not hasattr(sys.modules["__main__"], "__file__"):
    sys.modules["__main__"].__file__ = __file__

HERE = Path(__file__).parent
WORLDS = ("concurrency", "engines_sql", "mutations", "real_data")
"""Folders whose tests live through whole histories, and run lines that quicker tests run too."""
FIRST = ("mutations", "journeys", "concurrency", "real_data", "train")
"""Folders that the run begins with."""
LONG_MARKS = ("crash", "journey")
CHILDREN_ARE_WATCHED = "COVERAGE_PROCESS_CONFIG"
"""The variable by which coverage starts in child processes."""
UNWATCHED = pytest.StashKey[bool]()
MIGRATING = ("engines", "engines_sql")
"""Folders whose tests are about the migrations."""
FOLDERS = "PYTEST_DEBUG_TEMPROOT"
"""The variable by which pytest knows where to make the folders of the tests."""
MEMORY = Path("/dev/shm")
ROOM_BYTES = 4 << 30


def pytest_configure() -> None:
    """Let pytest make the folders of the tests in memory where it has room: there nobody waits for a disk."""
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM_BYTES:
        os.environ.setdefault(FOLDERS, str(MEMORY))


@pytest.hookimpl(trylast=True)
def pytest_sessionstart() -> None:
    """Say how many examples are tried; none has a deadline, which would tell how busy the machine is."""
    from keelway.testing.crash import stride  # imported before this hook, it would be imported before coverage watches

    most = max(1, settings.default.max_examples // stride())
    settings.register_profile("every day", max_examples=most, deadline=None)
    settings.load_profile("every day")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the folders that take longest, and choose the tests that coverage does not watch."""
    items.sort(key=lambda item: folder_of(item) not in FIRST)
    if os.environ.get("KEELWAY_COVER_ALL"):
        return
    first: set[str] = set()
    for item in items:
        test = item.nodeid.partition("[")[0]
        item.stash[UNWATCHED] = test in first or takes_long(item)
        first.add(test)


def pytest_collection_finish() -> None:
    """Let the garbage collector look away from what stays till the end, also in every child that is forked."""
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Let the garbage collector see everything again: libraries complain of what is left over when the process ends."""
    gc.unfreeze()


def folder_of(item: pytest.Item) -> str:
    """Return the folder of the tests that a test is in, or "" for a doctest."""
    return item.path.relative_to(HERE).parts[0] if item.path.is_relative_to(HERE) else ""


def takes_long(item: pytest.Item) -> bool:
    """Say whether a test does a thing many times over, in many processes or on much data."""
    place = folder_of(item)
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


@pytest.fixture(autouse=True)
def migrated_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a new SQLite state the tables that the migrations made once in this process."""
    if "keelway.engines.sql.state" not in sys.modules or folder_of(request.node) in MIGRATING:
        return
    from keelway.engines.sql import HEAD, schema

    def bring_to(connection: Any, version: str) -> None:
        ask = connection.exec_driver_sql
        if version != HEAD or connection.dialect.name != "sqlite" or ask("SELECT 1 FROM sqlite_master").first():
            schema.bring_to(connection, version)
            return
        for statement in newest_tables():
            ask(statement)

    monkeypatch.setattr("keelway.engines.sql.state.bring_to", bring_to)


@cache
def newest_tables() -> tuple[str, ...]:
    """Return the statements that make what the migrations make."""
    from sqlalchemy import create_engine

    from keelway.engines.sql import HEAD, schema

    with create_engine("sqlite://").begin() as connection:
        schema.bring_to(connection, HEAD)
        made = connection.connection.driver_connection.iterdump()
        return tuple(line for line in made if line not in ("BEGIN TRANSACTION;", "COMMIT;"))
