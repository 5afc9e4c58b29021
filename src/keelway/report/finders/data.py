"""Finders of evidence about data: contracts, quarantine, versions, personal data, erasures, retention."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from keelway.core import Action
from keelway.report.finders.found import days_before, gap, met, not_applicable, partly
from keelway.report.past import Past, PastEntry

if TYPE_CHECKING:
    from keelway.contract import Contract
    from keelway.report.records import Point

ERASE_WITHIN_DAYS = 30
"""One month, GDPR Article 12(3)."""


def contracts(past: Past) -> Iterator[Point]:
    """Every dataset is checked by a data contract before it is used."""
    from keelway.contract import Contract

    for dataset, entry in _last_checked(past).items():
        contract = past.record(Contract, entry.decision.evidence.get("contract"))
        if contract is None:
            yield gap(f"{dataset} was checked, and the contract that did it is not on record", entry)
        else:
            yield met(f"{dataset} is checked by contract {contract.contract_id} {contract.version}", entry)
    changes = past.entries(Action.CONTRACT)
    if changes:
        refused = sum(not each.decision.allowed for each in changes)
        yield met(f"{len(changes)} changes of contracts were judged, {refused} refused", *changes[-3:])


def quarantine(past: Past) -> Iterator[Point]:
    """What breaks a contract is kept out, and somebody decided what became of it."""
    for dataset, entry in _last_checked(past).items():
        every = past.entries(Action.QUARANTINE, subject=dataset)
        settled = past.entries(Action.RELEASE, Action.DISCARD, subject=dataset, allowed=True)
        text = f"{dataset}: {len(every)} batches were checked; the last: {entry.decision.comment or 'nothing kept out'}"
        if entry.decision.allowed:
            yield met(text, entry, *settled[-2:])
        else:
            yield partly(f"{dataset}: the last batch was stopped ({'; '.join(entry.decision.reasons)[:200]})", entry)


def snapshots(past: Past) -> Iterator[Point]:
    """Models learn from immutable versions of data that the ledger names."""
    from keelway.features import FeatureTable

    taken = {entry.decision.evidence.get("snapshot"): entry for entry in past.entries(Action.SNAPSHOT, Action.COMPACT)}
    for version, entry in past.judged:
        table = past.record(FeatureTable, version.feature_table)
        if table is None:
            yield gap(f"{version.name} names a feature table that is not on record", entry)
            continue
        for dataset, digest in sorted(table.snapshots.items()):
            if digest in taken:
                yield met(
                    f"{version.name} learned from a version of {dataset} that is in the ledger", entry, taken[digest]
                )
            else:
                yield gap(f"{version.name} learned from a version of {dataset} that no entry tells of", entry)


def personal_data(past: Past) -> Iterator[Point]:
    """It is known which columns name persons, and how each is treated."""
    for dataset, (contract, entry) in contracts_of(past).items():
        columns = {column.name: str(column.pii) for column in contract.pii_columns}
        if columns:
            told = ", ".join(f"{name} ({kind})" for name, kind in sorted(columns.items()))
            yield met(f"{dataset}: the contract classifies {told}", entry)
        else:
            yield met(f"{dataset}: the contract declares no column that names a person", entry)


def erasures(past: Past) -> Iterator[Point]:
    """Persons who ask for it are erased, in time and completely."""
    from keelway.privacy import ErasureDone

    for entry in past.entries(Action.ERASE, allowed=True):
        number = entry.decision.subject.removeprefix("erasure ")
        done = past.keyed(ErasureDone, f"{int(number):06d}") if number.isdigit() else None
        if done is not None and done.done_at <= past.at:
            late = days_before(entry.decision.at, done.done_at) > ERASE_WITHIN_DAYS
            yield (partly if late else met)(f"erasure {number} was carried out" + (", late" if late else ""), entry)
        elif days_before(entry.decision.at, past.at) > ERASE_WITHIN_DAYS:
            yield gap(f"erasure {number} was ordered more than {ERASE_WITHIN_DAYS} days before and is not done", entry)
        else:
            yield partly(f"erasure {number} is ordered and not done yet", entry)
    if not past.entries(Action.ERASE, allowed=True):
        yield not_applicable("nobody was erased until then, and no retention time ran out")


def retention(past: Past) -> Iterator[Point]:
    """What is kept too long is erased or vacuumed."""
    from keelway.privacy import Erasure, Loss

    expired = [
        entry
        for entry in past.entries(Action.ERASE, allowed=True)
        if (erasure := past.record(Erasure, entry.decision.evidence.get("erasure")))
        and erasure.cause is not Loss.ERASED
    ]
    for entry in expired[-3:]:
        yield met(f"{entry.decision.subject}: a retention time was over", entry)
    for entry in past.entries(Action.VACUUM, allowed=True)[-3:]:
        yield met(f"files of {entry.decision.subject} that nothing needs were deleted", entry)
    if not expired and not past.entries(Action.VACUUM, allowed=True):
        yield partly("nothing was deleted for its age until then")


def contracts_of(past: Past) -> dict[str, tuple[Contract, PastEntry]]:
    """Return each dataset's contract and the entry of the batch that it last checked."""
    from keelway.contract import Contract

    found = {}
    for dataset, entry in _last_checked(past).items():
        contract = past.record(Contract, entry.decision.evidence.get("contract"))
        if contract is not None:
            found[dataset] = (contract, entry)
    return found


def _last_checked(past: Past) -> dict[str, PastEntry]:
    """Return the newest entry of each dataset that tells of a batch and its contract."""
    found = {
        entry.decision.subject: entry
        for entry in past.entries(Action.QUARANTINE)
        if "contract" in entry.decision.evidence
    }
    return dict(sorted(found.items()))
