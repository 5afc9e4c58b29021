"""A project whose state is on PostgreSQL, by its command line: the file it began with is gone, and everything works."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keelway.engines.sql import copy_state
from keelway.testing.postgres import PostgresServer, postgres_server

__all__ = ["postgres_server"]

RELEASE = ("--as", "sp:release", "--token", "file:.keelway/secrets/sp-release.token")
LATER = "1998-07-01T12:00:00Z"


@pytest.fixture
def moved(live: Any, postgres_server: PostgresServer) -> Iterator[Any]:
    """The live project with its state copied to a server."""
    with postgres_server.lent() as url:
        copy_state(f"sqlite:///{live.database}", url)
        for file in live.database.parent.glob("state.db*"):
            file.unlink()
        toml = live.root / "keelway.toml"
        toml.write_text(re.sub(r"^state = .*$", f'state = "{url}"', toml.read_text("utf8"), flags=re.MULTILINE), "utf8")
        yield live
        assert not live.database.exists()


def test_the_loop_goes_on_from_request_to_proof(moved: Any, tmp_path: Path) -> None:
    assert all(line["ok"] for line in moved("doctor")["lines"])
    later = moved.at(LATER)
    moved.upload(LATER)
    assert later("retrain", "churn", "--anyway")["version"] == "churn:2"
    assert {run["model"] for run in later("runs", "--kind", "training", "--where", "name like '%'")} == {"churn"}

    later("promote", "churn:2", "--to", "staging", *RELEASE)
    later("promote", "churn:2", "--to", "prod", "--request")
    assert "0 of 1" in str(later.refused("promote", "churn:2", "--to", "prod", *RELEASE)["reasons"])
    assert later.refused("approve", "churn:2", "--to", "prod", "--as", "user:ana")["reasons"]
    later("approve", "churn:2", "--to", "prod", "--as", "user:bo")
    later("promote", "churn:2", "--to", "prod", *RELEASE)
    assert later("deploy", "churn:2", *RELEASE)["traffic"] == {"churn:2": 100}
    assert later("rollback", "churn", *RELEASE)["traffic"] == {"churn:1": 100}

    report = later("audit")["report"]
    assert (report["problems"], report["size"]) == ([], later.ledger_size())
    bundle, key = tmp_path / "bundle.json", tmp_path / "key.pub"
    shutil.copy(moved.root / ".keelway/keys/signing.pub", key)
    proof = later("prove", "churn@prod", "--out", str(bundle))
    verified = later("verify", str(bundle), "--key", str(key), "--project", str(tmp_path))
    assert proof["raw_files"] == verified["raw_files"] > 0


def test_the_password_is_a_reference(moved: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    moved.edit("keelway.toml", "state = ", 'state_password = "env:STATE_PASSWORD"\nstate = ')
    assert "STATE_PASSWORD" in moved.refused("status")["found"] + str(moved.refused("status"))
    monkeypatch.setenv("STATE_PASSWORD", "the server trusts its socket and does not look at it")
    assert moved("status")["ledger_size"] > 0


def test_a_server_that_is_down_is_told_with_what_to_do(moved: Any) -> None:
    toml = moved.root / "keelway.toml"
    text = toml.read_text("utf8")
    toml.write_text(re.sub(r"host=[^\"]*", f"host={os.sep}no{os.sep}such{os.sep}folder", text), "utf8")
    told = moved.refused("status")
    assert told["error"] == "StorageError"
    assert "keelway.toml" in told["fix"]
