"""What was destroyed is told by the ledger, and nothing else may be missing from it."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest

from keelway.app.persons import entity_names
from keelway.errors import ErasedError, KeelwayError
from keelway.ledger import verify_bundle
from keelway.privacy import Loss, is_token, scrub_logs, scrub_tracebacks
from keelway.testing import people


@pytest.fixture
def loaded(root: Path) -> Path:
    people.upload(root, "1.csv", "ana,ana@x.org,2026-01-01,1\nbo,b@x.org,2026-01-01,-2\n")
    with people.opened(root) as app:
        app.data.ingest()
    return root


def quarantine_of(app) -> str:
    from keelway.contract import CheckedBatch

    with app.workspace.state.snapshot() as tx:
        return tx.newest(CheckedBatch)[0].quarantine


def test_an_audit_opens_what_is_sealed(loaded: Path) -> None:
    with people.opened(loaded) as app:
        report = app.evidence.audit()
        assert (report.problems, report.erased, report.unchecked) == ((), 0, 0)


def test_an_audit_passes_over_what_a_decision_destroyed(loaded: Path) -> None:
    with people.opened(loaded) as app:
        assert app.privacy.erase("bo").done.artifacts == 2
        report = app.evidence.audit()
        assert (report.problems, report.erased) == ((), 1)


def test_an_audit_names_what_was_destroyed_without_a_decision(loaded: Path) -> None:
    with people.opened(loaded) as app:
        app.workspace.safe.keyring.vault.destroy_artifacts([quarantine_of(app)], loss=Loss.ERASED)
        report = app.evidence.audit()
        assert not report.ok
        assert "destroyed without a decision" in report.problems[0]
        assert report.first_bad is not None


def test_an_audit_notices_sealed_bytes_that_were_altered(loaded: Path) -> None:
    with people.opened(loaded) as app:
        artifacts = app.workspace.artifacts
        path = artifacts.unopened.path_of(artifacts.seals_of(quarantine_of(app)).sealed)
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        assert "does not hold" in app.evidence.audit().problems[0]


def test_without_the_tenants_key_only_what_is_sealed_cannot_be_read(loaded: Path) -> None:
    (loaded / ".keelway/keys/tenant.key").unlink()
    with people.opened(loaded) as app:
        [problem] = app.evidence.audit().problems
        assert "The tenant's key cannot be used" in problem
        assert next(line for line in app.evidence.doctor().lines if line.what == "snapshots").ok


def test_a_vault_that_is_gone_is_noticed(loaded: Path) -> None:
    for path in (loaded / ".keelway/keys").glob("vault.db*"):
        path.unlink()
    with people.opened(loaded) as app:
        assert not app.evidence.audit().ok


def test_a_bundle_of_a_version_holds_no_sealed_byte(loaded: Path, tmp_path: Path) -> None:
    with people.opened(loaded) as app:
        proof = app.evidence.prove("visits", out=tmp_path / "bundle.json")
        data = (tmp_path / "bundle.json").read_bytes()
        checked = verify_bundle(data, key=app.workspace.signing.public_key)
    assert proof.raw_files == 1
    assert "  1 of them by their digests alone: sealed, erased, or kept elsewhere" in checked.tree
    assert b"x.org" not in data


def test_a_sealed_file_is_proven_against_the_companys_own(loaded: Path, tmp_path: Path) -> None:
    with people.opened(loaded) as app:
        app.privacy.erase("ana")
        app.evidence.prove("visits", out=tmp_path / "bundle.json")
        data, key = (tmp_path / "bundle.json").read_bytes(), app.workspace.signing.public_key
    assert verify_bundle(data, key=key, files=loaded).files_checked == 1


def test_the_doctor_tells_of_keys_and_of_erasures_half_done(loaded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def line(app) -> object:
        return next(line for line in app.evidence.doctor().lines if line.what == "personal data")

    with people.opened(loaded) as app:
        assert line(app).ok
        vault = app.workspace.safe.keyring.vault
        monkeypatch.setattr(vault, "destroy_values", lambda marks: (_ for _ in ()).throw(ErasedError("killed")))
        with pytest.raises(ErasedError):
            app.privacy.erase("ana")
        monkeypatch.undo()
        assert "erasure 1 is not done" in line(app).found
        answer = app.privacy.expire()
        assert (answer.finished, answer.done) == ((1,), None)
        assert line(app).ok
        assert app.workspace.personal.tokens.known("ana") == []


def test_people_are_named_by_their_tokens_everywhere(loaded: Path) -> None:
    with people.opened(loaded) as app:
        at = app.workspace
        names = entity_names(at.project.model("gone"), at=at)
        [token] = at.personal.tokens.known("ana")
        assert names(["ana", token, "new"])[:2] == [token, token]
        assert is_token(names(["new"])[0])
        assert names([]) == []


def test_entities_that_are_no_people_keep_their_names(tmp_path: Path) -> None:
    root = people.make(tmp_path / "things", pii={})
    with people.opened(root) as app:
        assert entity_names(app.workspace.project.model("gone"), at=app.workspace) is None


def test_a_project_without_personal_data_needs_no_keys(tmp_path: Path) -> None:
    root = people.make(tmp_path / "things", pii={})
    (root / ".keelway/keys/tenant.key").unlink()
    people.upload(root, "1.csv", "ana,ana@x.org,2026-01-01,1\n")
    with people.opened(root) as app:
        app.data.ingest()
        assert app.evidence.audit().ok
    assert not (root / ".keelway/keys/vault.db").exists()


def test_personal_data_without_keys_is_refused_before_anything_is_kept(root: Path) -> None:
    (root / ".keelway/keys/tenant.key").unlink()
    people.upload(root, "1.csv", "ana,zapata@x.org,2026-01-01,1\n")
    with people.opened(root) as app, pytest.raises(KeelwayError) as caught:
        app.data.ingest()
    assert "keelway keys --init" in caught.value.fix
    assert b"zapata" not in people.all_bytes(root / ".keelway")


def test_logs_of_libraries_are_scrubbed_once(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("keelway.some.library")
    handler = logging.StreamHandler(sys.stderr)
    logger.addHandler(handler)
    logger.propagate = False
    try:
        scrub_logs(logger.name)
        scrub_logs(logger.name)
        assert len(handler.filters) == 1
        logger.error("no route to %s", "203.0.113.9")
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
        for each in (*logging.getLogger().handlers, logging.lastResort):
            each.filters.clear()
    assert capsys.readouterr().err == "no route to [ip]\n"


def test_a_traceback_nobody_expected_is_scrubbed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    scrub_tracebacks()
    try:
        json.loads("{")
    except ValueError as error:
        wrapped = RuntimeError("could not convert 'ana@example.com'")
        wrapped.__cause__ = error
        sys.excepthook(type(wrapped), wrapped, error.__traceback__)
    told = capsys.readouterr().err
    assert "could not convert '[e-mail]'" in told
    assert "JSONDecodeError" in told
