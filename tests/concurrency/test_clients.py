"""Clients that are killed at random leave a ledger that explains everything they saw, on either database."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keelway.testing.clients import judge
from keelway.testing.crash import stride
from keelway.testing.memory import memory_folder
from keelway.testing.postgres import PostgresServer, postgres_server

__all__ = ["postgres_server"]

OPERATIONS, KILLS = 10_000, 1_000
"""Of the whole run, which KEELWAY_SWEEP_EVERY=1 asks for; otherwise a small share is tried."""
SHARE = 200


@pytest.fixture
def folder() -> Iterator[Path]:
    with memory_folder() as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, folder: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{folder / 'state.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.database()


def driven(folder: Path, url: str) -> dict[str, Any]:
    """Drive clients from a process without threads, and return what was found."""
    share = 1 if stride() == 1 else SHARE
    words = [str(folder), url, str(OPERATIONS // share), str(KILLS // share), "7"]
    done = subprocess.run(
        [sys.executable, "-m", "keelway.testing.clients", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    found["asked"] = OPERATIONS // share
    return found


@pytest.mark.timeout(3600)
@pytest.mark.crash
def test_one_order_explains_what_clients_saw_that_were_killed_at_random(url: str, folder: Path) -> None:
    found = driven(folder / "driven", url)
    assert found["problems"] == []
    assert found["failed"] == 0
    assert found["kills"] >= found["asked"] // 10
    assert found["operations"] >= found["asked"]
    assert found["entries"] > 0
    outcomes = found["outcomes"]
    assert {"register done", "read read"} <= set(outcomes)
    if stride() == 1:
        assert sum(count for told, count in outcomes.items() if told.endswith("conflict")) > 0

    notes = next(path for path in sorted((folder / "driven/run").glob("*.notes")) if b"done" in path.read_bytes())
    forge(notes)
    assert "the ledger has it 0 times" in str(judge(folder / "driven/run", url)["problems"])


def forge(notes: Path) -> None:
    """Let a client remember that it was told of a success of which the ledger knows nothing."""
    began = {"name": "forged", "kind": "promote", "began": 1}
    ended = {"name": "forged", "ended": math.inf, "outcome": "done"}
    with notes.open("ab") as file:
        file.write(f"{json.dumps(began)}\n{json.dumps(ended)}\n".encode())
