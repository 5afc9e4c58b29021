"""A real Redis server for tests: on loopback, behind a password, nothing on disk, ended by its process.

def test_it(redis_server: RedisServer) -> None:
store = RedisOnlineStore(redis_server.url, password=redis_server.password, prefix=redis_server.prefix())
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

PASSWORD = "not-a-secret-only-for-loopback"
START_WITHIN_S = 30


@dataclass
class RedisServer:
    """A running server.

    Attributes:
        port: On 127.0.0.1.
        password: Of the default user.
    """

    port: int
    password: str = PASSWORD
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def url(self) -> str:
        """Where it is, without the password."""
        return f"redis://127.0.0.1:{self.port}/0"

    def prefix(self) -> str:
        """Return the beginning of keys that no test has used."""
        return f"test {next(self._numbers)}"

    def client(self) -> Any:
        """Return a bare client."""
        import redis

        return redis.Redis(port=self.port, password=self.password)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run a server for the tests of this session; skip them where Redis or its client is not installed."""
    pytest.importorskip("redis", reason="the package `redis` is not installed (pip install 'keelway[redis]')")
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("the program `redis-server` is not installed (Debian: apt-get install redis-server)")
    with running_redis(program, tmp_path_factory.mktemp("redis")) as server:
        yield server


@contextmanager
def running_redis(program: str, folder: Path, **settings: str) -> Iterator[RedisServer]:
    """Run a server until the block ends.

    Args:
        settings: Lines of its configuration, such as `maxmemory="3mb"`; a hyphen is written as an underscore.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {"port": str(port), "bind": "127.0.0.1", "save": "", "appendonly": "no", "requirepass": PASSWORD}
    lines = {**given, **{name.replace("_", "-"): value for name, value in settings.items()}}
    command = [program, *(word for name, value in lines.items() for word in (f"--{name}", value))]
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        try:
            server = RedisServer(port)
            _wait_for(server, process, folder / "redis.log")
            yield server
        finally:
            process.kill()  # it keeps nothing
            process.wait()


def _wait_for(server: RedisServer, process: subprocess.Popen[bytes], log: Path) -> None:
    import redis

    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with server.client() as client:
                client.ping()
        except redis.ConnectionError:
            time.sleep(0.02)
        else:
            return
    pytest.fail(f"Redis did not start: {log.read_text(errors='replace')[-2000:]}")
