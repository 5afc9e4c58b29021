"""Record a run from its journal: at its end, or after whatever ended it.

Recording is idempotent: the same journal gives the same record, so a crash between the record and the removal of the
journal is mended by doing it again.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from keelway.core import ArtifactKind, ArtifactStore, Digest, RunEntry, plain
from keelway.errors import MissingRecordError
from keelway.ledger import StateStore
from keelway.train.tracking.lines import JournalContent, moment_of, read_journal
from keelway.train.tracking.ports import RunJournal, RunJournals
from keelway.train.tracking.projection import run_change
from keelway.train.tracking.record import MetricPoint, TrackedRun

INTERRUPTED = "interrupted"


def settle(journal: RunJournal, *, artifacts: ArtifactStore, state: StateStore) -> TrackedRun:
    """Record the run of a journal, with its line in the index, and delete the journal.

    A run whose journal has no end is recorded as interrupted at its last value.

    Raises:
        IntegrityError: The journal cannot be read.
    """
    data = journal.read()
    content = read_journal(data)
    name = f"{content.opening.run_id}.journal"
    kept = artifacts.put(zlib.compress(data, 1), kind=ArtifactKind.RECORD, name=name)
    run = _tracked(content, kept.digest)
    with state.transaction() as tx:
        if kept.digest not in artifacts:
            raise MissingRecordError("The journal of a run was deleted while it was recorded", fix="Do it again.")
        tx.insert(run.run_id, run, parent=run.experiment, at=run.ended_at)
    journal.remove()
    return run


def settle_leftovers(journals: RunJournals, *, artifacts: ArtifactStore, state: StateStore) -> list[TrackedRun]:
    """Record the runs whose processes died; a journal without a single whole line is deleted."""
    recorded = []
    with journals.leftovers() as held:
        for journal in held:
            if b"\n" in journal.read():
                recorded.append(settle(journal, artifacts=artifacts, state=state))
            else:  # it died before the first line was whole: there is nothing to tell
                journal.remove()
    return recorded


def points_of(run: TrackedRun, artifacts: ArtifactStore) -> Sequence[MetricPoint]:
    """Return every value of a run's figures, in the order they were logged."""
    points = read_journal(zlib.decompress(artifacts.get(run.journal))).points
    return [MetricPoint(name, value, step, moment_of(stamp)) for name, value, step, stamp in points]


def running_run(data: bytes) -> TrackedRun | None:
    """Return what a run that is still going on has told so far, or None before its first line."""
    return _tracked(read_journal(data), Digest("")) if b"\n" in data else None


def entry_from(run: TrackedRun, *, status: str) -> RunEntry:
    """Return the line that a run would have in the index, with another status."""
    entry = run_change("TrackedRun", run.run_id, plain(run), digest=Digest(""), at=run.started_at)
    assert isinstance(entry, RunEntry)
    return replace(entry, status=status)


def _tracked(content: JournalContent, journal: Digest) -> TrackedRun:
    opening = content.opening
    status, error, ended = content.ending or (INTERRUPTED, "", _last_moment(content))
    return TrackedRun(
        run_id=opening.run_id,
        name=opening.name,
        kind=opening.kind,
        experiment=opening.experiment,
        model=opening.model,
        estimator=opening.estimator,
        status=status,  # type: ignore[arg-type]
        parent=opening.parent,
        principal=opening.principal,
        seed=opening.seed,
        started_at=opening.started_at,
        ended_at=max(ended, opening.started_at),
        code=opening.code,
        machine=opening.machine,
        script=opening.script,
        requirements=opening.requirements,
        parameters=content.parameters,
        metrics={name: value for name, value in content.last.items() if math.isfinite(value)},
        not_finite={name: str(value) for name, value in content.last.items() if not math.isfinite(value)},
        tags=content.tags,
        dataset=content.given.get("dataset", ""),
        signature_json=content.given.get("signature", ""),
        input_example_json=content.given.get("input_example", ""),
        artifacts=content.artifacts,
        warnings=tuple(content.warnings),
        error=error,
        points=len(content.points),
        journal=journal,
    )


def _last_moment(content: JournalContent) -> datetime:
    stamps = [stamp for *_, stamp in content.points]
    return moment_of(max(stamps)) if stamps else content.opening.started_at
