"""A witness signs what extends that which it signed before, and nothing else; whoever asks for witnesses sees who signed."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keelway.engines.sql import SqlState
from keelway.errors import IntegrityError, UsageError
from keelway.ledger import (
    PublishedNote,
    Quorum,
    SigningKey,
    audit,
    extension_request,
    read_request,
    sign_checkpoint,
    verify_checkpoint,
    witness,
)
from keelway.ledger.witness import cosign, cosigned_at
from keelway.testing.state import step

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY = SigningKey("keelway.example/ledger", bytes(range(32)))
ONE, TWO = (SigningKey(f"witness.example/{number}", bytes([number]) * 32) for number in (1, 2))


@pytest.fixture
def state(tmp_path: Path):
    state = SqlState(f"sqlite:///{tmp_path}/state.db")
    for number in range(3):
        step(state, number)
    yield state
    state.close()


def request(state: SqlState, old: int) -> str:
    with state.snapshot() as tx:
        return extension_request(tx.log, sign_checkpoint(tx.log, origin="o", key=KEY), old=old)


def witnessed(text: str, memory: Path, *, key: SigningKey = ONE):
    proof, note = read_request(text)
    return witness(note, proof, log_key=KEY.public, key=key, memory=memory, at=NOW)


def test_a_witness_signs_what_extends_what_it_saw(state: SqlState, tmp_path: Path) -> None:
    first = witnessed(request(state, 0), tmp_path / "seen")
    assert (first.before, first.checkpoint.size) == (None, 3)
    for number in range(3, 8):
        step(state, number)
    second = witnessed(request(state, 3), tmp_path / "seen")
    assert (second.before, second.checkpoint.size) == (3, 8)
    assert cosigned_at(second.checkpoint.text, key=ONE.public) == NOW
    assert cosigned_at(second.checkpoint.text, key=TWO.public) is None
    verify_checkpoint(second.checkpoint.text, key=KEY.public)


def test_a_witness_signs_the_same_checkpoint_once(state: SqlState, tmp_path: Path) -> None:
    once = witnessed(request(state, 3), tmp_path).checkpoint.text
    assert witnessed(once, tmp_path).checkpoint.text == once
    both = witnessed(once, tmp_path / "two", key=TWO).checkpoint.text
    assert both.startswith(once)
    assert {cosigned_at(both, key=key.public) for key in (ONE, TWO)} == {NOW}


def test_a_witness_refuses_a_ledger_that_was_rewritten_or_cut(state: SqlState, tmp_path: Path) -> None:
    short = request(state, 3)
    step(state, 3)
    step(state, 4)
    witnessed(request(state, 0), tmp_path / "seen")
    other = SqlState(f"sqlite:///{tmp_path}/other.db")
    for number in range(7):
        step(other, number, pointer="q")
    for text in (request(other, 5), request(other, 0), short):
        with pytest.raises(IntegrityError, match="does not extend"):
            witnessed(text, tmp_path / "seen")
    other.close()
    step(state, 5)
    assert witnessed(request(state, 5), tmp_path / "seen").before == 5  # it still knows what it saw


def test_a_witness_refuses_what_the_log_did_not_sign(state: SqlState, tmp_path: Path) -> None:
    with state.snapshot() as tx:
        note = sign_checkpoint(tx.log, origin="o", key=TWO).text
    with pytest.raises(IntegrityError):
        witnessed(note, tmp_path)
    with pytest.raises(IntegrityError):
        witnessed("old 3\n" + note.replace("\n\n", "\n"), tmp_path)


def test_a_request_is_what_the_specification_asks_for(state: SqlState) -> None:
    for number in range(3, 7):
        step(state, number)
    lines = request(state, 3).split("\n")
    assert lines[0] == "old 3"
    end = lines.index("")
    assert all(len(base64.b64decode(line)) == 32 for line in lines[1:end])
    assert lines[end + 1 : end + 3] == ["o", "7"]
    with pytest.raises(UsageError):
        request(state, 8)


def test_a_cosignature_is_that_of_the_specification(state: SqlState) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    with state.snapshot() as tx:
        note = sign_checkpoint(tx.log, origin="o", key=KEY).text
    line = cosign(note, key=ONE, at=NOW).splitlines()[-1]
    blob = base64.b64decode(line.rsplit(" ", 1)[1])
    seconds = int(NOW.timestamp())
    assert blob[4:12] == seconds.to_bytes(8, "big")
    message = f"cosignature/v1\ntime {seconds}\n".encode() + note.encode().partition(b"\n\n")[0] + b"\n"
    Ed25519PublicKey.from_public_bytes(ONE.public.raw).verify(blob[12:], message)


@pytest.mark.parametrize("place", [0, 4, 11, 12, 75])
def test_a_cosignature_that_was_altered_counts_for_nothing(state: SqlState, place: int) -> None:
    with state.snapshot() as tx:
        note = sign_checkpoint(tx.log, origin="o", key=KEY).text
    text = cosign(note, key=ONE, at=NOW)
    head, blob = text.rstrip("\n").rsplit(" ", 1)
    altered = bytearray(base64.b64decode(blob))
    altered[place] ^= 1
    changed = f"{head} {base64.b64encode(altered).decode()}\n"
    quorum = Quorum((ONE.public,), 1)
    assert quorum.is_met(text)
    assert not quorum.is_met(changed)


def test_so_many_witnesses_must_have_signed(state: SqlState) -> None:
    with state.snapshot() as tx:
        note = sign_checkpoint(tx.log, origin="o", key=KEY).text
    by_one = cosign(note, key=ONE, at=NOW)
    keys = (ONE.public, TWO.public)
    Quorum(keys, 1).must_hold(by_one)
    Quorum().must_hold(note)
    with pytest.raises(IntegrityError, match="Too few"):
        Quorum(keys, 2).must_hold(by_one)
    with pytest.raises(IntegrityError, match="Too few"):  # signing twice makes no second witness
        Quorum(keys, 2).must_hold(cosign(by_one, key=ONE, at=NOW))
    with pytest.raises(UsageError):
        Quorum((ONE.public, ONE.public), 2)


def test_an_audit_asks_for_one_checkpoint_with_witnesses(state: SqlState) -> None:
    with state.snapshot() as tx:
        note = sign_checkpoint(tx.log, origin="o", key=KEY).text
    bare, seen = PublishedNote("bare", note), PublishedNote("seen", cosign(note, key=ONE, at=NOW))
    quorum = Quorum((ONE.public,), 1)
    report = audit(state, key=KEY.public, checkpoints=[bare], quorum=quorum)
    assert (report.ok, report.witnessed) == (False, None)
    assert "No checkpoint is signed by 1 of the witnesses witness.example/1" in report.problems[0]
    report = audit(state, key=KEY.public, checkpoints=[bare, seen], quorum=quorum)
    assert (report.ok, report.witnessed, report.checkpoints) == (True, 3, 1)
