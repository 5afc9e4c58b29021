"""The key vault on SQLite: the suite, and that what is destroyed is in no byte of its files."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from keelway.engines.sql.keys import SqliteKeyVault
from keelway.errors import EngineError, IntegrityError, StorageError
from keelway.privacy import Loss
from keelway.testing.keys import KeyVaultConformance, artifact_key, value_key

COUNT = 400


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "vault.db"


@pytest.fixture
def vault(path: Path):
    with closing(SqliteKeyVault(path)) as opened:
        yield opened


class TestSqliteKeyVault(KeyVaultConformance):
    @pytest.fixture
    def vault(self, path: Path):
        with closing(SqliteKeyVault(path)) as opened:
            yield opened


def bytes_of(path: Path) -> bytes:
    """Return every byte that lies in the vault's folder."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()))


def test_nothing_is_written_before_the_first_use(path: Path) -> None:
    SqliteKeyVault(path).close()
    assert not path.parent.exists()


def test_only_the_owner_reads_the_vault(vault, path: Path) -> None:
    vault.add_value_keys([value_key("ana")])
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file.name


def test_a_destroyed_key_is_in_no_byte_of_the_files(vault, path: Path) -> None:
    keys = [value_key(str(n), scarce=n % 2 == 0) for n in range(COUNT)]
    vault.add_value_keys(keys)
    assert all(key.key in bytes_of(path) for key in keys)
    vault.destroy_values(key.mark for key in keys[: COUNT // 2])
    left = bytes_of(path)
    assert not [key for key in keys[: COUNT // 2] if key.key in left or key.lookup in left]
    assert all(key.key in left for key in keys[COUNT // 2 :])


def test_a_destroyed_artifact_key_is_in_no_byte_of_the_files(vault, path: Path) -> None:
    keys = [vault.add_artifact_key(artifact_key(str(n))) for n in range(50)]
    vault.destroy_artifacts([key.digest for key in keys[:25]], loss=Loss.ERASED)
    left = bytes_of(path)
    assert [key.key in left for key in keys] == [False] * 25 + [True] * 25


def test_a_replaced_key_is_in_no_byte_of_the_files_either(vault, path: Path) -> None:
    first = vault.add_artifact_key(artifact_key("raw"))
    vault.destroy_artifacts([first.digest], loss=Loss.EXPIRED)
    second = vault.add_artifact_key(artifact_key("raw"))
    vault.destroy_artifacts([first.digest], loss=Loss.ERASED)
    assert first.key not in bytes_of(path)
    assert second.key not in bytes_of(path)


def test_destroying_waits_for_no_reader_in_vain(vault, path: Path, monkeypatch) -> None:
    monkeypatch.setattr("keelway.engines.sql.keys.BUSY_TIMEOUT_MS", 50)
    monkeypatch.setattr("keelway.engines.sql.keys._PRAGMAS", ("PRAGMA busy_timeout = 50", "PRAGMA journal_mode = WAL"))
    key = value_key("ana")
    vault.add_value_keys([key])
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM value_keys").fetchone()
        with pytest.raises(StorageError, match="still lie"):
            vault.destroy_values([key.mark])
    assert vault.destroy_values([key.mark]) == 0
    assert key.key not in bytes_of(path)


def rival(path: Path, name: str, started, queue) -> None:
    vault = SqliteKeyVault(path)
    started.wait()
    for n in range(30):
        vault.add_value_keys([value_key(str(n), mark=f"{name} {n}")])
    queue.put(vault.value_keys([value_key(str(n)).lookup for n in range(30)]))
    vault.close()


def test_of_several_processes_one_wins_each_value(path: Path) -> None:
    spawn = multiprocessing.get_context("fork")
    started, queue = spawn.Barrier(3), spawn.Queue()
    racers = [spawn.Process(target=rival, args=(path, str(n), started, queue)) for n in range(3)]
    for racer in racers:
        racer.start()
    found = [queue.get(timeout=60) for _ in racers]
    for racer in racers:
        racer.join()
    assert len(found[0]) == 30
    assert found[0] == found[1] == found[2]


def test_a_child_opens_a_connection_of_its_own(vault) -> None:
    vault.add_value_keys([value_key("ana")])
    child = os.fork()
    if child == 0:
        code = 1
        try:
            vault.add_value_keys([value_key("bo")])
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(vault.value_keys([value_key("ana").lookup, value_key("bo").lookup])) == 2


def test_a_process_killed_while_it_adds_leaves_a_sound_vault(path: Path) -> None:
    key = value_key("ana")
    with closing(SqliteKeyVault(path)) as vault:
        vault.add_value_keys([key])
    child = os.fork()
    if child == 0:
        vault = SqliteKeyVault(path)

        def endless():
            n = 0
            while True:
                yield value_key(f"more {n}")
                n += 1
                if n == 500:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            with vault._writing() as cursor:
                cursor.executemany("INSERT INTO value_keys VALUES (?, ?, ?, ?)", endless())
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    with closing(SqliteKeyVault(path)) as vault:
        assert vault.value_keys([key.lookup, value_key("more 0").lookup]) == {key.lookup: key.key}


def test_a_file_that_is_no_vault_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database at all" * 1000)
    with pytest.raises(IntegrityError, match="damaged"):
        SqliteKeyVault(path).value_keys([b"1"])


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("in the way")
    with pytest.raises(StorageError, match="cannot be opened"):
        SqliteKeyVault(tmp_path / "keys" / "vault.db").claim(b"1")


def test_a_vault_with_other_tables_is_told_as_such(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE artifact_keys (something INTEGER)")
    with pytest.raises(EngineError, match="failed"):
        SqliteKeyVault(path).value_keys([b"1"])
