"""The online store on SQLite: the suite, other processes, and a file that is damaged."""

from __future__ import annotations

import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from keelway.engines.sql.online import SqliteOnlineStore
from keelway.errors import IntegrityError, StorageError
from keelway.testing.online import OnlineStoreConformance, online_cut, online_rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "online" / "features.db"


@pytest.fixture
def store(path: Path):
    with closing(SqliteOnlineStore(path)) as opened:
        yield opened


class TestSqliteOnlineStore(OnlineStoreConformance):
    @pytest.fixture
    def store(self, path: Path):
        with closing(SqliteOnlineStore(path)) as opened:
            yield opened


def test_nothing_is_written_before_the_first_use(path: Path) -> None:
    SqliteOnlineStore(path).close()
    assert not path.parent.exists()


def test_only_the_owner_reads_the_store(store, path: Path) -> None:
    store.write(online_cut(1), online_rows(1))
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file.name


def test_another_store_on_the_file_sees_the_cut(store, path: Path) -> None:
    store.write(online_cut(1), online_rows(1))
    with closing(SqliteOnlineStore(path)) as other:
        assert other.cut("churn") == online_cut(1)
        assert other.write(online_cut(2), online_rows(2))
    assert store.read("churn", ["e7"])["e7"].values["spent"] == 2.0


def test_a_replaced_cut_leaves_no_rows_behind(store, path: Path) -> None:
    for day in range(4):
        store.write(online_cut(day), online_rows(day))
    with store._connected() as connection:
        assert connection.execute("SELECT count(DISTINCT number), count(*) FROM features").fetchone() == (1, 50)


def test_a_store_can_be_used_again_after_it_was_closed(path: Path) -> None:
    store = SqliteOnlineStore(path)
    store.write(online_cut(1), online_rows(1))
    store.close()
    assert store.cut("churn") == online_cut(1)
    store.close()


def test_reading_loads_no_tables_and_no_frames(store, path: Path) -> None:
    store.write(online_cut(1), online_rows(1))
    program = (
        "import sys; from pathlib import Path; from keelway.engines.sql.online import SqliteOnlineStore\n"
        f"store = SqliteOnlineStore(Path({str(path)!r})); assert store.read('churn', ['e1'])\n"
        "store.close(); heavy = {'pandas', 'pyarrow', 'duckdb', 'ibis', 'sklearn', 'numpy'} & set(sys.modules)\n"
        "sys.exit(' '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_damaged_file_is_told(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database at all" * 100)
    with closing(SqliteOnlineStore(path)) as store, pytest.raises(IntegrityError, match="damaged"):
        store.cut("churn")


def test_a_place_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with closing(SqliteOnlineStore(tmp_path / "file" / "online.db")) as store, pytest.raises(StorageError):
        store.cut("churn")
