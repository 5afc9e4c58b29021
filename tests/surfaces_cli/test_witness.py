"""A witness makes a key of their own, signs what extends what they saw, and needs no project for it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from keelway.surfaces.cli.main import main

NAME = "witness.example"
Call = Callable[..., Result]


@pytest.fixture(autouse=True)
def nobody_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("KEELWAY_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def owner(tmp_path: Path) -> Call:
    """A new project whose ledger holds two refusals."""
    root = tmp_path / "shop"
    assert CliRunner().invoke(main, ["init", str(root)]).exit_code == 0

    def call(*words: str) -> Result:
        return CliRunner().invoke(main, [*words, "--project", str(root)])

    for _ in range(2):
        assert call("gc").exit_code == 3
    return call


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "elsewhere" / "w1.pem"
    assert witness("keys", "make", str(file), "--name", NAME).exit_code == 0
    return file


def witness(*words: str) -> Result:
    """Call a command where no project is."""
    return CliRunner().invoke(main, [*words, "--project", "/"])


def test_a_key_is_made_once_and_only_its_owner_reads_it(key: Path) -> None:
    assert key.stat().st_mode & 0o077 == 0
    before = key.read_bytes()
    again = witness("keys", "make", str(key), "--name", NAME)
    assert (again.exit_code, "There is a public key already" in again.output) == (2, True)
    key.with_suffix(".pub").unlink()
    assert witness("keys", "make", str(key), "--name", NAME).exit_code == 2
    assert (key.read_bytes() == before, key.with_suffix(".pub").exists()) == (True, False)


@pytest.mark.parametrize("name", ["no blanks", "a+b", ""])
def test_a_name_that_no_note_can_hold_makes_no_key(tmp_path: Path, name: str) -> None:
    assert witness("keys", "make", str(tmp_path / "x.pem"), "--name", name).exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_the_public_half_is_not_written_over_the_secret_one(tmp_path: Path) -> None:
    assert witness("keys", "make", str(tmp_path / "x.pub"), "--name", NAME).exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_what_a_witness_signed_counts(owner: Call, key: Path, tmp_path: Path) -> None:
    request, note = tmp_path / "request", tmp_path / "seen.note"
    assert owner("audit", "proof", "0", "--out", str(request)).exit_code == 0
    log_key = tmp_path / "shop/.keelway/keys/signing.pub"
    signing = ("audit", "witness", str(request), "--key", str(key), "--log", str(log_key), "--out", str(note))
    assert witness(*signing).exit_code == 0
    seen = owner("audit", "verify", "--checkpoint", str(note), "--witness", str(key.with_suffix(".pub")), "--json")
    assert (seen.exit_code, json.loads(seen.output)["report"]["witnessed"]) == (0, 2)


def test_a_ledger_that_no_witness_saw_is_not_called_broken(owner: Call, key: Path) -> None:
    unseen = owner("audit", "verify", "--witness", str(key.with_suffix(".pub")))
    assert (unseen.exit_code, "IS NOT SHOWN TO HOLD" in unseen.output) == (1, True)
    assert "IS BROKEN" not in unseen.output
