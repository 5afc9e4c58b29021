"""Looks at everything that must hold in a project, and says how to mend what does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keelway.app.scoring_table import checked_paths
from keelway.core import time_text
from keelway.errors import IntegrityError, KeelwayError

if TYPE_CHECKING:
    from keelway.app.wire import Workspace
    from keelway.ledger import AuditReport
    from keelway.promote import AliasDrift


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


def checkup(at: Workspace, *, audit: Callable[[], AuditReport]) -> Checkup:
    """Look at ledger, snapshots, live models, skipped gates, registry aliases, runs and personal data."""
    looks: dict[str, Callable[[], str]] = {
        "ledger": lambda: _ledger(audit()),
        "snapshots": lambda: _snapshots(at),
        "live models": lambda: _models(at),
        "skipped gates": lambda: _skipped_gates(at),
        "registry aliases": lambda: _aliases(at),
        "runs": lambda: _runs(at),
        "personal data": lambda: _privacy(at),
    }
    return Checkup(tuple(_look(what, look) for what, look in looks.items()))


def _look(what: str, look: Callable[[], str]) -> CheckupLine:
    try:
        return CheckupLine(what, True, look())
    except KeelwayError as error:
        return CheckupLine(what, False, str(error), error.fix)


def _ledger(report: AuditReport) -> str:
    if not report.ok:
        raise IntegrityError(
            "The ledger does not hold",
            found="; ".join(report.problems[:5]),
            fix="Keep the files as they are and compare with an earlier backup and its checkpoints.",
        )
    return f"{report.size} entries, root {report.root[:16]}, checkpoints agree"


def _snapshots(at: Workspace) -> str:
    from keelway.snapshot import newest

    told = []
    with at.state.snapshot() as tx:
        found = [newest(item.name, tx=tx) for item in at.project.datasets]
    for snapshot in found:
        if snapshot is not None:
            paths = checked_paths(snapshot, at=at)
            told.append(f"{snapshot.dataset} {snapshot.number}: {len(paths)} files with their bytes")
    return "; ".join(told) or "none taken yet"


def _models(at: Workspace) -> str:
    from keelway.register import ModelVersion, check_version

    with at.state.snapshot() as tx:
        live = {
            pointer.name: tx.by_digest(ModelVersion, pointer.target) for pointer in tx.pointers(prefix="environment/")
        }
    for version in live.values():
        check_version(version, artifacts=at.artifacts, public_key=at.signing.public_key)
    return ", ".join(f"{name.removeprefix('environment/')}: {v.name}" for name, v in live.items()) or "none live yet"


def _privacy(at: Workspace) -> str:
    from keelway.app.privacy import checkup as privacy_checkup

    return privacy_checkup(at)


def _skipped_gates(at: Workspace) -> str:
    from keelway.promote import expired_skips, open_skips

    with at.state.snapshot() as tx:
        standing, expired = open_skips(tx=tx), expired_skips(tx=tx, now=at.now())
    if expired:
        raise KeelwayError(
            "A version stands past the gate longer than it may",
            expected="a regular promotion, or a rollback, before it expired",
            found="; ".join(f"{one.version} in {one.environment} since {time_text(one.at)}" for one in expired),
            fix=f"keelway promote {expired[0].version} --to {expired[0].environment}, or keelway rollback",
        )
    told = [f"{one.version} in {one.environment} until {time_text(one.expires_at)}" for one in standing]
    return f"past the gate: {'; '.join(told)}" if told else "none"


def _aliases(at: Workspace) -> str:
    """Compare aliases with the ledger; those that were left behind are moved, those that were edited are told of."""
    from keelway.app.registries import Registries

    drift = Registries(at).heal()
    if drift:
        raise KeelwayError(
            "Registry aliases do not show what the ledger let in",
            expected="the versions that the ledger let in",
            found="; ".join(_told(one) for one in drift),
            fix="Find out who edited them: keelway aliases check; then let them show the ledger: keelway aliases sync",
        )
    return "as the ledger says"


def _told(drift: AliasDrift) -> str:
    how = "was edited past the door" if drift.edited else drift.reason or "was left behind"
    writers = f" (access: {', '.join(drift.writers)})" if drift.writers else ""
    return f"{drift.model}@{drift.environment} {how}: shows {drift.found}, not {drift.expected}{writers}"


def _runs(at: Workspace) -> str:
    from keelway.flow import open_runs

    with at.state.snapshot() as tx:
        runs = open_runs(tx)
    return f"open: {', '.join(run.run_id for run in runs)} (keelway run --resume RUN)" if runs else "none is open"
