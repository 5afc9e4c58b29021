"""Proving, verifying, auditing, and saying what is live."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelway.app.checkup import Checkup, checkup
from keelway.app.ledger_log import LedgerLine, LogQuery, check_environment, chosen
from keelway.app.publishing import Published, kept_notes, publish, publish_everywhere, quorum_of
from keelway.app.status import Status, status_of
from keelway.app.wire import LOCAL, Workspace
from keelway.core import Digest, RunId, VersionName, digest_of, is_digest, parse_json
from keelway.errors import MissingRecordError, SettingsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keelway.ledger import AuditReport, Quorum, Transaction, Verification

SUBJECTS = (
    "prediction:ID, MODEL:NUMBER, MODEL@ENVIRONMENT, deployment:MODEL@ENVIRONMENT, run:ID, snapshot:DATASET/VERSION, "
    "a dataset or a digest"
)
_KINDS = ("run", "dataset")
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class ProofFile:
    """A bundle that was written.

    Attributes:
        records: How many records it holds.
        entries: How many ledger entries, each with its inclusion proof.
        raw_files: How many raw files it names by digest.
    """

    subject: str
    path: str
    size_bytes: int
    records: int
    entries: int
    raw_files: int


def verify_file(
    bundle: Path, *, key: Path, files: Path | None = None, witnesses: Sequence[Path] = (), needed: int | None = None
) -> Verification:
    """Check a bundle with the public key alone; with witnesses' keys, so many of them must have signed its checkpoint.

    Raises:
        IntegrityError: Something does not hold; the message names it.
    """
    from keelway.ledger import PublicKey, Quorum, verify_bundle

    quorum = Quorum(tuple(PublicKey.load(path) for path in witnesses), len(witnesses) if needed is None else needed)
    return verify_bundle(bundle.read_bytes(), key=PublicKey.load(key), files=files, quorum=quorum)


class EvidenceRoom:
    """Use cases of auditors."""

    def __init__(self, workspace: Workspace) -> None:
        self._at = workspace

    def public_key_path(self) -> Path:
        """Return the file of the public key."""
        return self._at.root / self._at.settings.signing.public_key

    def audit(self, *, kept: Sequence[str] = (), quorum: Quorum | None = None) -> AuditReport:
        """Check the ledger against the published checkpoints and the pointers; then publish a new checkpoint.

        Args:
            kept: Checkpoints that somebody kept: files, folders, or targets as `signing.publish` names them.
            quorum: The witnesses that must have signed a checkpoint; those of the settings where None.
        """
        from keelway.ledger import audit

        at = self._at
        asked = quorum or quorum_of(at.settings.signing, at.root)
        notes = kept_notes(at, kept)
        report = audit(at.state, key=at.signing.public_key, checkpoints=notes, artifacts=at.artifacts, quorum=asked)
        if report.ok and self._can_sign():
            publish(at)
        return report

    def _can_sign(self) -> bool:
        """Say whether the signing key is here: to look needs none."""
        try:
            return bool(self._at.signing.key.name)
        except SettingsError:
            return False

    def publish(self) -> Published:
        """Publish a checkpoint of the ledger now, and say what came of it at each target."""
        return publish_everywhere(self._at)

    def extension(self, old: int) -> str:
        """Return what a witness asks for that saw `old` entries: the proof that the ledger extends them, and a checkpoint.

        Raises:
            UsageError: The ledger has fewer entries.
        """
        from keelway.ledger import extension_request, sign_checkpoint

        at = self._at
        with at.state.snapshot() as tx:
            if old > tx.log.size():
                raise UsageError(
                    "The ledger never had so many entries",
                    expected=f"0 to {tx.log.size()}, as many as the witness saw",
                    found=str(old),
                )
            checkpoint = sign_checkpoint(tx.log, origin=at.settings.signing.name, key=at.signing.key)
            return extension_request(tx.log, checkpoint, old=old)

    def log(self, *, limit: int = 0, action: str | None = None, subject: str | None = None) -> list[LedgerLine]:
        """Return the decisions, oldest first; only the newest `limit` where it is not 0."""
        return self.decisions(LogQuery(action=action or "", subject=subject or "", limit=limit))

    def decisions(self, query: LogQuery) -> list[LedgerLine]:
        """Return the decisions that a query wants, oldest first.

        Raises:
            UsageError: Nothing was ever decided on the environment, and the settings know none of that name.
        """
        with self._at.state.snapshot() as tx:
            lines = chosen(query, tx=tx)
            if not lines and query.environment:
                check_environment(query.environment, known=(LOCAL, *self._at.settings.environments), tx=tx)
        return lines

    def status(self, *, at: datetime | None = None) -> Status:
        """Return what is live where, now or at an earlier time, read from the ledger alone."""
        return status_of(self._at, moment=at)

    def prove(self, subject: str, *, out: Path | None = None, checkpoint: Path | None = None) -> ProofFile:
        """Write a bundle that proves a subject, verified before it is handed out.

        Args:
            checkpoint: A published checkpoint to prove it by, such as one that witnesses signed; a fresh one where None.

        Raises:
            MissingRecordError: Nothing is called that.
        """
        from keelway.ledger import prove, verify_bundle, verify_checkpoint, write_atomically

        at = self._at
        with at.state.snapshot() as tx:
            start, segment, lines, also = self._subject(subject, tx)
        note = checkpoint.read_bytes().decode(errors="replace") if checkpoint else ""
        data = prove(
            start,
            state=at.state,
            artifacts=at.artifacts.unopened,  # a bundle leaves the house: of sealed files it names the digest only
            key=at.signing.key,
            origin=at.settings.signing.name,
            segment=segment,
            also=also,
            lines=lines,
            name=subject,
            checkpoint=verify_checkpoint(note, key=at.signing.public_key) if note else None,
        )
        verification = verify_bundle(data, key=at.signing.public_key)
        path = out or Path(f"proof-{_UNFIT.sub('-', subject)}.json")
        write_atomically(path, data)
        return ProofFile(
            subject=subject,
            path=str(path),
            size_bytes=len(data),
            records=verification.records,
            entries=verification.decisions,
            raw_files=verification.raw_files,
        )

    def _subject(self, name: str, tx: Transaction) -> tuple[Any, Digest | None, Sequence[bytes], tuple[Digest, ...]]:
        """Return where a proof starts: a record's digest; for a prediction its value, segment, lines and deployment."""
        from keelway.serve import find_with_lines

        if name.startswith("prediction:"):
            prediction_id = name.removeprefix("prediction:")
            found, number, segment, lines = find_with_lines(prediction_id, tx=tx, artifacts=self._at.artifacts)
            return parse_json(lines[number]), digest_of(segment), lines, (found.deployment,)
        return self._record(name, tx), None, (), ()

    def _record(self, name: str, tx: Transaction) -> Digest:
        """Return the digest of the record that people call by a name."""
        from keelway.flow import find_run
        from keelway.register import version_named
        from keelway.snapshot import newest, resolve

        kind, _, rest = name.partition(":")
        if is_digest(name):
            return Digest(name)
        if kind == "sha256":
            raise UsageError("This is no digest", expected="sha256: and 64 hexadecimal digits", found=name)
        if kind == "deployment" or "@" in name:
            return self._pointed_at(rest if kind == "deployment" else name, kind, tx)
        if kind == "snapshot":
            dataset, _, version = rest.partition("/")
            return digest_of(resolve(dataset, version or "newest", tx))
        if kind not in _KINDS and rest:
            return digest_of(version_named(VersionName(name), tx=tx))
        named = rest if kind in _KINDS and rest else name
        record = find_run(RunId(named), tx=tx) or newest(named, tx=tx)
        if record is None:
            what = "There is no such run" if kind == "run" else "Nothing is called that"
            raise MissingRecordError(
                what, expected=SUBJECTS, found=name, fix="See `keelway models`, `keelway runs`, `keelway snapshots`."
            )
        return digest_of(record)

    def _pointed_at(self, name: str, kind: str, tx: Transaction) -> Digest:
        """Return what is live in an environment: the version that was let in, or how traffic is shared."""
        model, at_sign, environment = name.partition("@")
        if not (at_sign and environment):
            raise UsageError("No environment is named", expected="deployment:MODEL@ENVIRONMENT", found=f"{kind}:{name}")
        self._at.environment(environment)
        pointer = tx.pointer(f"{'deployment' if kind == 'deployment' else 'environment'}/{environment}/{model}")
        if pointer is None:
            raise MissingRecordError("Nothing is live there", expected="a version that was admitted", found=name)
        return pointer.target

    def verify(self, bundle: Path, *, files: Path | None = None) -> Verification:
        """Check a bundle with this project's public key alone."""
        return verify_file(bundle, key=self.public_key_path(), files=files)

    def doctor(self) -> Checkup:
        """Look at everything that must hold, and say how to mend what does not."""
        return checkup(self._at, audit=self.audit)
