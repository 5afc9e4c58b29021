"""Keys, checkpoints and statements: what is signed is checked, and what is altered is refused."""

from __future__ import annotations

import base64
import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keelway.core import digest_bytes
from keelway.engines.sql import SqlState
from keelway.errors import IntegrityError, SettingsError, StorageError, UsageError
from keelway.ledger import (
    Publication,
    PublicKey,
    SigningKey,
    leaf_hash,
    newest_note,
    open_statement,
    provenance,
    publish_checkpoint,
    published_leaves,
    published_notes,
    sign_checkpoint,
    sign_statement,
    verify_checkpoint,
    verify_extension,
)
from keelway.ledger.merkle import consistency_proof
from keelway.testing.checkpoints import MemoryCheckpoints
from keelway.testing.state import step

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY = SigningKey("keelway.example/ledger", bytes(range(32)))
ORIGIN = "keelway.example/churn"
STATEMENT = provenance(
    "churn:3",
    digest_bytes(b"model"),
    build_type="https://keelway.dev/train/v1",
    parameters={"seed": 7},
    dependencies={"features": digest_bytes(b"features")},
    builder="https://keelway.dev/runner",
    started=NOW,
    finished=NOW,
)


@pytest.fixture
def state(tmp_path: Path):
    state = SqlState(f"sqlite:///{tmp_path}/state.db")
    for number in range(5):
        step(state, number)
    yield state
    state.close()


def test_a_key_survives_its_files_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "ledger.pem"
    KEY.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SigningKey.load(path) == KEY
    (tmp_path / "pub.pem").write_text(KEY.public.pem())
    assert PublicKey.load(tmp_path / "pub.pem") == PublicKey.load(KEY.public.pem()) == KEY.public
    with pytest.raises(UsageError):
        KEY.save(path)


def test_a_key_is_not_shown(tmp_path: Path) -> None:
    assert "seed" not in repr(KEY)


def test_wrong_key_files_are_said(tmp_path: Path) -> None:
    KEY.save(tmp_path / "private.pem")
    (tmp_path / "junk.pem").write_text("junk")
    for path in (tmp_path / "private.pem", tmp_path / "junk.pem", tmp_path / "none.pem"):
        with pytest.raises(SettingsError):
            PublicKey.load(path)
    for path in (tmp_path / "junk.pem", tmp_path / "none.pem"):
        with pytest.raises(SettingsError):
            SigningKey.load(path)
    with pytest.raises(UsageError):
        PublicKey("a name", bytes(32))


def test_a_checkpoint_is_a_signed_note(state: SqlState) -> None:
    with state.snapshot() as tx:
        checkpoint = sign_checkpoint(tx.log, origin=ORIGIN, key=KEY)
    lines = checkpoint.text.split("\n")
    assert lines[0] == ORIGIN
    assert lines[1] == "5"
    assert base64.b64decode(lines[2]).hex() == checkpoint.root
    assert lines[3] == ""
    assert lines[4].startswith("— keelway.example/ledger ")
    blob = base64.b64decode(lines[4].rsplit(" ", 1)[1])
    assert blob[:4] == KEY.public.note_hash
    assert len(blob) == 68
    assert lines[5:] == [""]
    assert verify_checkpoint(checkpoint.text, key=KEY.public) == checkpoint


def test_no_byte_of_a_checkpoint_can_change(state: SqlState) -> None:
    with state.snapshot() as tx:
        text = sign_checkpoint(tx.log, origin=ORIGIN, key=KEY).text
    for place in range(len(text)):
        altered = text[:place] + chr(ord(text[place]) ^ 1) + text[place + 1 :]
        with pytest.raises(IntegrityError):
            verify_checkpoint(altered, key=KEY.public)
    with pytest.raises(IntegrityError):
        verify_checkpoint(text, key=SigningKey(KEY.name, bytes(32)).public)


def test_a_witness_may_sign_too(state: SqlState) -> None:
    witness = SigningKey("witness.example", bytes(32))
    with state.snapshot() as tx:
        checkpoint = sign_checkpoint(tx.log, origin=ORIGIN, key=KEY)
        second = sign_checkpoint(tx.log, origin=ORIGIN, key=witness).text.split("\n")[4]
    both = checkpoint.text + second + "\n"
    for key in (KEY.public, witness.public):
        assert verify_checkpoint(both, key=key).root == checkpoint.root


def test_published_checkpoints_extend_each_other(state: SqlState) -> None:
    target = MemoryCheckpoints()
    with state.snapshot() as tx:
        first, _ = publish_checkpoint(tx.log, origin=ORIGIN, key=KEY, targets=[target])
    step(state, 5)
    with state.snapshot() as tx:
        second, places = publish_checkpoint(tx.log, origin=ORIGIN, key=KEY, targets=[target])
        proof = consistency_proof(first.size, second.size, tx.log.nodes)
        again = publish_checkpoint(tx.log, origin=ORIGIN, key=KEY, targets=[target])
    verify_extension(first, second, proof)
    assert newest_note(target, key=KEY.public) == second
    assert [text for _, text in published_notes(target)] == [first.text, second.text]
    assert [place.written for place in places] == [True]
    assert again == (second, (Publication("memory", 6, False),))


def test_the_hashes_between_two_checkpoints_are_published_with_the_second(state: SqlState) -> None:
    target = MemoryCheckpoints()
    for number in (5, 6, 7):
        with state.snapshot() as tx:
            publish_checkpoint(tx.log, origin=ORIGIN, key=KEY, targets=[target])
        step(state, number)
    with state.snapshot() as tx:
        hashes = [leaf_hash(data) for _, data in tx.log.leaves()]
    found = [published_leaves(target, name) for name, _ in published_notes(target)]
    assert [(each.start, list(each.hashes)) for each in found if each] == [
        (0, hashes[:5]),
        (5, hashes[5:6]),
        (6, hashes[6:7]),
    ]
    del target.texts[max(target.texts).replace(".note", ".leaves")]
    assert published_leaves(target, max(target.texts)) is None


def test_a_target_that_fails_keeps_no_other_from_its_checkpoint(state: SqlState) -> None:
    gone, sound = MemoryCheckpoints(), MemoryCheckpoints()
    gone.failing = StorageError("The bucket cannot be reached")
    with state.snapshot() as tx:
        _, places = publish_checkpoint(tx.log, origin=ORIGIN, key=KEY, targets=[gone, sound])
    assert [(place.size, place.written, bool(place.failed)) for place in places] == [
        (None, False, True),
        (5, True, False),
    ]
    assert len(sound.texts) == 2
    gone.failing = None
    with state.snapshot() as tx:  # what it missed, it gets with the next
        publish_checkpoint(tx.log, origin=ORIGIN, key=KEY, targets=[gone, sound])
    assert gone.texts == sound.texts


def test_a_rewritten_log_gets_no_new_checkpoint(state: SqlState, tmp_path: Path) -> None:
    target, empty = MemoryCheckpoints(), MemoryCheckpoints()
    with state.snapshot() as tx:
        publish_checkpoint(tx.log, origin=ORIGIN, key=KEY, targets=[target])
    other = SqlState(f"sqlite:///{tmp_path}/other.db")
    for count in range(7):
        step(other, count, pointer="other")
        if count in (2, 6):
            with pytest.raises(IntegrityError), other.snapshot() as tx:
                publish_checkpoint(tx.log, origin=ORIGIN, key=KEY, targets=[empty, target])
    assert empty.texts == {}
    other.close()


def test_a_statement_opens_with_its_key_only() -> None:
    envelope = sign_statement(STATEMENT, key=KEY)
    assert open_statement(envelope, key=KEY.public) == STATEMENT
    with pytest.raises(IntegrityError):
        open_statement(envelope, key=SigningKey(KEY.name, bytes(32)).public)


def test_other_tools_check_our_statements() -> None:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey

    value = json.loads(sign_statement(STATEMENT, key=KEY))
    key = SSlibKey(KEY.key_id, "ed25519", "ed25519", {"public": KEY.public.raw.hex()})
    assert Envelope.from_dict(value).verify([key], 1).keys() == {KEY.key_id}


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"null", b"\xff", b'{"payload":"","payloadType":"x","signatures":[]}']
)
def test_what_is_no_statement_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        open_statement(data, key=KEY.public)


def test_an_altered_statement_is_refused() -> None:
    value = json.loads(sign_statement(STATEMENT, key=KEY))
    payload = base64.b64decode(value["payload"]).replace(b"churn:3", b"churn:4")
    value["payload"] = base64.b64encode(payload).decode()
    with pytest.raises(IntegrityError):
        open_statement(json.dumps(value).encode(), key=KEY.public)
