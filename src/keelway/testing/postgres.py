"""A real PostgreSQL server for tests: on a socket of its own, open to nobody else, ended by its process.

It speaks American English on purpose: where order or case of a text hung on the language, results would differ.

def test_it(postgres_server: PostgresServer) -> None:
    with postgres_server.lent() as url, closing(SqlState(url)) as state:
        ...
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import make_url

from keelway.engines.sql import SqlState
from keelway.engines.sql.tables import metadata
from keelway.testing.memory import memory_folder

USER = "postgres"
START_WITHIN_S = 60
STOP_WITHIN_S = 60
TABLES = tuple(metadata.tables)
SETTINGS = {
    "listen_addresses": "",  # only the socket
    "fsync": "off",  # a test ends processes, never the machine
    "max_connections": "60",
    "shared_buffers": "32MB",
    "autovacuum_naptime": "10min",
    "log_min_messages": "fatal",
}


@dataclass
class PostgresServer:
    """A server that can be ended and started again.

    Attributes:
        programs: The folder of `initdb` and `postgres`.
        home: The folder of its data and its socket.
        settings: Of its configuration, besides those of every test.
    """

    programs: Path
    home: Path
    settings: dict[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None
    _spare: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def url(self, name: str) -> str:
        """Return the URL of a database."""
        return f"postgresql://{USER}@/{name}?host={quote(str(self.home), safe='/')}"

    def database(self, *, migrated: bool = True) -> str:
        """Make a database that no test has used, with the newest tables or none, and return its URL."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        template = self._migrated if migrated else "template0"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return self.url(name)

    @contextmanager
    def lent(self) -> Iterator[str]:
        """Lend a database with the newest, empty tables, and yield its URL; it is emptied for the next one."""
        url = self._spare.pop() if self._spare else self.database()
        yield url
        name = make_url(url).database or ""
        self.run(f"ALTER DATABASE {name} RESET ALL")
        self.run(f"SET lock_timeout = '10s'; TRUNCATE {', '.join(TABLES)} RESTART IDENTITY", database=name)
        self._spare.append(url)

    def run(self, statement: str, *, database: str = "postgres") -> list[Any]:
        """Run one statement as the server's owner and return its rows."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def start(self) -> None:
        """Start the server and wait until it answers."""
        given = {**SETTINGS, "unix_socket_directories": str(self.home), **self.settings}
        settings = [word for name, value in given.items() for word in ("-c", f"{name}={value}")]
        log = self.home / "server.log"
        with log.open("ab") as told:
            self._process = subprocess.Popen(
                [self.programs / "postgres", "-D", self.home / "data", *settings], stdout=told, stderr=told, **_owner()
            )
        deadline = time.monotonic() + START_WITHIN_S
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                pytest.fail(f"PostgreSQL did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGINT) -> None:
        """End the server: SIGINT ends every session first; SIGQUIT ends everything at once, as a crash would."""
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def restart(self, number: int = signal.SIGQUIT) -> None:
        """End the server and start it again; it recovers what was committed."""
        self.stop(number)
        self.start()

    @cached_property
    def _migrated(self) -> str:
        name = f"migrated_{os.getpid()}"
        self.run(f"CREATE DATABASE {name} TEMPLATE template0")
        SqlState(self.url(name)).close()
        return name

    def _answers(self) -> bool:
        import psycopg

        try:
            self.run("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Run a server for the tests of this session; skip them where PostgreSQL or its driver is not installed."""
    with running_postgres() as server:
        yield server


@contextmanager
def running_postgres(*, disk: bool = False, **settings: str) -> Iterator[PostgresServer]:
    """Run a server until the block ends.

    Args:
        disk: Keeps its data on the disk, and waits for it at each commit.
        settings: Of its configuration, such as `max_connections="5"`.
    """
    pytest.importorskip("psycopg", reason="the package `psycopg` is not installed (pip install 'keelway[postgres]')")
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with memory_folder("keelway-pg-", disk=disk) as home:  # a short name: a socket's path holds 107 bytes
        if owner := _owner():
            shutil.chown(home, **owner)
        _init(programs, home)
        server = PostgresServer(programs, home, {"fsync": "on", **settings} if disk else settings)
        try:
            server.start()
            yield server
        finally:
            server.stop(signal.SIGQUIT)  # it keeps nothing


def _init(programs: Path, home: Path) -> None:
    words = ["-D", str(home / "data"), "-U", USER, "--auth", "trust", "--encoding", "UTF8", "--no-sync"]
    american = ["--locale-provider", "icu", "--icu-locale", "en-US", "--locale", "C.UTF-8"]
    command = [str(programs / "initdb"), *words, *american]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, **_owner())
    if done.returncode:
        pytest.fail(f"initdb failed: {done.stderr[-2000:]}")


def _programs() -> Path | None:
    """Return the folder of the newest server that is installed; Debian keeps them away from PATH."""
    known = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = shutil.which("initdb")
    if found is not None:
        known.append(Path(found).resolve())
    return known[-1].parent if known else None


def _owner() -> dict[str, Any]:
    """Return as whom the server runs, in the words of `subprocess`: it refuses to run as root."""
    return {"user": USER, "group": USER} if os.geteuid() == 0 else {}
