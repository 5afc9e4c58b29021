"""Bringing data in, and settling what was kept out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.app.ingest_report import IngestPreview, IngestReport, ingest_report
from keelway.app.wire import Workspace
from keelway.core import digest_of
from keelway.errors import ContractError, SourceError

if TYPE_CHECKING:
    from keelway.app.ingest_watch import Bell, Turn
    from keelway.app.quarantine import QuarantineReport
    from keelway.contract import Account, CheckedBatch, Contract, Discarded, Freshness, IngestAlert, Released, Selection
    from keelway.flow import Loaded
    from keelway.project import Dataset


class DataRoom:
    """Use cases on datasets."""

    def __init__(self, workspace: Workspace) -> None:
        self._at = workspace

    def ingest(
        self,
        dataset: str | None = None,
        *,
        since: date | datetime | None = None,
        until: date | datetime | None = None,
        enough: Callable[[], bool] | None = None,
    ) -> list[IngestReport]:
        """Pull the new files of a dataset (of every one when None), check them and take a snapshot.

        Args:
            since: Bring in only files whose partition (else time of writing) is not before this, nor after `until`.
            enough: Asked after each batch whether to leave the others for later.

        Raises:
            SourceError: The object store cannot be read, or has no data of a dataset at all.
            ContractError: A contract does not parse, or stops the load; what was loaded before it stays.
        """
        return [self._ingest(declared, since, until, enough) for declared in self._in_order(dataset)]

    def _ingest(
        self,
        dataset: Dataset,
        since: date | datetime | None,
        until: date | datetime | None,
        enough: Callable[[], bool] | None,
    ) -> IngestReport:
        from keelway.flow import bring_in_batches, no_data
        from keelway.snapshot import newest

        at = self._at
        loaded: list[Loaded] = []
        context = at.context()
        begun = context.wall.now()
        try:
            last = bring_in_batches(dataset, context, since=since, until=until, told=loaded.append, enough=enough)
        except (ContractError, SourceError):
            self._account(dataset, loaded)
            raise
        seconds = (context.wall.now() - begun).total_seconds()
        account, fresh, alerts = self._account(dataset, loaded)
        with at.state.snapshot() as tx:
            snapshot = newest(dataset.name, tx)
        if snapshot is None and not loaded and not last.waits:
            raise no_data(dataset)
        return ingest_report(
            dataset.name,
            loaded,
            last,
            snapshot,
            seconds=seconds,
            freshness=fresh,
            volumes=account.volumes,
            alerts=alerts,
        )

    def _account(
        self, dataset: Dataset, loaded: Sequence[Loaded]
    ) -> tuple[Account, Freshness, tuple[IngestAlert, ...]]:
        """Account for what was loaded, and raise the alerts that are due now."""
        from keelway.contract import freshness, freshness_alerts, raise_alerts, stop_alerts, take_account

        at, actor = self._at, self._at.principal.id
        outcomes = {digest_of(item.batch): item.checked for item in loaded if item.checked is not None}
        account = take_account(
            dataset, outcomes=outcomes, artifacts=at.artifacts, state=at.state, now=at.now(), actor=actor
        )
        fresh = freshness(dataset, account, max_age_s=self._max_age_s(dataset), now=at.now())
        with at.state.snapshot() as tx:
            stops = stop_alerts(dataset.name, tx=tx, now=at.now())
        due = [*freshness_alerts(dataset.name, fresh, now=at.now()), *stops]
        return account, fresh, account.alerts + raise_alerts(due, state=at.state, actor=actor)

    def _max_age_s(self, dataset: Dataset) -> int | None:
        """Return what the contract promises; nothing where it cannot be read, which the ingest itself tells."""
        try:
            return self._contract(dataset).max_age_s
        except ContractError:
            return None

    def preview(
        self,
        dataset: str | None = None,
        *,
        since: date | datetime | None = None,
        until: date | datetime | None = None,
    ) -> list[IngestPreview]:
        """Return what an ingest would take and what the contract would say, recording nothing.

        Raises:
            SourceError: The object store cannot be read.
            ContractError: A contract does not parse.
        """
        from keelway.app.trial import preview

        given = [(declared, self._contract(declared)) for declared in self._in_order(dataset)]
        return [preview(self._at, each, contract, since=since, until=until) for each, contract in given]

    def watch(
        self,
        dataset: str | None,
        *,
        every_s: float | None,
        bell: Bell,
        told: Callable[[Turn], None],
    ) -> None:
        """Ingest again and again, as each dataset's schedule says or every so many seconds, until the bell rings."""
        from keelway.app.ingest_watch import watch

        def ingest(name: str) -> IngestReport:
            return self.ingest(name, enough=bell.is_set)[0]

        watch(self._in_order(dataset), ingest=ingest, every_s=every_s, clock=self._at.clock, bell=bell, told=told)

    def alerts(self, dataset: str | None = None, *, limit: int | None = None) -> list[IngestAlert]:
        """Return the alerts of the way in, newest first."""
        from keelway.contract import ingest_alerts

        if dataset is not None:
            self._at.project.dataset(dataset)
        with self._at.state.snapshot() as tx:
            return ingest_alerts(dataset, tx, limit=limit)

    def check(self, dataset: str, files: Sequence[Path] = ()) -> CheckedBatch:
        """Check files against a dataset's contract without loading them; with none, all that its source matches.

        Works on a state of its own that is thrown away, so nothing is recorded.

        Raises:
            MissingRecordError: There is nothing to check.
            ContractError: The contract does not parse, or would stop the load.
        """
        from keelway.app.trial import check_files

        declared = self._at.project.dataset(dataset)
        return check_files(self._at, declared, self._contract(declared), files)

    def quarantine(
        self, dataset: str, selection: Selection, *, limit: int = 0, clear: bool = False
    ) -> QuarantineReport:
        """Return what of a dataset was kept out, by batch and file; at most `limit` of its rows with their text.

        Args:
            clear: Show the text also where the contract has columns that name a person.

        Raises:
            IdentityError: It has, the text is asked for, and the actor may not read it.
        """
        from keelway.app.quarantine import quarantine_report

        declared = self._at.project.dataset(dataset)
        personal = bool(limit and self._contract(declared).pii_columns)
        return quarantine_report(self._at, dataset, selection, limit=limit, personal=personal, clear=clear)

    def release(self, dataset: str, selection: Selection, *, comment: str, waive: Sequence[str] = ()) -> Released:
        """Make a batch of quarantined rows and files that keep the contract as it is now; the next ingest loads it.

        Raises:
            IdentityError: The actor may not do so.
            ContractError: All of it would be quarantined again.
        """
        from keelway.contract import Recheck, release
        from keelway.flow import comparison, terms_of
        from keelway.privacy import WORK

        at, declared = self._at, self._at.project.dataset(dataset)
        context = at.context()
        terms = terms_of(declared, context)
        against, _ = comparison(terms.contract, context)
        recheck = Recheck(terms.contract, declared.event_time, at.checker, against, terms.tokenizer)
        with terms.at_work():
            return release(
                declared.name, selection, waive=waive, comment=comment, recheck=recheck, artifacts=terms.artifacts,
                state=at.state, now=at.now(), actor=at.principal, work=at.root / WORK,
            )  # fmt: skip

    def discard(self, dataset: str, selection: Selection, *, comment: str) -> Discarded:
        """Give quarantined rows and files up.

        Raises:
            IdentityError: The actor may not do so.
        """
        from keelway.contract import discard

        at, name = self._at, self._at.project.dataset(dataset).name
        return discard(
            name, selection, comment=comment, artifacts=at.artifacts, state=at.state, now=at.now(), actor=at.principal
        )

    def is_stopped(self, dataset: str, batch: int) -> bool:
        """Say whether a batch waits because its contract stops it, or was discarded for that before."""
        from keelway.contract import is_stopped

        with self._at.state.snapshot() as tx:
            return is_stopped(self._at.project.dataset(dataset).name, batch, tx)

    def discard_batch(self, dataset: str, batch: int, *, comment: str) -> Discarded:
        """Pass over a batch that its contract stops; nothing of it is ever loaded.

        Raises:
            IdentityError: The actor may not do so.
            MissingRecordError: That batch is not stopped.
        """
        from keelway.contract import discard_batch

        at, name = self._at, self._at.project.dataset(dataset).name
        return discard_batch(name, batch, comment=comment, state=at.state, now=at.now(), actor=at.principal)

    def _contract(self, dataset: Dataset) -> Contract:
        from keelway.contract import load_contract

        return load_contract(self._at.root / dataset.contract, dataset.name)

    def _in_order(self, name: str | None) -> list[Dataset]:
        """Return a dataset, or every one, each after those that its contract refers to."""
        from keelway.contract import RuleKind

        project = self._at.project
        if name or len(project.datasets) < 2:
            return [project.dataset(name)] if name else list(project.datasets)
        waiting = {
            each.name: {rule.dataset for rule in self._contract(each).rules if rule.kind is RuleKind.REFERENCE}
            for each in project.datasets
        }
        order: list[Dataset] = []
        while waiting:
            ready = [name for name, named in waiting.items() if not (named & waiting.keys()) - {name}]
            for each in ready or list(waiting):  # datasets that refer to each other: the error names what is missing
                order.append(project.dataset(each))
                del waiting[each]
        return order
