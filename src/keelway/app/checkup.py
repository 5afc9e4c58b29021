"""Looks at everything that must hold in a project, and says how to mend what does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keelway.app.scoring_table import checked_paths
from keelway.core import time_text
from keelway.errors import IntegrityError, KeelwayError

if TYPE_CHECKING:
    from keelway.app.incidents import DrillLine
    from keelway.app.wire import Workspace
    from keelway.ledger import AuditReport
    from keelway.promote import AliasDrift, NotificationDuty


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
    """Look at ledger, data, live models, skipped gates, registry aliases, runs, people's duties and personal data."""
    looks: dict[str, Callable[[], str]] = {
        "ledger": lambda: _ledger(audit()),
        "snapshots": lambda: _snapshots(at),
        "live models": lambda: _models(at),
        "skipped gates": lambda: _skipped_gates(at),
        "registry aliases": lambda: _aliases(at),
        "runs": lambda: _runs(at),
        "incidents": lambda: _incidents(at),
        "drills": lambda: _drills(at),
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
            fix=f"keelway promote {expired[0].version} --to {expired[0].environment}, "
            f"or keelway rollback {expired[0].version.partition(':')[0]} --in {expired[0].environment}",
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


def _incidents(at: Workspace) -> str:
    """Tell which incidents are open; somebody who should have been told of one by now is a failure."""
    from keelway.app.incidents import IncidentRoom

    views = IncidentRoom(at).listed()
    waiting = [(view.incident.number, state) for view in views for state in view.duties if state.open]
    late = [(number, state.duty) for number, state in waiting if state.late]
    if late:
        number, duty = late[0]
        raise KeelwayError(
            "Somebody should have been told of an incident by now",
            expected="every notification in its time",
            found="; ".join(f"incident {number}: {_notification(duty)}" for number, duty in late),
            fix=f"keelway incidents update {number} --notified {duty.duty}=TIME, or --waive {duty.duty}=REASON",
        )
    if not views:
        return "none is open"
    told = "; ".join(f"incident {number}: {_notification(state.duty)}" for number, state in waiting)
    return f"{len(views)} open; to be told: {told or 'nobody any more'}"


def _notification(duty: NotificationDuty) -> str:
    until = f"by {time_text(duty.due_at)}" if duty.due_at else "without undue delay"
    return f"{duty.whom} {until} ({duty.reference})"


def _drills(at: Workspace) -> str:
    """Tell when fallback plans are tried out next; one that is overdue where its model is live is a failure."""
    from keelway.app.incidents import IncidentRoom

    lines = [line for line in IncidentRoom(at).drills() if line.plan is not None]
    with at.state.snapshot() as tx:
        live = {pointer.name.removeprefix("environment/") for pointer in tx.pointers(prefix="environment/")}
    overdue = [line for line in lines if line.overdue and f"{line.environment}/{line.model}" in live]
    if overdue:
        raise KeelwayError(
            "A fallback plan of a live model was not tried out in its time",
            expected="a drill that went well, as often as the plan says (`drill_every`)",
            found="; ".join(map(_drill, overdue)),
            fix="Try it out, then say how it went: "
            f"keelway drill record {overdue[0].model} --env {overdue[0].environment} --kind rollback --passed",
        )
    return "; ".join(map(_drill, lines)) or "no fallback plan is declared"


def _drill(line: DrillLine) -> str:
    due = f"due by {time_text(line.due_at)}" if line.due_at else "never tried out"
    return f"{line.environment}/{line.model}: {due}"
