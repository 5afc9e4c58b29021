"""Checkpoints are published where and as often as the settings say, and a new key takes over without a gap."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from keelway.app import App
from keelway.app.keys import rotate_signing_key
from keelway.app.publishing import (
    HINT,
    PublishInterval,
    keep_witnessed,
    kept_notes,
    publish,
    publish_everywhere,
    quorum_of,
)
from keelway.core import Action, Decision
from keelway.errors import IdentityError, IntegrityError, SettingsError, StorageError, UsageError
from keelway.ledger import PublicKey, SigningKey, note_name, published_notes, record_decision
from keelway.ledger.checkpoint import note_line
from keelway.ledger.witness import cosign
from keelway.testing.people import NOW, make, opened

HOUR_LATER = "2026-03-01T01:00:00Z"
SOON = "2026-03-01T00:59:00Z"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path / "people")


def settings(root: Path, *lines: str) -> None:
    path = root / "keelway.toml"
    path.write_text(path.read_text().replace("[signing]\n", "\n".join(("[signing]", *lines, ""))))


def happen(app: App) -> None:
    """Let something happen that the ledger tells of."""
    at = app.workspace
    with at.state.transaction() as tx:
        record_decision(Decision(Action.CHECK, "visits", True, at.principal.id, at.now()), tx=tx)


def bring(root: Path, *, now: str = NOW) -> None:
    with opened(root, now=now) as app:
        happen(app)


def sizes(root: Path, folder: str = ".keelway/checkpoints") -> list[int]:
    return sorted(int(path.name[:12]) for path in (root / folder).glob("*.note"))


@pytest.fixture
def app(root: Path) -> Iterator[App]:
    bring(root)
    with opened(root) as app:
        yield app


def test_an_interval_is_a_time_or_a_number_of_entries() -> None:
    hourly, hundred = PublishInterval.parse("1h"), PublishInterval.parse("100 entries")
    assert hourly.is_over(entries=1, since=timedelta(hours=1))
    assert not hourly.is_over(entries=999, since=timedelta(minutes=59))
    assert not hourly.is_over(entries=0, since=timedelta(days=9))
    assert hundred.is_over(entries=100, since=timedelta())
    assert not hundred.is_over(entries=99, since=timedelta(days=9))


def test_commands_that_write_publish_when_it_is_time(root: Path) -> None:
    settings(root, 'publish_every = "1h"')
    bring(root)
    first = sizes(root)
    assert len(first) == 1
    bring(root, now=SOON)
    assert sizes(root) == first
    with opened(root, now=HOUR_LATER) as app:  # it only looks
        assert app.evidence.status().ledger_size > first[0]
    assert sizes(root) == first
    bring(root, now=HOUR_LATER)
    assert len(sizes(root)) == 2


def test_without_an_interval_nothing_is_published_by_the_way(root: Path) -> None:
    bring(root)
    assert sizes(root) == []
    assert not (root / HINT).exists()


def test_a_place_that_is_gone_stops_no_command(root: Path) -> None:
    settings(root, 'publish_every = "1 entries"')
    told: list[str] = []
    (root / ".keelway/checkpoints").write_text("no folder")
    with opened(root) as app:
        app.workspace.progress = told.append
        happen(app)
    assert any("no checkpoint was published" in line for line in told)


def test_a_ledger_that_was_rewritten_stops_the_command_that_would_publish(root: Path) -> None:
    settings(root, 'publish_every = "1 entries"')
    bring(root)
    (note,) = (root / ".keelway/checkpoints").glob("*.note")
    key = SigningKey.load(root / ".keelway/keys/signing.pem")
    body = note.read_text().partition("\n\n")[0].split("\n")
    forged = f"{body[0]}\n{body[1]}\n{'A' * 43}=\n"
    text = f"{forged}\n{note_line(key, key.sign(forged.encode()))}"
    note.unlink()
    (note.parent / note_name(text)).write_text(text)
    with pytest.raises(IntegrityError, match="changed after they were signed"):
        bring(root)


def test_every_target_gets_the_checkpoint_and_those_that_fail_are_named(root: Path) -> None:
    (root / "file").write_text("")
    settings(root, 'publish = ["second", "file/third"]')
    bring(root)
    with opened(root) as app:
        done = publish_everywhere(app.workspace)
        told: list[str] = []
        app.workspace.progress = told.append
        assert publish(app.workspace) == done.checkpoint
    assert [bool(place.failed) for place in done.places] == [False, False, True]
    assert not done.ok
    assert sizes(root) == sizes(root, "second") == [done.checkpoint.size]
    assert ["file/third" in line for line in told] == [True]
    assert json.loads((root / HINT).read_text())["size"] == done.checkpoint.size


def test_a_checkpoint_that_nobody_took_is_an_error(root: Path) -> None:
    (root / ".keelway/checkpoints").write_text("")
    bring(root)
    with opened(root) as app, pytest.raises(StorageError, match="No checkpoint could be published"):
        publish(app.workspace)


def test_an_audit_reads_all_targets_and_what_somebody_kept(root: Path, tmp_path: Path) -> None:
    settings(root, 'publish = ["second"]')
    bring(root)
    with opened(root) as app:
        publish(app.workspace)
        (kept,) = (root / "second").glob("*.note")
        for place in (str(kept), str(root / "second")):
            assert app.evidence.audit(kept=[place]).checkpoints == 1
        (root / "nothing").mkdir()
        assert "there is no checkpoint in it" in app.evidence.audit(kept=[str(root / "nothing")]).problems[0]
        with pytest.raises(StorageError, match="no checkpoint"):
            app.evidence.audit(kept=[str(tmp_path / "absent")])
        for path in (root / "second").iterdir():
            path.unlink()
        (root / "second").rmdir()
        (root / "second").write_text("no folder")
        report = app.evidence.audit()
    assert not report.ok  # what cannot be read is not passed over
    assert "second cannot be read" in report.problems[0]


def test_an_audit_needs_no_private_key(app: App, root: Path) -> None:
    publish(app.workspace)
    (root / ".keelway/keys/signing.pem").unlink()
    with opened(root) as auditor:
        assert auditor.evidence.audit().ok
    assert len(sizes(root)) == 1


def test_a_new_key_takes_over(app: App, root: Path) -> None:
    publish(app.workspace)
    old = PublicKey.load(root / ".keelway/keys/signing.pub")
    done = rotate_signing_key(app.workspace, comment="yearly")
    new = PublicKey.load(root / ".keelway/keys/signing.pub")
    assert (done.old_key, done.new_key, done.finished) == (old.key_id, new.key_id, False)
    assert SigningKey.load(root / ".keelway/keys/signing.pem").key_id == new.key_id
    assert [path.name for path in (root / ".keelway/keys").glob("*.next")] == []
    told = app.evidence.log(limit=1)[0].decision
    assert (told.action, told.comment, told.principal) == (Action.ROTATE_KEY, "yearly", "user:dpo")
    assert app.evidence.audit().ok  # and publishes by the new key
    assert len(sizes(root)) == 2
    again = rotate_signing_key(app.workspace)
    assert (again.old_key, app.evidence.audit().ok) == (new.key_id, True)
    assert len(PublicKey.load(root / ".keelway/keys/signing.pub").earlier) == 2


def test_only_an_admin_rotates_and_only_a_key_in_a_file(app: App, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(root, actor="user:ana") as other, pytest.raises(IdentityError):
        rotate_signing_key(other.workspace)
    monkeypatch.setenv("SIGNING", (root / ".keelway/keys/signing.pem").read_text())
    settings(root, 'key = "env:SIGNING"')
    with opened(root) as other, pytest.raises(UsageError, match="files only"):
        rotate_signing_key(other.workspace)


@pytest.mark.parametrize("after", ["the ledger", "the private key", "the new key was made"])
def test_a_rotation_that_broke_off_is_finished_by_the_next(app: App, root: Path, after: str) -> None:
    publish(app.workspace)
    keys = root / ".keelway/keys"
    before = {name: (keys / name).read_bytes() for name in ("signing.pem", "signing.pub")}
    if after == "the new key was made":
        SigningKey.generate("people.keelway").save(keys / "signing.pem.next")
        coming = (keys / "signing.pem.next").read_bytes()
    else:
        rotate_signing_key(app.workspace)
        coming = (keys / "signing.pem").read_bytes()
        (keys / "signing.pub").write_bytes(before["signing.pub"])
        if after == "the ledger":
            (keys / "signing.pem").write_bytes(before["signing.pem"])
            (keys / "signing.pem.next").write_bytes(coming)
    with opened(root) as broken:
        if after != "the new key was made":
            with pytest.raises((IntegrityError, SettingsError)):  # nothing is signed meanwhile
                publish_everywhere(broken.workspace)
    with opened(root) as mending:
        done = rotate_signing_key(mending.workspace)
        assert mending.evidence.audit().ok
    assert done.finished is (after != "the new key was made")
    assert (keys / "signing.pem").read_bytes() == coming
    assert not (keys / "signing.pem.next").exists()
    with opened(root) as later:
        assert [line.decision.action for line in later.evidence.log(action="rotate_key")] == ["rotate_key"]
        notes = [text for target in later.workspace.signing.targets for _, text in published_notes(target)]
        assert len(notes) == 2


def test_the_settings_ask_for_witnesses_in_every_audit(root: Path) -> None:
    one, two = (SigningKey.generate(f"witness.example/{number}") for number in (1, 2))
    for number, key in ((1, one), (2, two)):
        (root / f"w{number}.pub").write_text(key.public.pem())
    settings(root, 'witnesses = ["w1.pub", "w2.pub"]', "witness_quorum = 2")
    bring(root)
    with opened(root) as app:
        publish(app.workspace)
        assert "witness.example/1, witness.example/2" in app.evidence.audit().problems[0]
        text = next(text for _, text in published_notes(app.workspace.signing.targets[0]))
        once = cosign(text, key=one, at=app.workspace.now())
        keep_witnessed(once, root / ".keelway/checkpoints")
        assert not app.evidence.audit().ok
        path = keep_witnessed(cosign(once, key=two, at=app.workspace.now()), root / ".keelway/checkpoints")
        report = app.evidence.audit()
        assert (report.ok, report.witnessed, report.checkpoints) == (True, 1, 1)
        at = app.workspace
        assert quorum_of(at.settings.signing, root).needed == 2
        assert quorum_of(at.settings.signing, root, keys=[root / "w1.pub"]).needed == 1
        assert quorum_of(at.settings.signing, root, keys=[root / "w1.pub"], needed=0).needed == 0
    assert keep_witnessed(path.read_text(), root / "elsewhere.note").read_text() == path.read_text()


def test_a_single_file_is_a_checkpoint_with_the_hashes_beside_it(app: App, root: Path) -> None:
    publish(app.workspace)
    happen(app)
    publish(app.workspace)
    newest = max((root / ".keelway/checkpoints").glob("*.note"))
    (note,) = [note for note in kept_notes(app.workspace, [str(newest)]) if note.where == str(newest)]
    leaves = note.leaves()
    assert leaves is not None
    assert (leaves.start, len(leaves.hashes)) == (1, 1)


def test_old_folders_of_checkpoints_are_still_read(app: App, root: Path) -> None:
    publish(app.workspace)
    folder = root / ".keelway/checkpoints"
    (note,) = folder.glob("*.note")
    note.rename(folder / note.name[:12])
    for path in folder.glob("*.leaves"):
        path.unlink()
    (folder / "latest").write_text((folder / note.name[:12]).read_text())
    report = app.evidence.audit()
    assert (report.ok, report.checkpoints) == (True, 1)
