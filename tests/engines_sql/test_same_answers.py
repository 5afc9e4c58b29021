"""SQLite and PostgreSQL answer every question alike: what they hold is the same, and so is its order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.core import RunAll, RunAny, RunFilter, RunNot, RunQuery, RunTest
from keelway.engines.sql import SqlState
from keelway.testing.postgres import PostgresServer
from keelway.testing.records import SampleRecord
from keelway.testing.run_index import NOW, tracked

WORDS = ("a", "A", "ab", "a b", "a-b", "a_b", "%", "\\", "'", "Ä", "ä", "ß", "é", "z", "Z", "10", "9", "\U0001f600")
NUMBERS = (0, 1, -1, 0.5, 1e300, -1e-300, 2**53, 3)
OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "like")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer) -> Iterator[list[SqlState]]:
    folder: Path = tmp_path_factory.mktemp("both")
    with ExitStack() as opened:
        urls = (f"sqlite:///{folder / 'state.db'}", postgres_server.database())
        states = [opened.enter_context(closing(SqlState(url))) for url in urls]
        for state in states:
            fill(state)
        yield states


def fill(state: SqlState) -> None:
    with state.transaction() as tx:
        for number, word in enumerate(WORDS):
            figures = {"auc": float(NUMBERS[number % len(NUMBERS)])} if number % 3 else {}
            parameters: dict[str, Any] = {"word": word, "depth": NUMBERS[number % 5], "flag": number % 2 == 0}
            run = tracked(number, name=word, estimator=WORDS[-number], metrics=figures, parameters=parameters)
            tx.insert(f"r{number}", run, at=NOW)
            tx.insert(word, SampleRecord(word), parent=WORDS[-number % 4], at=NOW + timedelta(seconds=number % 3))
            tx.move(word, before=None, after=tx.insert(f"{word}/", SampleRecord(word + "/"), at=NOW), at=NOW)


def conditions() -> st.SearchStrategy[RunFilter]:
    words, signs = st.sampled_from(WORDS), st.sampled_from(OPERATORS)
    orders, figures = st.sampled_from(OPERATORS[:-1]), st.one_of(st.sampled_from(NUMBERS), st.booleans())
    tests = st.one_of(
        st.builds(RunTest, st.sampled_from(["name", "estimator", "status"]), st.just("field"), signs, words),
        st.builds(RunTest, st.sampled_from(["word", "depth"]), st.just("parameter"), signs, words),
        st.builds(RunTest, st.sampled_from(["auc", "depth", "flag", "none"]), st.just(""), orders, figures),
    )
    return st.recursive(
        tests,
        lambda inner: st.one_of(
            st.builds(RunNot, inner),
            st.builds(RunAll, st.lists(inner, min_size=1, max_size=3).map(tuple)),
            st.builds(RunAny, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        ),
        max_leaves=5,
    )


@settings(max_examples=60, deadline=None)
@given(where=conditions(), metric=st.sampled_from(["", "auc"]), lowest=st.booleans())
def test_a_search_finds_the_same_runs_in_the_same_order(
    both: list[SqlState], where: RunFilter, metric: str, lowest: bool
) -> None:
    found = []
    for state in both:
        with state.snapshot() as tx:
            found.append(tx.runs.search(RunQuery(where=where, metric=metric, lowest=lowest)))
    assert found[0] == found[1]


def everything(state: SqlState) -> list[object]:
    with state.snapshot() as tx:
        return [
            tx.newest(SampleRecord),
            *(tx.newest(SampleRecord, parent=word) for word in WORDS),
            tx.pointers(),
            *(tx.pointers(prefix=word) for word in WORDS),
            *(tx.runs.named(start) for start in ("0", "00", f"{7:032x}", "f")),
            tx.missing(SampleRecord, [*WORDS, "none", "None"]),
            tx.runs.unmirrored(("script",), limit=5),
        ]


def test_listings_are_the_same(both: list[SqlState]) -> None:
    one, other = (everything(state) for state in both)
    assert one == other
