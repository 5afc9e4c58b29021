"""Lets quarantined rows and files in after all, as a batch of their own that the next ingest loads.

Rows are cut out of their raw files as they stood; whole files come by their own bytes. Both are checked by the
contract as it is now, before anything is written:

1. A row that would be quarantined again stays where it is, and is told with its reasons.
2. A rule may be waived by somebody who may approve; what a row cannot be read without (its form, its types, the time
   it happened) may not.
3. Rules on a batch as a whole (row count, freshness, distribution, a query) speak of what a source delivers, not of a
   handful of released rows: they are waived by themselves, and the record says so. A rule that quarantines whole files
   judges single rows here.
4. A row is released once. Bytes go to the artifact store first; one transaction then writes the release, its batch
   and the decision, so a process that dies leaves nothing or all of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.contract.contract import Contract, RuleKind, Severity
from keelway.contract.quarantine.kept_out import FILE_PREFIX, HeldBatch, Selection, held, plain_reason
from keelway.contract.quarantine.released_files import Recheck, ReleasedFiles, files_to_release
from keelway.contract.quarantine.settle import PickedFile, Release, must_be_open, settlement_key
from keelway.core import Action, ArtifactStore, Decision, Digest, PrincipalId, digest_of
from keelway.errors import ConflictError, ContractError, MissingRecordError, UsageError
from keelway.identity import Principal, on_record, require_role
from keelway.ingest import Batch, SeenContent, SkipReason, batch_key, last_batch
from keelway.ledger import record_decision
from keelway.privacy import working_folder

if TYPE_CHECKING:
    from keelway.ledger.ports import StateStore, Transaction

WAIVE_ALL = "all"
"""Stands for every rule that the chosen rows break and that may be waived."""
BATCH_RULES = (RuleKind.ROW_COUNT, RuleKind.FRESHNESS, RuleKind.DISTRIBUTION, RuleKind.SQL)


@dataclass(frozen=True, slots=True)
class Released:
    """What a release did.

    Attributes:
        batch: The number of the batch that brings everything in; 0 where nothing was left to release.
        rows: How many rows it holds, those of its whole files left out.
        files: The files it brings in by their own bytes.
        waived: The reasons that are not held against them.
        kept_back: Reason to number of chosen rows that would be quarantined again, and stay where they are.
        files_kept_back: Chosen files that would be quarantined whole again, with the reasons.
    """

    dataset: str
    batch: int
    rows: int
    files: tuple[str, ...]
    waived: tuple[str, ...]
    kept_back: dict[str, int]
    files_kept_back: dict[str, tuple[str, ...]]


def release(
    dataset: str,
    selection: Selection,
    *,
    waive: Iterable[str] = (),
    comment: str,
    recheck: Recheck,
    artifacts: ArtifactStore,
    state: StateStore,
    now: datetime,
    actor: Principal,
    work: Path | None = None,
) -> Released:
    """Make a batch of the chosen rows and files that are open and keep the contract; the next ingest loads it.

    Released before: nothing happens, and the answer says batch 0.

    Args:
        waive: Reasons not to hold against them, as they are told; `all` for every one that may be waived.
        work: Where rows lie meanwhile; None for the machine's place for temporary files.

    Raises:
        IdentityError: The actor is no data-scientist or approver; only an approver may waive a rule.
        MissingRecordError: Nothing of that kind was ever quarantined.
        ContractError: All of it would be quarantined again, or a reason cannot be waived.
        ConflictError: Somebody else settled some of it meanwhile.
    """
    waive = tuple(waive)
    with on_record(Action.RELEASE, dataset, principal=actor, state=state, now=now):
        require_role(actor, *(("approver",) if waive else ("data-scientist", "approver")))
    must_say_why(comment)
    with state.snapshot() as tx:
        chosen = list(held(dataset, selection, tx=tx, artifacts=artifacts))
        if not chosen:
            must_be_known(dataset, selection, tx=tx, artifacts=artifacts)
            return Released(dataset, 0, 0, (), (), {}, {})
        _must_be_new_content(dataset, chosen, tx)
        checked_by = {item.checked.contract for item in chosen if item.checked}
        contracts = {digest: tx.by_digest(Contract, digest) for digest in checked_by}
        parent = last_batch(dataset, tx)
    assert parent is not None, "what is quarantined came in a batch"
    waived = _waived(waive, recheck, chosen)
    prefix = f"released/{parent.number + 1:06d}"
    with working_folder(work, name="release") as folder:
        found = files_to_release(
            chosen, contracts=contracts, recheck=recheck, waived=waived, prefix=prefix, artifacts=artifacts,
            folder=folder, now=now,
        )  # fmt: skip
    if not found.files:
        raise _nothing_passes(dataset, found)
    return _written(dataset, found, waived, comment, parent=parent, state=state, now=now, actor=actor.id)


def must_say_why(comment: str) -> None:
    """Return when there is a comment: whoever settles something says why.

    Raises:
        UsageError: There is none.
    """
    if not comment.strip():
        raise UsageError("Nobody says why", expected="a reason", found="nothing", fix='Add --comment "WHY".')


def must_be_known(dataset: str, selection: Selection, *, tx: Transaction, artifacts: ArtifactStore) -> None:
    """Return when something that a selection names was settled before, so that there is nothing left to do.

    Raises:
        MissingRecordError: Nothing of that kind was ever quarantined.
    """
    anything = Selection(selection.items, selection.reason, selection.file, selection.batch, status=None)
    if next(held(dataset, anything, tx=tx, artifacts=artifacts), None) is None:
        raise MissingRecordError(
            f"Nothing of that kind is in the quarantine of {dataset}",
            expected="FILE, FILE:LINE, --reason, --file or --batch of something that is",
            found=", ".join(selection.items) or selection.reason or selection.file or "an empty quarantine",
            fix=f"List it: keelway quarantine list {dataset}",
        )


def waivable(contract: Contract, event_time: str) -> tuple[str, ...]:
    """Return the reasons of a contract that may be waived for a row."""
    return tuple(
        rule.reason
        for rule in contract.rules
        if rule.kind is not RuleKind.TYPE
        and rule.kind not in BATCH_RULES
        and not (rule.kind is RuleKind.REQUIRED and event_time in rule.columns)
    )


def _waived(waive: Sequence[str], recheck: Recheck, chosen: Sequence[HeldBatch]) -> tuple[str, ...]:
    """Return the reasons that are waived: those asked for, and the rules on batches and files as a whole."""
    allowed = waivable(recheck.contract, recheck.event_time)
    asked = {plain_reason(reason) for reason in waive if reason != WAIVE_ALL}
    wrong = sorted(asked.difference(allowed))
    if wrong:
        raise ContractError(
            f"This cannot be waived: {wrong[0]}",
            expected=", ".join(allowed) or "a rule of the contract; it has none that may be waived",
            found=wrong[0],
            fix="Mend the contract, so that the rows keep it; what a row cannot be read without is never waived.",
        )
    if WAIVE_ALL in waive:
        had = {plain_reason(reason) for item in chosen if item.checked for reason in item.checked.reasons}
        asked |= had.intersection(allowed)
    for rule in recheck.contract.rules:
        if rule.kind in BATCH_RULES:
            asked.add(rule.reason)
        elif rule.severity is Severity.FILE:
            asked.add(FILE_PREFIX + rule.reason)
    return tuple(sorted(asked))


def _must_be_new_content(dataset: str, chosen: Iterable[HeldBatch], tx: Transaction) -> None:
    """Refuse a file whose content came in under another name since: its rows would be there twice."""
    for item in chosen:
        changed = {skipped.name for skipped in item.batch.skipped if skipped.reason is SkipReason.CONTENT_CHANGED}
        for file, _, _ in item.files:
            taken = tx.find(SeenContent, f"{dataset}/{file.digest}") if file.name in changed else None
            if taken is not None:
                raise ConflictError(
                    f"The content of {file.name} has been taken under another name",
                    expected="content that is not in the dataset",
                    found=taken.name,
                    fix=f"Discard it: keelway quarantine discard {dataset} {file.name}",
                )


def _nothing_passes(dataset: str, found: ReleasedFiles) -> ContractError:
    told = [f"{count} x {reason}" for reason, count in sorted(found.kept_back.items())]
    told += [f"{name}: {'; '.join(reasons)}" for name, reasons in sorted(found.files_kept_back.items())]
    return ContractError(
        f"All of it would be quarantined again in {dataset}",
        expected="rows that keep the contract as it is now",
        found="; ".join(told[:5]),
        fix="Mend the contract, or let an approver waive the rule: --waive REASON.",
    )


def _written(
    dataset: str,
    found: ReleasedFiles,
    waived: tuple[str, ...],
    comment: str,
    *,
    parent: Batch,
    state: StateStore,
    now: datetime,
    actor: PrincipalId,
) -> Released:
    """Write the release, its batch and the decision, all or nothing."""
    with state.transaction() as tx:
        must_be_open(found.picked_rows, found.picked_files, dataset=dataset, tx=tx)
        if last_batch(dataset, tx) != parent:
            raise ConflictError(f"Another batch of {dataset} came meanwhile", expected=f"batch {parent.number} last")
        record = Release(
            dataset=dataset,
            number=tx.count(Release, parent=dataset) + 1,
            rows=found.picked_rows,
            files=found.picked_files,
            waived=waived,
            batch=parent.number + 1,
            comment=comment,
            by=actor,
            at=now,
        )
        digest = tx.insert(settlement_key(dataset, record.number), record, parent=dataset, at=now)
        batch = Batch(dataset, record.batch, found.files, (), now, digest_of(parent), released=digest, waived=waived)
        batch_digest = tx.insert(batch_key(dataset, batch.number), batch, parent=dataset, at=now)
        _take_contents(dataset, found.picked_files, now, tx)
        record_decision(_decision(record, digest, batch_digest, found.rows), tx=tx)
    names = tuple(file.name for file in record.files)
    return Released(dataset, batch.number, found.rows, names, waived, found.kept_back, found.files_kept_back)


def _take_contents(dataset: str, files: Iterable[PickedFile], now: datetime, tx: Transaction) -> None:
    """Note the content of whole files as taken, so that a copy under another name is a duplicate from now on."""
    for file in files:
        key = f"{dataset}/{file.digest}"
        if tx.find(SeenContent, key) is None:
            tx.insert(key, SeenContent(dataset, file.digest, file.name), parent=dataset, at=now)


def _decision(record: Release, digest: Digest, batch: Digest, rows: int) -> Decision:
    return Decision(
        action=Action.RELEASE,
        subject=record.dataset,
        allowed=True,
        principal=record.by,
        at=record.at,
        evidence={"release": digest, "batch": batch},
        comment=f"batch {record.batch}: {rows} rows and {len(record.files)} files released: {record.comment}",
    )
