"""Brings in everything new of a dataset: pull, check, take, batch by batch, each of them exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keelway.core import digest_of
from keelway.errors import IntegrityError, SourceError

if TYPE_CHECKING:
    from keelway.flow.context import Context
    from keelway.ingest import Batch
    from keelway.project import Dataset
    from keelway.snapshot import Snapshot


def bring_in(dataset: Dataset, ctx: Context) -> Snapshot:
    """Return the newest snapshot of a dataset, after everything new has become part of it.

    Raises:
        SourceError: The object store cannot be read, or there is no data of the dataset at all.
        ContractError: The contract does not parse, or stops the load.
    """
    from keelway.snapshot import newest

    done = None
    while (batch := _pulled(dataset, ctx)) is not None:
        if batch == done:  # a batch that is taken must not come back, or this would go on for ever
            raise IntegrityError(f"Batch {batch.number} of {dataset.name} comes back", found=digest_of(batch))
        _take(batch, dataset, ctx)
        done = batch
        ctx.progress(f"{dataset.name}: batch {batch.number} is in, {len(batch.files)} files")
    with ctx.state.snapshot() as tx:
        found = newest(dataset.name, tx=tx)
    if found is None:
        raise SourceError(
            f"There is no data of {dataset.name} yet",
            expected=f"files that match {dataset.source}",
            found="none",
            fix="Upload files to the object store, or mend the dataset's source.",
        )
    return found


def _pulled(dataset: Dataset, ctx: Context) -> Batch | None:
    from keelway.ingest import pull

    return pull(dataset, source=ctx.source, state=ctx.state, artifacts=ctx.artifacts, now=ctx.now, actor=ctx.principal)


def _take(batch: Batch, dataset: Dataset, ctx: Context) -> None:
    """Check one batch and make it part of a new snapshot."""
    from keelway.contract import check, load_contract
    from keelway.snapshot import take

    checked = check(
        batch,
        contract=load_contract(ctx.root / dataset.contract, dataset.name),
        checker=ctx.checker,
        artifacts=ctx.artifacts,
        state=ctx.state,
        now=ctx.now,
        actor=ctx.principal,
        event_time=dataset.event_time,
    )
    take(checked, tables=ctx.tables, artifacts=ctx.artifacts, state=ctx.state, now=ctx.now, actor=ctx.principal)
