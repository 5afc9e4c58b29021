"""Proving, verifying, auditing, and saying what is live."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelway.app.scoring_table import checked_paths
from keelway.app.wire import Workspace
from keelway.core import Decision, Digest, RunId, VersionName, digest_of, is_digest, parse_json
from keelway.errors import IntegrityError, KeelwayError, MissingRecordError

if TYPE_CHECKING:
    from keelway.ledger import AuditReport, Checkpoint, Transaction, Verification
    from keelway.promote import Standing
    from keelway.snapshot import Snapshot


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


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One decision with its place in the ledger."""

    index: int
    decision: Decision


@dataclass(frozen=True, slots=True)
class LiveLine:
    """What is admitted to one environment, and how its traffic is shared."""

    environment: str
    model: str
    version: str
    since: datetime
    by: str
    entry: int
    traffic: dict[str, int]


@dataclass(frozen=True, slots=True)
class Status:
    """What is live where at one moment."""

    project: str
    at: datetime
    live: tuple[LiveLine, ...]
    datasets: tuple[Snapshot, ...]
    open: tuple[str, ...]
    ledger_size: int


@dataclass(frozen=True, slots=True)
class CheckupLine:
    """One thing that was looked at."""

    what: str
    ok: bool
    found: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Checkup:
    """Everything that `doctor` looked at."""

    lines: tuple[CheckupLine, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return all(line.ok for line in self.lines)


def verify_file(bundle: Path, *, key: Path, files: Path | None = None) -> Verification:
    """Check a bundle with the public key alone.

    Raises:
        IntegrityError: Something does not hold; the message names it.
    """
    from keelway.ledger import PublicKey, verify_bundle

    return verify_bundle(bundle.read_bytes(), key=PublicKey.load(key), files=files)


def publish(at: Workspace) -> Checkpoint:
    """Publish a signed checkpoint of the ledger outside the database."""
    from keelway.ledger import publish_checkpoint

    with at.state.snapshot() as tx:
        return publish_checkpoint(
            tx.log, origin=at.settings.signing.name, key=at.signing.key, folder=at.signing.checkpoints
        )


def _live_lines(standing: list[Standing], tx: Transaction) -> list[LiveLine]:
    """Join what each environment lets in with how its traffic is shared."""
    from keelway.deploy import Deployment
    from keelway.register import ModelVersion

    traffic = {
        (place.environment, place.model): tx.by_digest(Deployment, place.target).traffic
        for place in standing
        if place.pointer.startswith("deployment/")
    }
    return [
        LiveLine(
            environment=place.environment,
            model=place.model,
            version=tx.by_digest(ModelVersion, place.target).name,
            since=place.since,
            by=place.by,
            entry=place.entry,
            traffic={str(name): share for name, share in traffic.get((place.environment, place.model), {}).items()},
        )
        for place in standing
        if place.pointer.startswith("environment/")
    ]


class EvidenceRoom:
    """Use cases of auditors."""

    def __init__(self, workspace: Workspace) -> None:
        self._at = workspace

    def public_key_path(self) -> Path:
        """Return the file of the public key."""
        return self._at.root / self._at.settings.signing.public_key

    def audit(self) -> AuditReport:
        """Check the ledger against the published checkpoints and the pointers; then publish a new checkpoint."""
        from keelway.ledger import audit

        at = self._at
        published = at.signing.checkpoints if at.signing.checkpoints.is_dir() else None
        report = audit(at.state, key=at.signing.public_key, checkpoints=published, artifacts=at.artifacts)
        if report.ok:
            publish(at)
        return report

    def log(self, *, limit: int = 0, action: str | None = None, subject: str | None = None) -> list[LedgerLine]:
        """Return the decisions, oldest first; only the newest `limit` where it is not 0."""
        from keelway.ledger import decisions

        with self._at.state.snapshot() as tx:
            found = [
                LedgerLine(index, decision)
                for index, decision in decisions(tx)
                if (not action or decision.action == action) and (not subject or decision.subject == subject)
            ]
        return found[-limit:] if limit else found

    def status(self, *, at: datetime | None = None) -> Status:
        """Return what is live where, now or at an earlier time, read from the ledger alone."""
        from keelway.flow import open_runs
        from keelway.promote import status_at
        from keelway.snapshot import newest

        moment = at or self._at.now()
        with self._at.state.snapshot() as tx:
            live = _live_lines(status_at(tx, moment), tx)
            found = [newest(item.name, tx=tx) for item in self._at.project.datasets]
            runs = tuple(f"run {run.run_id} of plan {run.plan}" for run in open_runs(tx)) if at is None else ()
            size = tx.log.size()
        datasets = tuple(item for item in found if item is not None and item.taken_at <= moment)
        return Status(self._at.settings.project.name, moment, tuple(live), datasets, runs, size)

    def prove(self, subject: str, *, out: Path | None = None) -> ProofFile:
        """Write a bundle that proves a subject, verified before it is handed out.

        Raises:
            MissingRecordError: Nothing is called that.
        """
        from keelway.ledger import prove, verify_bundle, write_atomically

        at = self._at
        with at.state.snapshot() as tx:
            start, segment, also = self._subject(subject, tx)
        data = prove(
            start,
            state=at.state,
            artifacts=at.artifacts.unopened,  # a bundle leaves the house: of sealed files it names the digest only
            key=at.signing.key,
            origin=at.settings.signing.name,
            segment=segment,
            also=also,
            log=at.artifacts,
        )
        verification = verify_bundle(data, key=at.signing.public_key)
        path = out or Path(f"proof-{subject.replace(':', '-').replace('@', '-')}.json")
        write_atomically(path, data)
        return ProofFile(
            subject=subject,
            path=str(path),
            size_bytes=len(data),
            records=verification.records,
            entries=verification.decisions,
            raw_files=verification.raw_files,
        )

    def _subject(self, name: str, tx: Transaction) -> tuple[Any, Digest | None, tuple[Digest, ...]]:
        """Return where a proof starts: a record's digest; for a prediction its value, segment and deployment."""
        from keelway.serve import find_prediction

        if name.startswith("prediction:"):
            prediction_id = name.removeprefix("prediction:")
            found, line, segment, _ = find_prediction(prediction_id, tx=tx, artifacts=self._at.artifacts)
            return parse_json(line), digest_of(segment), (found.deployment,)
        return self._record(name, tx), None, ()

    def _record(self, name: str, tx: Transaction) -> Digest:
        """Return the digest of the record that people call by a name."""
        from keelway.flow import find_run
        from keelway.register import version_named
        from keelway.snapshot import newest

        if is_digest(name):
            return Digest(name)
        if "@" in name:
            model, _, environment = name.partition("@")
            self._at.environment(environment)
            pointer = tx.pointer(f"environment/{environment}/{model}")
            if pointer is None:
                raise MissingRecordError("Nothing is live there", expected="a version that was admitted", found=name)
            return pointer.target
        if ":" in name:
            return digest_of(version_named(VersionName(name), tx=tx))
        record = find_run(RunId(name), tx=tx) or newest(name, tx=tx)
        if record is None:
            raise MissingRecordError(
                "Nothing is called that",
                expected="prediction:ID, MODEL:NUMBER, MODEL@ENVIRONMENT, a run id, a dataset or a digest",
                found=name,
            )
        return digest_of(record)

    def verify(self, bundle: Path, *, files: Path | None = None) -> Verification:
        """Check a bundle with this project's public key alone."""
        return verify_file(bundle, key=self.public_key_path(), files=files)

    def doctor(self) -> Checkup:
        """Look at everything that must hold, and say how to mend what does not."""
        return Checkup(
            tuple(
                self._look(what, look)
                for what, look in (
                    ("ledger", self._ledger),
                    ("snapshots", self._snapshots),
                    ("live models", self._models),
                    ("registry aliases", self._aliases),
                    ("runs", self._runs),
                    ("personal data", self._privacy),
                )
            )
        )

    def _look(self, what: str, look: Any) -> CheckupLine:
        try:
            return CheckupLine(what, True, look())
        except KeelwayError as error:
            return CheckupLine(what, False, str(error), error.fix)

    def _ledger(self) -> str:
        report = self.audit()
        if not report.ok:
            raise IntegrityError(
                "The ledger does not hold",
                found="; ".join(report.problems[:5]),
                fix="Keep the files as they are and compare with an earlier backup and its checkpoints.",
            )
        return f"{report.size} entries, root {report.root[:16]}, checkpoints agree"

    def _snapshots(self) -> str:
        from keelway.snapshot import newest

        told = []
        with self._at.state.snapshot() as tx:
            found = [newest(item.name, tx=tx) for item in self._at.project.datasets]
        for snapshot in found:
            if snapshot is not None:
                paths = checked_paths(snapshot, at=self._at)
                told.append(f"{snapshot.dataset} {snapshot.number}: {len(paths)} files with their bytes")
        return "; ".join(told) or "none taken yet"

    def _models(self) -> str:
        from keelway.register import ModelVersion, load_onnx

        with self._at.state.snapshot() as tx:
            live = {
                pointer.name: tx.by_digest(ModelVersion, pointer.target)
                for pointer in tx.pointers(prefix="environment/")
            }
        for version in live.values():
            load_onnx(version, artifacts=self._at.artifacts, public_key=self._at.signing.public_key)
        return (
            ", ".join(f"{name.removeprefix('environment/')}: {v.name}" for name, v in live.items()) or "none live yet"
        )

    def _privacy(self) -> str:
        from keelway.app.privacy import checkup

        return checkup(self._at)

    def _aliases(self) -> str:
        from keelway.promote import alias_drift

        with self._at.state.snapshot() as tx:
            drift = alias_drift(tx, tracker=self._at.tracker) if self._at.settings.engines.tracking else ()
        if drift:
            raise KeelwayError(
                "Registry aliases were edited past the door",
                expected="the versions that the ledger let in",
                found="; ".join(
                    f"{d.model}@{d.environment} shows {d.found}, not {d.expected} {d.reason}" for d in drift
                ),
                fix="Promote the version that should be live; find out who can edit the registry.",
            )
        return "as the ledger says"

    def _runs(self) -> str:
        from keelway.flow import open_runs

        with self._at.state.snapshot() as tx:
            runs = open_runs(tx)
        return f"open: {', '.join(run.run_id for run in runs)} (keelway run --resume RUN)" if runs else "none is open"
