"""Seven ways to make a ledger say something else; each is found, and the first bad entry is named.

Who attacks can write every table of the database, but has not the signing key. With the hashes that are published with
the checkpoints the entry is named exactly; with bare checkpoints it is bracketed by two of them, as exactly as their
roots allow.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.core import Action, Decision, PointerMove, PrincipalId
from keelway.engines.local.checkpoints import FolderCheckpoints
from keelway.engines.sql import SqlState
from keelway.ledger import (
    AuditReport,
    Harm,
    PublishedNote,
    SigningKey,
    audit,
    decisions,
    publish_checkpoint,
    published,
    record_decision,
    sign_checkpoint,
)
from keelway.ledger.findings import Finding, span
from keelway.ledger.merkle import append, leaf_hash
from keelway.ledger.record import leaf_bytes
from keelway.testing.state import NOW, SampleRecord

KEY = SigningKey("keelway.example/ledger", bytes(range(32)))
SIZE, PUBLISHED = 40, (10, 20, 30)


@dataclass(frozen=True)
class World:
    """A ledger of 40 entries, the checkpoints of its 10, 20 and 30, and a copy of an earlier day."""

    folder: Path
    backup: Path
    target: FolderCheckpoints

    @property
    def database(self) -> Path:
        return self.folder / "state.db"

    def sql(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.database)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    def check(self, *, hashes: bool = True, more: Iterable[PublishedNote] = ()) -> AuditReport:
        notes = [*published([self.target]), *more]
        if not hashes:
            notes = [PublishedNote(note.where, note.text) for note in notes]
        with closing(SqlState(f"sqlite:///{self.database}")) as state:
            return audit(state, key=KEY.public, checkpoints=notes)


def grow(path: Path, told: Iterable[int], *, target: FolderCheckpoints | None = None) -> None:
    """Append decisions, each with a record and a pointer that moves, and publish at the sizes that are published."""
    with closing(SqlState(f"sqlite:///{path}")) as state, state.transaction() as tx:
        for number in told:
            digest = tx.insert(f"r{tx.log.size()}", SampleRecord(f"r{number}"), at=NOW)
            held = tx.pointer("p")
            move = PointerMove("p", held.target if held else None, digest)
            tx.move("p", before=move.before, after=digest, at=NOW)
            evidence, ana = {"record": digest}, PrincipalId("user:ana")
            record_decision(Decision(Action.RUN, f"run {number}", True, ana, NOW, evidence, moves=(move,)), tx=tx)
            if target is not None and tx.log.size() in PUBLISHED:
                publish_checkpoint(tx.log, origin="o", key=KEY, targets=[target])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ledger")
    target = FolderCheckpoints(folder / "checkpoints")
    grow(folder / "state.db", range(25), target=target)
    (folder / "backup").mkdir()
    shutil.copy(folder / "state.db", folder / "backup" / "state.db")
    grow(folder / "state.db", range(25, SIZE), target=target)
    return folder


@pytest.fixture
def world(built: Path, tmp_path: Path) -> World:
    shutil.copytree(built, tmp_path / "w")
    return World(tmp_path / "w", tmp_path / "w" / "backup" / "state.db", FolderCheckpoints(tmp_path / "w/checkpoints"))


def rewritten(path: Path, change: Callable[[list[Decision]], list[Decision]]) -> None:
    """Put other decisions into a database and compute everything anew: leaves, tree, records, so that all of it agrees."""
    with closing(SqlState(f"sqlite:///{path}")) as state:
        with state.snapshot() as tx:
            told = change([decision for _, decision in decisions(tx)])
        with closing(sqlite3.connect(path)) as connection, connection:
            for table in ("log_leaves", "log_nodes", "records WHERE kind = 'Decision'"):
                connection.execute(f"DELETE FROM {table}")
        with state.transaction() as tx:
            for index, decision in enumerate(told):
                data = leaf_bytes(decision, index)
                tx.log.add_leaf(index, data, append(index, leaf_hash(data), tx.log.nodes))
                tx.insert(f"{index:012d}", decision, parent=decision.subject, at=decision.at)


def altered(told: list[Decision], *, at: int) -> list[Decision]:
    return [replace(each, comment="it was eve") if index == at else each for index, each in enumerate(told)]


def exchanged(told: list[Decision], one: int, two: int) -> list[Decision]:
    told[one], told[two] = told[two], told[one]
    return told


LEAF = "UPDATE log_leaves SET data = replace(data, 'user:ana', 'user:eve') WHERE \"index\" = 14"
MOVE = 'UPDATE log_leaves SET "index" = {} WHERE "index" = {}'


def edited(world: World) -> None:
    world.sql(LEAF)


def edited_with_its_record(world: World) -> None:
    rewritten(world.database, lambda told: altered(told, at=14))
    with closing(sqlite3.connect(world.database)) as connection:  # but the inner hashes are those of before
        old = connection.execute(f"ATTACH '{world.folder}/before.db' AS before")
        assert old
        connection.execute("DELETE FROM log_nodes WHERE level > 0")
        connection.execute("INSERT INTO log_nodes SELECT * FROM before.log_nodes WHERE level > 0")
        connection.commit()


def tail_deleted(world: World) -> None:
    world.sql('DELETE FROM log_leaves WHERE "index" >= 27')


def tail_deleted_that_nobody_signed(world: World) -> None:
    world.sql('DELETE FROM log_leaves WHERE "index" >= 35')


def middle_deleted(world: World) -> None:
    world.sql('DELETE FROM log_leaves WHERE "index" IN (14, 15)')


def middle_deleted_and_closed(world: World) -> None:
    rewritten(world.database, lambda told: told[:14] + told[16:])


def recomputed(world: World) -> None:
    rewritten(world.database, lambda told: altered(told, at=14))


def recomputed_from_the_first(world: World) -> None:
    rewritten(world.database, lambda told: [replace(each, comment="eve") for each in told])


def recomputed_where_nobody_signed(world: World) -> None:
    rewritten(world.database, lambda told: altered(told, at=33))


def swapped(world: World) -> None:
    world.sql(MOVE.format(-1, 14), MOVE.format(14, 22), MOVE.format(22, -1))


def swapped_and_recomputed(world: World) -> None:
    rewritten(world.database, lambda told: exchanged(told, 14, 22))


def restored(world: World) -> None:
    shutil.copy(world.backup, world.database)


def restored_and_gone_on(world: World) -> None:
    restored(world)
    grow(world.database, range(900, 920))


# What is done, what it is taken for, the entry that is named, and the bracket that bare checkpoints give.
ATTACKS = [
    (edited, Harm.EDITED, 14, (14, 14)),
    (edited_with_its_record, Harm.REWRITTEN, 14, (10, 19)),
    (tail_deleted, Harm.CUT, 27, (27, 27)),
    (tail_deleted_that_nobody_signed, Harm.CUT, 35, (35, 35)),
    (middle_deleted, Harm.MISSING, 14, (14, 14)),
    (middle_deleted_and_closed, Harm.REWRITTEN, 14, (10, 14)),
    (recomputed, Harm.REWRITTEN, 14, (10, 19)),
    (recomputed_from_the_first, Harm.REWRITTEN, 0, (0, 9)),
    (swapped, Harm.MISPLACED, 14, (14, 14)),
    (swapped_and_recomputed, Harm.REWRITTEN, 14, (10, 14)),
    (restored, Harm.RESTORED, 25, (25, 25)),
    (restored_and_gone_on, Harm.REWRITTEN, 25, (20, 29)),
]


@pytest.mark.parametrize(("attack", "harm", "first", "bracket"), ATTACKS, ids=[each[0].__name__ for each in ATTACKS])
def test_an_attack_is_found_and_its_first_entry_named(
    world: World, attack: Callable[[World], None], harm: Harm, first: int, bracket: tuple[int, int]
) -> None:
    assert world.check().ok
    shutil.copy(world.database, world.folder / "before.db")
    attack(world)
    exactly = world.check()
    assert (exactly.first_bad, exactly.last_bad) == (first, first), exactly.problems
    assert harm in {finding.harm for finding in exactly.findings}, exactly.findings
    assert any(f"Entry {first} " in problem for problem in exactly.problems)
    by_roots = world.check(hashes=False)
    assert (by_roots.first_bad, by_roots.last_bad) == bracket, by_roots.problems


def test_what_was_changed_behind_the_last_checkpoint_and_computed_anew_cannot_be_seen(world: World) -> None:
    recomputed_where_nobody_signed(world)
    report = world.check()
    assert [finding for finding in report.findings if finding.harm is not Harm.POINTER] == []


def fork(world: World, at: int) -> PublishedNote:
    """Let the same key sign another ledger that parts from ours at an entry, and return its checkpoint at 30."""
    other = world.folder / "other.db"
    grow(other, [number if number < at else number + 500 for number in range(30)])
    with closing(SqlState(f"sqlite:///{other}")) as state, state.snapshot() as tx:
        shown = FolderCheckpoints(world.folder / "shown")
        for name in world.target.names():
            if name < "000000000030":  # the other side had seen what was signed before
                shown.put(name, world.target.get(name))
        publish_checkpoint(tx.log, origin="o", key=KEY, targets=[shown])
    return next(note for note in published([shown]) if note.where.startswith("000000000030"))


@pytest.mark.parametrize("at", [20, 24, 29])
def test_a_fork_is_proven_by_two_signatures_and_the_entry_where_it_parts_is_named(world: World, at: int) -> None:
    note = fork(world, at)
    report = world.check(more=[note])
    assert (report.first_bad, report.last_bad) == (at, at)
    (finding,) = report.findings
    assert finding.harm is Harm.FORKED
    assert "two ledgers were shown" in finding.what


def test_a_fork_by_bare_checkpoints_is_only_known_to_part_before_the_first_that_differs(world: World) -> None:
    report = world.check(more=[fork(world, 24)], hashes=False)
    assert (report.first_bad, report.last_bad) == (0, 29)
    assert report.findings[0].harm is Harm.FORKED


def test_a_fork_is_seen_by_a_later_checkpoint_that_agrees(world: World) -> None:
    with closing(SqlState(f"sqlite:///{world.database}")) as state, state.snapshot() as tx:
        later = PublishedNote("later", sign_checkpoint(tx.log, origin="o", key=KEY).text)
    other = fork(world, 24)
    with closing(SqlState(f"sqlite:///{world.database}")) as state:
        report = audit(state, key=KEY.public, checkpoints=[later, other])
    (finding,) = report.findings
    assert (finding.harm, finding.first, finding.last) == (Harm.FORKED, 0, 29)
    assert "the checkpoint at 40, signed by the same key, agrees" in finding.what


def test_hashes_that_do_not_lead_to_the_signed_root_are_not_believed(world: World) -> None:
    recomputed(world)
    (name,) = [name for name in world.target.names() if name.startswith("000000000020") and name.endswith(".leaves")]
    path = world.folder / "checkpoints" / name
    path.chmod(0o644)
    lines = path.read_text().split("\n")
    lines[2], lines[3] = lines[3], lines[2]
    path.write_text("\n".join(lines))
    report = world.check()
    assert (report.first_bad, report.last_bad) == (10, 19)
    path.write_text("junk")
    report = world.check()
    assert (report.first_bad, report.last_bad) == (10, 19)
    assert any("cannot be used" in problem for problem in report.problems)


def test_what_follows_from_the_first_checkpoint_that_differs_is_not_told_again(world: World) -> None:
    recomputed(world)
    assert [(finding.harm, finding.first) for finding in world.check().findings] == [(Harm.REWRITTEN, 14)]
    assert [finding.harm for finding in world.check(hashes=False).findings] == [Harm.REWRITTEN]
    rewritten(world.database, lambda told: altered(told, at=24))
    assert [finding.first for finding in world.check().findings] == [14, 24]


def test_hashes_that_were_taken_away_in_one_place_are_found_in_another(world: World, tmp_path: Path) -> None:
    shutil.copytree(world.folder / "checkpoints", tmp_path / "copy")
    for path in (world.folder / "checkpoints").glob("*.leaves"):
        path.unlink()
    recomputed(world)
    report = world.check()
    assert (report.first_bad, report.last_bad) == (10, 19)
    report = world.check(more=published([FolderCheckpoints(tmp_path / "copy")]))
    assert (report.first_bad, report.last_bad, report.checkpoints) == (14, 14, 3)


def test_a_checkpoint_by_another_key_counts_for_nothing(world: World) -> None:
    other = SigningKey(KEY.name, bytes(32))
    with closing(SqlState(f"sqlite:///{world.database}")) as state, state.snapshot() as tx:
        note = PublishedNote("a note of eve", sign_checkpoint(tx.log, origin="o", key=other).text)
    report = world.check(more=[note])
    assert [finding.harm for finding in report.findings] == [Harm.CHECKPOINT]
    assert "a note of eve" in report.problems[0]
    assert report.first_bad is None


@settings(max_examples=8, deadline=None)
@given(at=st.integers(0, 29))
def test_any_entry_that_is_computed_anew_is_named(
    built: Path, tmp_path_factory: pytest.TempPathFactory, at: int
) -> None:
    folder = tmp_path_factory.mktemp("w")
    shutil.copy(built / "state.db", folder)
    world = World(folder, built / "backup", FolderCheckpoints(built / "checkpoints"))
    rewritten(world.database, lambda told: altered(told, at=at))
    assert (world.check().first_bad, world.check().last_bad) == (at, at)


@settings(max_examples=8, deadline=None)
@given(gone=st.sets(st.integers(0, 38), min_size=1))
def test_the_first_of_any_entries_that_are_gone_is_named(
    built: Path, tmp_path_factory: pytest.TempPathFactory, gone: set[int]
) -> None:
    folder = tmp_path_factory.mktemp("w")
    shutil.copy(built / "state.db", folder)
    world = World(folder, built / "backup", FolderCheckpoints(built / "checkpoints"))
    world.sql(f'DELETE FROM log_leaves WHERE "index" IN ({", ".join(map(str, gone))})')
    report = world.check()
    assert (report.first_bad, report.last_bad, report.size) == (min(gone), min(gone), SIZE)


ENTRIES = st.integers(0, 50)
FINDINGS = st.lists(
    st.tuples(st.sampled_from(Harm), ENTRIES, ENTRIES).map(lambda t: Finding(t[0], "", min(t[1:]), max(t[1:]))),
    max_size=6,
)


@given(FINDINGS)
def test_the_span_lies_in_what_was_found_and_no_certain_entry_lies_before_it(findings: list[Finding]) -> None:
    found = span(findings)
    assert (found is None) == (not findings)
    if found is not None:
        first, last = found
        assert first <= last
        assert any(each.first <= first and last <= each.last for each in findings)
        about = [each for each in findings if each.harm not in (Harm.POINTER, Harm.TREE, Harm.CHECKPOINT)]
        assert not about or all(first <= each.first for each in about if each.first == each.last)
        assert not about or last <= min(each.last for each in about)
