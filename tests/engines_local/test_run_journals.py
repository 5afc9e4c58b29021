"""Journals of runs in files: held while their process lives, found by others when it is gone."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from keelway.core import RunId
from keelway.engines.local.run_journals import FileRunJournals
from keelway.errors import StorageError, UsageError

RUN = RunId("ab" * 16)


def test_a_living_journal_is_read_by_others_and_left_alone(tmp_path: Path) -> None:
    journal = FileRunJournals(tmp_path).create(RUN)
    journal.append(b"one\n")
    others = FileRunJournals(tmp_path)
    assert others.running() == [b"one\n"]
    with others.leftovers() as held:
        assert held == []
    journal.close()


def test_a_journal_without_an_owner_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    journal = FileRunJournals(tmp_path).create(RUN)
    journal.append(b"left\n")
    journal.close()
    with FileRunJournals(tmp_path).leftovers() as first, FileRunJournals(tmp_path).leftovers() as second:
        assert ([each.read() for each in first], second) == ([b"left\n"], [])
        first[0].remove()
    assert FileRunJournals(tmp_path).running() == []


def test_a_process_that_was_killed_owns_nothing_more(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        FileRunJournals(tmp_path).create(RUN).append(b"mine\n")
        os._exit(9)
    os.waitpid(child, 0)
    with FileRunJournals(tmp_path).leftovers() as held:
        assert [each.read() for each in held] == [b"mine\n"]


def test_a_run_has_one_journal_and_a_name_that_leads_nowhere_else(tmp_path: Path) -> None:
    journals = FileRunJournals(tmp_path)
    with pytest.raises(UsageError, match="not a name"):
        journals.create(RunId("../../x"))
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="A run journal cannot be opened"):
        FileRunJournals(tmp_path / "file").create(RUN)
    with pytest.raises(StorageError, match="cannot be written"), FileRunJournals(tmp_path / "file").mirror_turn():
        pass


def test_one_at_a_time_mirrors(tmp_path: Path) -> None:
    order: list[str] = []
    inside = threading.Event()

    def second() -> None:
        inside.wait()
        with FileRunJournals(tmp_path).mirror_turn():
            order.append("second")

    waiting = threading.Thread(target=second)
    waiting.start()
    with FileRunJournals(tmp_path).mirror_turn():
        inside.set()
        waiting.join(0.2)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]
