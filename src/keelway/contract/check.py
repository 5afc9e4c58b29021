"""Checks a batch against its contract: repairs what is allowed, quarantines the rest, stops where told to.

A contract that changed is judged first, before anything is checked or loaded by it. Nothing is lost: a row is kept
or quarantined, with every reason and its line as it stood. The bytes go to the artifact store first; then one
transaction writes the outcome and its ledger entry. Checking the same batch by the same contract again returns the
outcome that is stored.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from keelway.contract.change.accept import ContractStep, contract_key, next_step
from keelway.contract.checked import CheckedBatch, QuarantinedRow
from keelway.contract.contract import Contract, RuleKind
from keelway.contract.ports import NOTHING, Against, Checker, Findings, Tokenizer
from keelway.contract.stops import reasons_to_stop
from keelway.core import Action, ArtifactKind, ArtifactStore, Decision, Digest, PrincipalId, digest_of, short
from keelway.errors import ConflictError, ContractError
from keelway.ingest import Batch
from keelway.ledger import record_decision
from keelway.privacy import erased_files, must_not_be_erased, working_folder

if TYPE_CHECKING:
    from keelway.ledger.ports import StateStore, Transaction

LOOKS_BACK = (RuleKind.UNIQUE, RuleKind.DISTRIBUTION)
"""Rules that look at the version before."""
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
    against: Against = NOTHING,
    compared: Mapping[str, Digest] | None = None,
    tokenizer: Tokenizer | None = None,
    work: Path | None = None,
) -> CheckedBatch:
    """Return what the contract says about a batch, and record it.

    Files that held a person who was erased are left out, as if they had never come.

    Args:
        event_time: The column that says when a row happened; a row without it is quarantined. Empty where rows carry no time.
        against: The versions that the batch is compared with, for the rules that compare.
        compared: What `against` holds: `previous` and datasets to the digests of their snapshots.
        tokenizer: Needed where the contract has columns that name a person.
        work: Where rows lie meanwhile; None for the machine's place for temporary files.

    Raises:
        ContractError: The contract stops the load or breaks what was built on the one before (the refusal is in the
            ledger), or it does not fit the dataset.
        ConflictError: Somebody in the batch was erased meanwhile; nothing is recorded.
    """
    _must_fit(batch, contract, event_time)
    relevant = _relevant(compared or {}, contract)
    with state.snapshot() as tx:
        erased = erased_files((file.digest for file in batch.files), tx)
        key = _key(batch, contract, event_time, relevant, erased)
        known = tx.find(CheckedBatch, key)
        step = None if known else next_step(contract, tx=tx)
    if known is not None:
        return known
    if step is not None and step.refused:
        _refuse(step, batch, contract, state=state, now=now, actor=actor)
    artifacts.put(contract.text.encode(), kind=ArtifactKind.CONTRACT, name=f"{batch.dataset} {contract.version}")
    files = [file for file in batch.files if file.digest not in erased]
    with working_folder(work, name="check") as folder:
        findings = checker.check(
            [(file, artifacts.path_of(file.digest)) for file in files], contract, event_time=event_time,
            folder=folder, against=against, tokenizer=tokenizer, waived=frozenset(batch.waived),
        )  # fmt: skip
        checked = _stored(batch, contract, findings, compared=relevant, artifacts=artifacts, now=now)
    stops = (*findings.stops, *reasons_to_stop(checked.files, contract))
    with state.transaction() as tx:
        must_not_be_erased((file.digest for file in files), tx)
        _must_be_stored(checked, artifacts)
        tx.insert(contract_key(contract), contract, parent=batch.dataset, at=now)
        _record(checked, key, stops, step, actor=actor, tx=tx)
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
    if not event_time:
        _check_timeless(contract)
        return
    column = contract.column(event_time)
    if column is None or column.kind not in ("date", "timestamp"):
        raise ContractError(
            f"The contract of {batch.dataset} has no event time",
            expected=f"a column {event_time} of type date or timestamp",
            found=column.kind if column else ", ".join(item.name for item in contract.columns),
            fix="Mend the dataset's event_time or the contract.",
        )


def _check_timeless(contract: Contract) -> None:
    """Refuse a promise of freshness that names no column, where rows carry no time."""
    if any(rule.kind is RuleKind.FRESHNESS and not rule.columns for rule in contract.rules):
        raise ContractError(
            f"The contract of {contract.dataset} promises freshness, but its rows carry no time",
            expected="no promise of freshness, or one of a time column",
            found="a dataset without event_time",
            fix="Name the dataset's event_time, or remove the promise.",
        )


def _relevant(compared: Mapping[str, Digest], contract: Contract) -> dict[str, Digest]:
    """Return what a batch is compared with, without what no rule of its contract looks at."""
    used = {rule.dataset for rule in contract.rules if rule.kind is RuleKind.REFERENCE}
    if any(rule.kind in LOOKS_BACK for rule in contract.rules):
        used.add("previous")
    return {name: compared[name] for name in sorted(used & compared.keys())}


def _key(
    batch: Batch, contract: Contract, event_time: str, compared: dict[str, Digest], erased: Collection[Digest]
) -> str:
    """Return the key of an outcome: the same for the same files, contract and versions they are compared with."""
    asked = [digest_of(contract), event_time, *([compared] if compared else []), *([sorted(erased)] if erased else [])]
    return f"{batch.dataset}/{batch.number:06d}/{short(digest_of(asked))}"


def _refuse(
    step: ContractStep, batch: Batch, contract: Contract, *, state: StateStore, now: datetime, actor: PrincipalId
) -> NoReturn:
    """Record that a changed contract is refused, and say so."""
    with state.transaction() as tx:
        tx.insert(contract_key(contract), contract, parent=batch.dataset, at=now)
        record_decision(step.decision(actor=actor, at=now, batch=digest_of(batch)), tx=tx)
    raise step.refusal()


def _record(
    checked: CheckedBatch,
    key: str,
    stops: tuple[str, ...],
    step: ContractStep | None,
    *,
    actor: PrincipalId,
    tx: Transaction,
) -> None:
    """Write an outcome and what the ledger says of it; a batch that is stopped leaves only the refusal."""
    if stops:
        record_decision(_decision(checked, None, stops, actor=actor), tx=tx)
        return
    digest = tx.insert(key, checked, parent=checked.dataset, at=checked.checked_at)
    if step is not None:
        record_decision(step.decision(actor=actor, at=checked.checked_at, batch=checked.batch), tx=tx)
    if checked.rows_quarantined or any(file.reasons for file in checked.files):
        record_decision(_decision(checked, digest, (), actor=actor), tx=tx)


def _stored(
    batch: Batch,
    contract: Contract,
    findings: Findings,
    *,
    compared: dict[str, Digest],
    artifacts: ArtifactStore,
    now: datetime,
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
        warnings=findings.warnings,
        compared=compared,
    )


def _must_be_stored(checked: CheckedBatch, artifacts: ArtifactStore) -> None:
    """Refuse an outcome whose rows a vacuum deleted as a copy of rows that were there before."""
    if checked.rows not in artifacts:
        raise ConflictError(
            f"A vacuum of {checked.dataset} took the rows of a batch that was being checked",
            expected=checked.rows,
            found="nothing",
            fix="Run the command again: the rows are stored anew.",
        )


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
        comment=f"{checked.rows_quarantined} of {checked.rows_in} rows, from {files} files"
        + (f"; warnings: {'; '.join(checked.warnings)}" if checked.warnings else ""),
    )


def _stopped(batch: Batch, stops: tuple[str, ...], findings: Findings) -> ContractError:
    shown = [f"{row.file} line {row.row}: {'; '.join(row.reasons)}" for row in findings.examples[:EXAMPLES]]
    found = "; ".join(stops[:EXAMPLES]) + (f" (for example {' | '.join(shown)})" if shown else "")
    return ContractError(
        f"The contract stops the load of batch {batch.number} of {batch.dataset}",
        expected="a batch within its limits",
        found=found,
        fix="Mend the contract (an alias, a repair, the limit); the next ingest checks the batch again. "
        f"Or pass over it: keelway quarantine discard {batch.dataset} --batch {batch.number} --comment ...",
    )
