"""A new key takes over: what the old one signed before still holds, what it signs afterwards is refused."""

from __future__ import annotations

import base64
import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keelway.core import Action, Decision, PrincipalId, digest_bytes
from keelway.engines.sql import SqlState
from keelway.errors import IntegrityError, UsageError
from keelway.ledger import (
    PublicKey,
    SigningKey,
    audit,
    decisions,
    must_be_current,
    open_statement,
    publish_checkpoint,
    published,
    rotate,
    sign_checkpoint,
    sign_statement,
    statement,
    verify_checkpoint,
)
from keelway.testing.checkpoints import MemoryCheckpoints
from keelway.testing.state import step

NOW = datetime(2026, 3, 1, tzinfo=UTC)
NAME = "keelway.example/ledger"
FIRST, SECOND, THIRD = (SigningKey(NAME, bytes([number]) * 32) for number in (1, 2, 3))
ANA = PrincipalId("user:ana")
ORIGIN = "keelway.example/churn"


def signed(what: bytes, key: SigningKey) -> bytes:
    told = statement({"x": digest_bytes(what)}, predicate_type="https://example.org/p", predicate={})
    return sign_statement(told, key=key)


EARLY, LATE = signed(b"early", FIRST), signed(b"late", FIRST)


@pytest.fixture
def state(tmp_path: Path):
    state = SqlState(f"sqlite:///{tmp_path}/state.db")
    for number in range(3):
        step(state, number)
    yield state
    state.close()


def rotated(state: SqlState, old: SigningKey = FIRST, new: SigningKey = SECOND, *, known: bytes = EARLY) -> PublicKey:
    with state.transaction() as tx:
        return rotate(old, new, statements=[digest_bytes(known)], actor=ANA, at=NOW, comment="yearly", tx=tx)[0]


def note(state: SqlState, key: SigningKey) -> str:
    with state.snapshot() as tx:
        return sign_checkpoint(tx.log, origin=ORIGIN, key=key).text


def test_the_ledger_tells_of_the_rotation(state: SqlState) -> None:
    public = rotated(state)
    with state.snapshot() as tx:
        told: Decision = list(decisions(tx))[-1][1]
    assert (told.action, told.subject, told.principal, told.comment) == (Action.ROTATE_KEY, NAME, ANA, "yearly")
    assert (public.raw, public.earlier[0].key, public.earlier[0].until) == (SECOND.public.raw, FIRST.public, 4)


def test_old_checkpoints_hold_and_new_ones_by_the_old_key_are_refused(state: SqlState) -> None:
    before = note(state, FIRST)
    public = rotated(state)
    last = note(state, FIRST)  # up to the entry that tells of the rotation
    step(state, 3)
    assert verify_checkpoint(before, key=public).size == 3
    assert verify_checkpoint(last, key=public).size == 4
    assert verify_checkpoint(note(state, SECOND), key=public).size == 5
    with pytest.raises(IntegrityError, match="retired"):
        verify_checkpoint(note(state, FIRST), key=public)


def test_old_statements_hold_and_new_ones_by_the_old_key_are_refused(state: SqlState) -> None:
    public = rotated(state)
    assert open_statement(EARLY, key=public)["subject"][0]["name"] == "x"
    assert open_statement(signed(b"new", SECOND), key=public)
    with pytest.raises(IntegrityError, match="retired"):
        open_statement(LATE, key=public)
    with pytest.raises(IntegrityError, match="another key"):
        open_statement(signed(b"new", SECOND), key=FIRST.public)


def test_a_public_key_file_carries_the_keys_before_it(state: SqlState, tmp_path: Path) -> None:
    once = rotated(state)
    middle = signed(b"middle", SECOND)
    twice = rotated(state, SigningKey(NAME, SECOND.seed, once.earlier), THIRD, known=middle)
    (tmp_path / "key.pub").write_text(twice.pem())
    loaded = PublicKey.load(tmp_path / "key.pub")
    assert loaded == twice
    assert [retired.key for retired in loaded.earlier] == [FIRST.public, SECOND.public]
    for envelope in (EARLY, middle, signed(b"newest", THIRD)):
        assert open_statement(envelope, key=loaded)


def test_a_chain_of_keys_that_does_not_hold_is_refused(state: SqlState) -> None:
    text = rotated(state).pem()
    head, _, line = text.partition("Rotation: ")
    envelope = json.loads(line)
    payload = json.loads(base64.b64decode(envelope["payload"]))
    longer = base64.b64encode(json.dumps(payload | {"until": 99}).encode()).decode()
    forged = [
        envelope | {"payload": longer},
        envelope | {"signatures": envelope["signatures"][:1]},
        envelope | {"signatures": envelope["signatures"][1:]},
        envelope | {"payloadType": "application/vnd.in-toto+json"},
        {"payload": "x"},
        [],
    ]
    for each in forged:
        with pytest.raises(IntegrityError):
            PublicKey.load(f"{head}Rotation: {json.dumps(each)}\n")
    with pytest.raises(IntegrityError):
        PublicKey.load(THIRD.public.pem() + f"Rotation: {line}")


def test_the_old_key_signs_nothing_that_the_ledger_knows_it_must_not(state: SqlState) -> None:
    public = rotated(state)
    with state.snapshot() as tx:
        must_be_current(public, tx=tx)
        with pytest.raises(IntegrityError, match="retired"):
            must_be_current(FIRST.public, tx=tx)
    with pytest.raises(IntegrityError, match="retired"):
        rotated(state, FIRST, THIRD)


@pytest.mark.parametrize("new", [FIRST, SigningKey("another.example", bytes(32))], ids=["same key", "another name"])
def test_not_every_key_can_take_over(state: SqlState, new: SigningKey) -> None:
    with pytest.raises(UsageError):
        rotated(state, FIRST, new)
    with state.snapshot() as tx:
        assert tx.log.size() == 3


def test_an_audit_goes_over_a_rotation(state: SqlState) -> None:
    target = MemoryCheckpoints()
    with state.snapshot() as tx:
        publish_checkpoint(tx.log, origin=ORIGIN, key=FIRST, targets=[target])
    public = rotated(state)
    step(state, 3)
    second = SigningKey(NAME, SECOND.seed, public.earlier)
    with state.snapshot() as tx:
        publish_checkpoint(tx.log, origin=ORIGIN, key=second, targets=[target])
    report = audit(state, key=public, checkpoints=published([target]))
    assert (report.ok, report.checkpoints) == (True, 2)
    assert not audit(state, key=FIRST.public, checkpoints=published([target])).ok


def test_a_rotation_that_is_not_committed_never_was(state: SqlState) -> None:
    with contextlib.suppress(RuntimeError), state.transaction() as tx:
        rotate(FIRST, SECOND, statements=[], actor=ANA, at=NOW, tx=tx)
        raise RuntimeError
    with state.snapshot() as tx:
        must_be_current(FIRST.public, tx=tx)
        assert tx.log.size() == 3
