"""Seals journals of predictions into the ledger, each exactly once, and finds predictions again.

A segment is an artifact of JSON lines with the RFC 9162 root over them, so that one line can be proven without
showing the others. A journal becomes one segment, under the journal's own id: sealing it again does nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from keelway.core import (
    Action,
    ArtifactKind,
    ArtifactStore,
    Decision,
    Digest,
    Prediction,
    PrincipalId,
    parse_json,
    revive,
)
from keelway.errors import ErasedError, IntegrityError, MissingRecordError
from keelway.ledger import RunningRoot, StateStore, Transaction, record_decision
from keelway.serve.ports import Journal, Journals

_ID = b'"prediction_id":"'
# Sealing is pure computing beside a server that answers in microseconds: it lets go of the interpreter often.
_YIELD_LINES = 100
_YIELD_S = 0.0005


@dataclass(frozen=True, slots=True)
class PredictionSegment:
    """Predictions that were sealed together.

    Attributes:
        data: Artifact of JSON lines, one `Prediction` each.
        root: RFC 9162 root over the lines (without their line feeds), in hexadecimal.
        first_id: Smallest prediction id.
        last_id: Largest prediction id.
        journal: Id of the journal they were written to first.
        torn_lines: Lines at the end that a dying process left unfinished; never acknowledged, dropped.
    """

    model: str
    environment: str
    data: Digest
    root: str
    count: int
    first_id: str
    last_id: str
    sealed_at: datetime
    journal: str
    torn_lines: int = 0


def seal(
    journal: Journal,
    *,
    model: str,
    environment: str,
    state: StateStore,
    artifacts: ArtifactStore,
    principal: PrincipalId,
    now: datetime,
) -> PredictionSegment | None:
    """Seal a journal that nobody writes to any more, and delete it; None where it held no whole line."""
    written = journal.read()
    whole = written[: written.rfind(b"\n") + 1]
    segment = None
    if whole:
        key = f"{environment}/{model}/{journal.journal_id}"
        with state.snapshot() as tx:
            segment = tx.find(PredictionSegment, key)
        if segment is None:
            torn = len(written) > len(whole)
            made = _segment(whole, torn, journal.journal_id, model, environment, artifacts, now)
            with state.transaction() as tx:
                segment = _record(made, key, principal, tx)
    journal.remove()
    return segment


def seal_journals(
    journals: Journals, *, state: StateStore, artifacts: ArtifactStore, principal: PrincipalId, now: datetime
) -> list[PredictionSegment]:
    """Seal what dead processes left behind."""
    with journals.leftovers() as held:
        sealed = [
            seal(
                journal,
                model=model,
                environment=environment,
                state=state,
                artifacts=artifacts,
                principal=principal,
                now=now,
            )
            for model, environment, journal in held
        ]
    return [segment for segment in sealed if segment is not None]


def find_prediction(
    prediction_id: str, *, tx: Transaction, artifacts: ArtifactStore
) -> tuple[Prediction, bytes, PredictionSegment, int]:
    """Return a sealed prediction with its line, its segment and the number of the line in it.

    Raises:
        MissingRecordError: No segment holds it.
    """
    needle = f'"prediction_id":"{prediction_id}"'.encode()
    for segment in tx.newest(PredictionSegment):
        if not segment.first_id <= prediction_id <= segment.last_id:
            continue
        for index, line in enumerate(_kept_lines(segment, artifacts)):
            if needle in line and (found := revive(parse_json(line), Prediction)).prediction_id == prediction_id:
                return found, line, segment, index
    raise MissingRecordError(
        "No such prediction",
        expected="the id of a sealed prediction",
        found=prediction_id,
        fix="Predictions are sealed within a second; those of a process that died, when serving starts again.",
    )


def predictions(tx: Transaction, *, artifacts: ArtifactStore, model: str, environment: str) -> Iterator[Prediction]:
    """Yield the sealed predictions of a model in an environment, oldest segment first; expired ones are passed over."""
    import msgspec

    decoder = msgspec.json.Decoder(Prediction)
    for segment in reversed(tx.newest(PredictionSegment, parent=f"{environment}/{model}")):
        for line in _kept_lines(segment, artifacts):
            yield decoder.decode(line)


def lines_of(segment: PredictionSegment, *, artifacts: ArtifactStore) -> list[bytes]:
    """Return the checked lines of a segment, without their line feeds."""
    return artifacts.get(segment.data).split(b"\n")[:-1]


def _kept_lines(segment: PredictionSegment, artifacts: ArtifactStore) -> list[bytes]:
    """Return the lines of a segment, or none where its retention time was over."""
    try:
        return lines_of(segment, artifacts=artifacts)
    except ErasedError:
        return []


def _segment(
    data: bytes, torn: bool, journal: str, model: str, environment: str, artifacts: ArtifactStore, now: datetime
) -> PredictionSegment:
    tree = RunningRoot()
    ids: list[str] = []
    for number, line in enumerate(data.split(b"\n")[:-1]):
        if number % _YIELD_LINES == 0:
            time.sleep(_YIELD_S)
        tree.add(line)
        ids.append(_id_of(line, journal))
    stored = artifacts.put(data, kind=ArtifactKind.PREDICTIONS, name=f"{journal}.jsonl")
    return PredictionSegment(
        model=model,
        environment=environment,
        data=stored.digest,
        root=tree.root().hex(),
        count=len(ids),
        first_id=min(ids),
        last_id=max(ids),
        sealed_at=now,
        journal=journal,
        torn_lines=int(torn),
    )


def _id_of(line: bytes, journal: str) -> str:
    """Return the id in a line without reading the rest: only features come before it that could be called the same."""
    start = line.rfind(_ID) + len(_ID)
    end = line.find(b'"', start)
    if start < len(_ID) or end < 0:
        raise IntegrityError(
            f"The prediction journal {journal} is damaged",
            expected="one prediction in each line",
            found=repr(line[:60]),
            fix="Move its file elsewhere and keep it: what it held cannot be proven any more.",
        )
    return line[start:end].decode(errors="replace")


def _record(segment: PredictionSegment, key: str, principal: PrincipalId, tx: Transaction) -> PredictionSegment:
    there = tx.find(PredictionSegment, key)
    if there is not None:
        return there
    now = segment.sealed_at
    digest = tx.insert(key, segment, parent=f"{segment.environment}/{segment.model}", at=now)
    decision = Decision(
        Action.LOG_PREDICTIONS,
        subject=segment.model,
        allowed=True,
        principal=principal,
        at=now,
        evidence={"segment": digest, "data": segment.data},
        environment=segment.environment,
    )
    record_decision(decision, tx=tx)
    return segment
