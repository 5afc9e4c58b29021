"""Checks a batch against its contract: repairs what is allowed, quarantines the rest, stops where told to.

Nothing is lost: a row is kept or quarantined, with every reason and its line as it stood. The bytes go to the
artifact store first; then one transaction writes the outcome and its ledger entry. Checking the same batch by the
same contract again returns the outcome that is stored.
"""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.contract.checked import CheckedBatch, QuarantinedRow
from keelway.contract.contract import Contract, UnknownColumns
from keelway.contract.ports import Checker, Findings
from keelway.core import Action, ArtifactKind, ArtifactStore, Decision, Digest, PrincipalId, digest_of, short
from keelway.errors import ContractError
from keelway.ingest import Batch
from keelway.ledger import record_decision

if TYPE_CHECKING:
    from keelway.ledger.ports import StateStore

EXAMPLES = 5
"""Bad rows shown in an error."""


def check(
    batch: Batch,
    *,
    contract: Contract,
    checker: Checker,
    artifacts: ArtifactStore,
    state: StateStore,
    now: datetime,
    actor: PrincipalId,
    event_time: str,
) -> CheckedBatch:
    """Return what the contract says about a batch, and record it.

    `event_time` is the column that says when a row happened; a row without it is quarantined.

    Raises:
        ContractError: The contract stops the load (the refusal is in the ledger), or does not fit the dataset.
    """
    _must_fit(batch, contract, event_time)
    key = f"{batch.dataset}/{batch.number:06d}/{short(digest_of([digest_of(contract), event_time]))}"
    with state.snapshot() as tx:
        known = tx.find(CheckedBatch, key)
    if known is not None:
        return known
    artifacts.put(contract.text.encode(), kind=ArtifactKind.CONTRACT, name=f"{batch.dataset} {contract.version}")
    with tempfile.TemporaryDirectory(prefix="keelway-check-") as folder:
        files = [(file, artifacts.path_of(file.digest)) for file in batch.files]
        findings = checker.check(files, contract, event_time=event_time, folder=Path(folder))
        checked = _stored(batch, contract, findings, artifacts=artifacts, now=now)
    stops = _reasons_to_stop(checked, contract)
    with state.transaction() as tx:
        tx.insert(_contract_key(contract), contract, parent=batch.dataset, at=now)
        if not stops:
            digest = tx.insert(key, checked, parent=batch.dataset, at=now)
            if checked.rows_quarantined or any(file.reasons for file in checked.files):
                record_decision(_decision(checked, digest, (), actor=actor), tx=tx)
        else:
            record_decision(_decision(checked, None, stops, actor=actor), tx=tx)
    if stops:
        raise _stopped(batch, stops, findings)
    return checked


def quarantined_rows(
    checked: CheckedBatch, *, artifacts: ArtifactStore, limit: int | None = None
) -> list[QuarantinedRow]:
    """Return the quarantined rows of a batch with their reasons, by file and line, at most `limit`."""
    if checked.quarantine is None:
        return []
    import pyarrow.parquet

    rows: list[QuarantinedRow] = []
    with pyarrow.parquet.ParquetFile(artifacts.path_of(checked.quarantine)) as stored:
        for part in stored.iter_batches(batch_size=1024):
            for row in part.to_pylist():
                if limit is not None and len(rows) >= limit:
                    return rows
                reasons = tuple(row["reasons"])
                rows.append(QuarantinedRow(row["file"], Digest(row["digest"]), row["row"], row["raw"], reasons))
    return rows


def _must_fit(batch: Batch, contract: Contract, event_time: str) -> None:
    if contract.dataset != batch.dataset:
        raise ContractError("The contract is another dataset's", expected=batch.dataset, found=contract.dataset)
    column = contract.column(event_time)
    if column is None or column.kind not in ("date", "timestamp"):
        raise ContractError(
            f"The contract of {batch.dataset} has no event time",
            expected=f"a column {event_time} of type date or timestamp",
            found=column.kind if column else ", ".join(item.name for item in contract.columns),
            fix="Mend the dataset's event_time or the contract.",
        )


def _contract_key(contract: Contract) -> str:
    return f"{contract.dataset}/{contract.version}/{short(contract.source)}"


def _stored(
    batch: Batch, contract: Contract, findings: Findings, *, artifacts: ArtifactStore, now: datetime
) -> CheckedBatch:
    """Put a checker's files into the artifact store and return the record that names them."""
    assert findings.rows is not None
    rows = artifacts.put_file(findings.rows, kind=ArtifactKind.SNAPSHOT, name=f"{batch.dataset} rows {batch.number}")
    quarantine = None
    if findings.quarantine is not None:
        name = f"{batch.dataset} quarantine {batch.number}"
        quarantine = artifacts.put_file(findings.quarantine, kind=ArtifactKind.QUARANTINE, name=name).digest
    return CheckedBatch(
        dataset=batch.dataset,
        batch=digest_of(batch),
        contract=digest_of(contract),
        contract_version=contract.version,
        rows_in=sum(file.rows_in for file in findings.files),
        rows_ok=sum(file.rows_ok for file in findings.files),
        rows_quarantined=sum(file.rows_quarantined for file in findings.files),
        rows_repaired=findings.rows_repaired,
        repairs=findings.repairs,
        reasons=findings.reasons,
        files=findings.files,
        quarantine=quarantine,
        rows=rows.digest,
        columns=findings.columns,
        known_until=max((file.known_at for file in batch.files), default=batch.pulled_at),
        checked_at=now,
    )


def _reasons_to_stop(checked: CheckedBatch, contract: Contract) -> tuple[str, ...]:
    reasons = []
    limit = contract.stop_at_quarantined_share
    if checked.rows_quarantined > limit * checked.rows_in:
        share = checked.rows_quarantined / checked.rows_in
        reasons.append(
            f"{checked.rows_quarantined} of {checked.rows_in} rows ({share:.1%}) would be quarantined, "
            f"at most {limit:.1%} may be"
        )
    if contract.unknown_columns is UnknownColumns.STOP:
        reasons += [f"{file.name} has unknown columns: {', '.join(file.extra)}" for file in checked.files if file.extra]
    return tuple(reasons)


def _decision(checked: CheckedBatch, digest: Digest | None, stops: tuple[str, ...], *, actor: PrincipalId) -> Decision:
    evidence = {"batch": checked.batch, "contract": checked.contract}
    if digest is not None:
        evidence["checked"] = digest
    if checked.quarantine is not None:
        evidence["quarantine"] = checked.quarantine
    files = sum(1 for file in checked.files if file.rows_quarantined or file.reasons)
    return Decision(
        action=Action.QUARANTINE,
        subject=checked.dataset,
        allowed=not stops,
        reasons=stops,
        principal=actor,
        at=checked.checked_at,
        evidence=evidence,
        policy=checked.contract,
        comment=f"{checked.rows_quarantined} of {checked.rows_in} rows, from {files} files",
    )


def _stopped(batch: Batch, stops: tuple[str, ...], findings: Findings) -> ContractError:
    shown = [f"{row.file} line {row.row}: {'; '.join(row.reasons)}" for row in findings.examples[:EXAMPLES]]
    found = "; ".join(stops[:EXAMPLES]) + (f" (for example {' | '.join(shown)})" if shown else "")
    return ContractError(
        f"The contract stops the load of batch {batch.number} of {batch.dataset}",
        expected="a batch within its limits",
        found=found,
        fix="Mend the contract (an alias, a repair, the limit); the next ingest checks the batch again. "
        "Or mend the source.",
    )
