"""Brings in everything new of a dataset: pull, check, take, batch by batch, each of them exactly once.

A batch that brings no rows (only files that were left out, or only rows that were quarantined) is passed over: it
makes no version. A file that says that nothing happened (a header without rows) does: what is known until when has
moved on.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.core import ArtifactStore, Digest, digest_of
from keelway.errors import ContractError, IntegrityError, SourceError
from keelway.privacy import WORK

if TYPE_CHECKING:
    from keelway.contract import Against, CheckedBatch, Contract, Tokenizer
    from keelway.flow.context import Context
    from keelway.ingest import Batch, Pulled
    from keelway.project import Dataset
    from keelway.snapshot import KnownFiles, Snapshot


@dataclass(frozen=True, slots=True)
class Terms:
    """The contract of a dataset, with what its files have to be handled with.

    Attributes:
        artifacts: Where its files are kept; sealed where it has columns that name a person.
        tokenizer: Gives such columns their tokens; None where there are none.
        release: Removes the plain copies of sealed files, once a batch is in.
        at_work: Keeps erasures out while a batch is brought in.
    """

    contract: Contract
    artifacts: ArtifactStore
    tokenizer: Tokenizer | None
    release: Callable[[], None] = lambda: None
    at_work: Callable[[], AbstractContextManager[None]] = nullcontext


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of one batch.

    Attributes:
        checked: What its contract said; None where all of its files were left out.
        snapshot: The version that holds its rows; None where it brought none.
        seconds: How long checking and taking it took.
    """

    batch: Batch
    checked: CheckedBatch | None
    snapshot: Snapshot | None
    seconds: float


def bring_in(dataset: Dataset, ctx: Context) -> Snapshot:
    """Return the newest snapshot of a dataset, after everything new has become part of it.

    Raises:
        SourceError: The object store cannot be read, or there is no data of the dataset at all.
        ContractError: The contract does not parse, or stops the load.
    """
    from keelway.snapshot import newest

    bring_in_batches(dataset, ctx)
    with ctx.state.snapshot() as tx:
        found = newest(dataset.name, tx=tx)
    if found is None:
        raise no_data(dataset)
    return found


def bring_in_batches(
    dataset: Dataset,
    ctx: Context,
    *,
    since: date | datetime | None = None,
    until: date | datetime | None = None,
    told: Callable[[Loaded], None] | None = None,
    enough: Callable[[], bool] | None = None,
) -> Pulled:
    """Bring in everything new and return the last pull, after which nothing more is left, and which says what waits.

    Args:
        since: Bring in only files whose partition (else time of writing) is not before this, nor after `until`.
        told: Called with each batch once it is in.
        enough: Asked after each batch whether to leave the others for later.

    Raises:
        SourceError: The object store cannot be read.
        ContractError: The contract does not parse, or stops the load.
    """
    from keelway.ingest import Listing, pull
    from keelway.snapshot import KnownFiles

    terms, known = terms_of(dataset, ctx), KnownFiles()
    done: Loaded | None = None
    with Listing() as listing:
        while True:
            with terms.at_work():
                pulled = pull(
                    dataset, source=ctx.source, state=ctx.state, artifacts=terms.artifacts, now=ctx.now,
                    actor=ctx.principal, since=since, until=until, listing=listing, work=ctx.root / WORK,
                )  # fmt: skip
                if pulled.batch is not None:
                    _must_be_new(pulled.batch, done)
                    done = _load(pulled.batch, dataset, terms, ctx, later=pulled.later, known=known)
                    terms.release()
            if pulled.batch is not None and done is not None and told is not None:
                told(done)
            nothing_left = not pulled.later and not pulled.unfinished
            if nothing_left or (enough is not None and enough()):
                return pulled


def terms_of(dataset: Dataset, ctx: Context) -> Terms:
    """Return the contract of a dataset as it is now, with what it asks for.

    Raises:
        ContractError: It does not parse, or has columns that name a person where nothing can make tokens.
    """
    from keelway.contract import load_contract

    contract = load_contract(ctx.root / dataset.contract, dataset.name)
    if not contract.pii_columns:
        return Terms(contract, ctx.artifacts, None)
    if ctx.personal is None:
        raise ContractError(
            f"The contract of {dataset.name} has columns that name a person",
            expected="a key to make tokens with",
            found=", ".join(column.name for column in contract.pii_columns),
            fix="Open the project with `App.open`, which has its keys.",
        )
    personal = ctx.personal()
    return Terms(contract, personal.artifacts, personal.tokens, personal.artifacts.release, personal.at_work)


def comparison(
    contract: Contract, ctx: Context, *, known: KnownFiles | None = None
) -> tuple[Against, dict[str, Digest]]:
    """Return the versions that a contract's rules look at, as files, and the digests of their snapshots.

    Args:
        known: Files that this run has checked before.

    Raises:
        ContractError: A rule refers to a dataset that has no version yet.
    """
    from keelway.contract import Against, RuleKind
    from keelway.snapshot import newest

    kinds = {rule.kind for rule in contract.rules}
    named = sorted({rule.dataset for rule in contract.rules if rule.kind is RuleKind.REFERENCE})
    with ctx.state.snapshot() as tx:
        before = newest(contract.dataset, tx) if kinds & {RuleKind.UNIQUE, RuleKind.DISTRIBUTION} else None
        referred = {name: newest(name, tx) for name in named}
    for name, found in referred.items():
        if found is None and name != contract.dataset:  # a dataset that refers to itself begins with nothing
            raise _no_version(name, contract)
    there = {name: found for name, found in referred.items() if found is not None}
    against = Against(
        previous=_files(before, ctx, known),
        references={name: _files(referred[name], ctx, known) for name in named},
    )
    digests = {name: digest_of(found) for name, found in there.items()}
    return against, {**digests, **({"previous": digest_of(before)} if before else {})}


def no_data(dataset: Dataset) -> SourceError:
    """Return the error that there is no version of a dataset, and nothing to make one of."""
    return SourceError(
        f"There is no data of {dataset.name} yet",
        expected=f"files that match {dataset.source}, with rows that keep the contract",
        found="none",
        fix="Upload files to the object store, or mend the dataset's source; what was kept out is listed by "
        f"`keelway quarantine list {dataset.name}`.",
    )


def _load(batch: Batch, dataset: Dataset, terms: Terms, ctx: Context, *, later: int, known: KnownFiles) -> Loaded:
    """Check one batch and make it part of a new snapshot, where it brings rows."""
    from keelway.contract import check, pass_over
    from keelway.snapshot import take

    begun = ctx.wall.now()
    more = f", {later} more wait for the next batches" if later else ""
    size = sum(file.size_bytes for file in batch.files) / 1e6
    ctx.progress(f"{dataset.name}: batch {batch.number} pulled, {len(batch.files)} files, {size:,.1f} MB{more}")
    checked: CheckedBatch | None = None
    snapshot: Snapshot | None = None
    if batch.files:
        against, compared = comparison(terms.contract, ctx, known=known)
        checked = check(
            batch, contract=terms.contract, checker=ctx.checker, artifacts=terms.artifacts, state=ctx.state, now=ctx.now,
            actor=ctx.principal, event_time=dataset.event_time, against=against, compared=compared,
            tokenizer=terms.tokenizer, work=ctx.root / WORK,
        )  # fmt: skip
    if checked is not None and _makes_version(checked):
        snapshot = take(
            checked, tables=ctx.tables, artifacts=ctx.artifacts, state=ctx.state, now=ctx.now, actor=ctx.principal
        )
    else:
        pass_over(batch, checked=checked, state=ctx.state, now=ctx.now, actor=ctx.principal)
    loaded = Loaded(batch, checked, snapshot, (ctx.wall.now() - begun).total_seconds())
    ctx.progress(f"{dataset.name}: {_told(loaded)}")
    return loaded


def _must_be_new(batch: Batch, done: Loaded | None) -> None:
    """Make sure that a batch that was taken does not come back, or this would go on for ever."""
    if done is not None and batch == done.batch:
        raise IntegrityError(f"Batch {batch.number} of {batch.dataset} comes back", found=digest_of(batch))


def _makes_version(checked: CheckedBatch) -> bool:
    return checked.rows_ok > 0 or any(file.rows_in == 0 and not file.reasons for file in checked.files)


def _told(loaded: Loaded) -> str:
    checked, number = loaded.checked, loaded.batch.number
    if checked is None:
        return f"batch {number} brings nothing: {len(loaded.batch.skipped)} files left out"
    pace = checked.rows_in / loaded.seconds if loaded.seconds > 0 else 0.0
    return (
        f"batch {number} is in, {checked.rows_in:,} rows, {checked.rows_quarantined:,} quarantined, "
        f"{loaded.seconds:.1f} s ({pace:,.0f} rows/s)"
    )


def _files(snapshot: Snapshot | None, ctx: Context, known: KnownFiles | None) -> tuple[Path, ...]:
    from keelway.snapshot import read

    if snapshot is None:
        return ()
    return tuple(read(snapshot, tables=ctx.tables, artifacts=ctx.artifacts, state=ctx.state, known=known))


def _no_version(name: str, contract: Contract) -> ContractError:
    return ContractError(
        f"The contract of {contract.dataset} refers to a dataset without a version",
        expected=f"a version of {name}",
        found="none",
        fix=f"Bring it in first: keelway ingest {name}",
    )
