"""Keys, erasure and retention: what an administrator does about personal data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from keelway.app.safe import PLAIN_COPIES
from keelway.app.wire import Workspace
from keelway.core import Action, Digest
from keelway.errors import ConflictError, KeelwayError, UsageError

if TYPE_CHECKING:
    from keelway.app.traces import Traces
    from keelway.ledger import Transaction
    from keelway.privacy import Erasure, ErasureDone, PersonalData

ROLE = "admin"
_LOOKS = 5  # searches begun again because something came in meanwhile


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """Whether the keys behind tokens and sealed files are there.

    Attributes:
        key: The reference to the tenant's key.
        made: Whether the key was made just now.
        problem: Why the keys cannot be used, or empty.
    """

    key: str
    vault: str
    made: bool
    problem: str


@dataclass(frozen=True, slots=True)
class ErasureAnswer:
    """What an erasure did, or would do.

    Attributes:
        erasure: What was found and destroyed; number 0 where it was only looked for, or nothing was left to destroy.
        done: How many keys were destroyed; None where none were.
        finished: Numbers of earlier erasures that a process had left half-done, and that were finished first.
    """

    erasure: Erasure
    done: ErasureDone | None
    finished: tuple[int, ...] = ()


class PrivacyRoom:
    """Use cases on personal data."""

    def __init__(self, workspace: Workspace) -> None:
        self._at = workspace

    def keys(self, *, init: bool = False) -> KeyStatus:
        """Say whether the tenant's key and the vault fit, after making the key where asked to.

        Raises:
            UsageError: A key is to be made, and there is one, or a vault that was made with another one.
        """
        at = self._at
        made = init and bool(self._make_key())
        problem = ""
        try:
            at.personal  # noqa: B018 - opening it is the question
        except KeelwayError as error:
            problem = str(error)
        return KeyStatus(at.settings.privacy.key, str(at.safe.vault_path), made, problem)

    def erase(self, subject: str, *, dataset: str | None = None, dry: bool = False, comment: str = "") -> ErasureAnswer:
        """Destroy the keys of a person, found by the value of a column of class `subject`.

        A person who was never here and one who was erased look the same: nothing is found, and nothing is done.

        Args:
            dataset: Look only there (None: in every dataset), and keep the keys of the person's values where another
                dataset names persons too: without them nobody could be found there any more.
            dry: Only say what would be destroyed.

        Raises:
            IdentityError: The principal is no administrator.
            UsageError: No value was given.
        """
        from keelway.app.traces import naming_datasets
        from keelway.identity import on_record, require_role
        from keelway.privacy import scrub

        at = self._at
        with on_record(Action.ERASE, "erasure", principal=at.principal, state=at.state, now=at.now()):
            require_role(at.principal, ROLE)
        if not subject.strip():
            raise UsageError("Who is to be erased?", expected="the value that names a person", found="nothing")
        everywhere = naming_datasets(at=at)
        if dataset and dataset not in everywhere:
            at.project.dataset(dataset)  # a name that nobody declared is a mistake; one without people is none
        told = scrub(comment.replace(subject, "[subject]"))
        with self._alone(dry=dry):
            finished = () if dry else finish_erasures(at)
            return self._erased(subject, everywhere, dataset, dry=dry, comment=told, finished=finished)

    def expire(self, *, dry: bool = False, comment: str = "") -> ErasureAnswer:
        """Destroy the keys of raw files, quarantined rows and prediction logs whose retention time is over.

        Raises:
            IdentityError: The principal is no administrator.
        """
        from keelway.identity import on_record, require_role
        from keelway.privacy import Erasure, Loss, order_erasure, scrub

        at = self._at
        with on_record(Action.ERASE, "erasure", principal=at.principal, state=at.state, now=at.now()):
            require_role(at.principal, ROLE)
        with self._alone(dry=dry):
            finished = () if dry else finish_erasures(at)
            over = sorted({digest for digest in self._over() if self._can_be_opened(digest)})
            erasure = Erasure(0, Loss.EXPIRED, (), tuple(over), at.now(), at.principal.id)
            if dry or not over:
                return ErasureAnswer(erasure, None, finished)
            return self._carried_out(order_erasure(erasure, state=at.state, comment=scrub(comment)), finished)

    def unfinished(self) -> tuple[int, ...]:
        """Return the numbers of erasures that were ordered and not done."""
        from keelway.privacy import unfinished

        with self._at.state.snapshot() as tx:
            return tuple(erasure.number for erasure in unfinished(tx))

    def _make_key(self) -> bool:
        from keelway.app.keys import make_tenant_key

        return make_tenant_key(self._at.root, self._at.settings)

    def _alone(self, *, dry: bool) -> AbstractContextManager[None]:
        """Wait for the ingests under way, and keep later ones out; who only looks takes things as they are."""
        return nullcontext() if dry or not self._at.safe.vault_path.exists() else self._at.safe.keyring.vault.alone()

    def _erased(
        self,
        subject: str,
        everywhere: list[str],
        dataset: str | None,
        *,
        dry: bool,
        comment: str,
        finished: tuple[int, ...],
    ) -> ErasureAnswer:
        """Search and order, again where something came in between: a compaction, say, which takes no turns."""
        from keelway.app.traces import trace
        from keelway.privacy import order_erasure

        at = self._at
        chosen = [name for name in everywhere if dataset in (None, name)]
        if not dry and not dataset:
            self._drop_leftovers(subject)
        for _ in range(_LOOKS):
            with at.state.snapshot() as tx:
                before = _size(tx)
            traces = trace(subject, chosen, at=at)
            erasure = self._erasure(traces, subject, partial=bool(dataset and set(everywhere) - {dataset}))
            if dry or not (erasure.values or erasure.artifacts):
                return ErasureAnswer(erasure, None, finished)
            try:
                ordered = order_erasure(erasure, state=at.state, comment=comment, holds=_is_of(before))
            except ConflictError:
                continue
            return self._carried_out(ordered, finished)
        raise UsageError(
            "Data keeps coming in while it is searched",
            expected="no new version during an erasure",
            found=f"something new during each of {_LOOKS} searches",
            fix="Stop what makes versions, then run the command again.",
        )

    def _drop_leftovers(self, subject: str) -> None:
        """Destroy the keys of sealed files that hold the person and that no record names: their ingest was killed.

        Nothing in the ledger speaks of them, so nothing has to be written; what is still in the object store comes
        in again, under another key.
        """
        from keelway.app.traces import leftovers
        from keelway.privacy import Loss

        at = self._at
        found = leftovers(subject, at=at)
        if found:
            at.safe.keyring.vault.destroy_artifacts(sorted(found), loss=Loss.EXPIRED)
            at.progress(f"{len(found)} files that a killed ingest left behind cannot be opened any more")

    def _erasure(self, traces: Traces, subject: str, *, partial: bool) -> Erasure:
        from keelway.app.uses import uses_of
        from keelway.privacy import Erasure, Loss

        at = self._at
        in_clear = {digest for digest in traces.files if at.artifacts.is_plain(digest)}
        return Erasure(
            number=0,
            cause=Loss.ERASED,
            values=() if partial else tuple(sorted(mark.hex() for mark in at.personal.tokens.marks(traces.tokens))),
            artifacts=tuple(sorted(digest for digest in traces.files if self._can_be_opened(digest))),
            ordered_at=at.now(),
            ordered_by=at.principal.id,
            in_clear=tuple(sorted(in_clear | traces.clear_rows)),
            unsearched=tuple(sorted(traces.unsearched)),
            objects=tuple(sorted(traces.objects)),
            uses=uses_of(traces, subject, at=at),
        )

    def _carried_out(self, ordered: Erasure, finished: tuple[int, ...]) -> ErasureAnswer:
        from keelway.privacy import carry_out

        at = self._at
        done = carry_out(ordered, vault=at.safe.keyring.vault, state=at.state, now=at.now())
        at.artifacts.release()
        return ErasureAnswer(ordered, done, finished)

    def _can_be_opened(self, digest: Digest) -> bool:
        held = self._at.artifacts.seals_of(digest)
        return held is not None and held.key is not None

    def _over(self) -> Iterator[Digest]:
        """Yield what is older than it may be, and logs whose predictions were moved into others."""
        from keelway.contract import load_contract
        from keelway.serve import PredictionSegment, replaced_data

        at, privacy = self._at, self._at.settings.privacy
        for dataset in at.project.datasets:
            own = load_contract(at.root / dataset.contract, dataset.name).retention_days
            raw, quarantine = (own or days for days in (privacy.raw_days, privacy.quarantine_days))
            yield from self._old_files(dataset.name, self._before(raw), self._before(quarantine))
        end = self._before(privacy.log_days)
        with at.state.snapshot() as tx:
            segments = tx.newest(PredictionSegment)
            yield from replaced_data(tx, before=at.now() - timedelta(days=at.settings.retention.unreferenced_days))
        yield from (segment.data for segment in segments if end is not None and segment.sealed_at < end)

    def _before(self, days: int) -> datetime | None:
        """Return the moment before which things are too old, or None where they are kept for ever."""
        return self._at.now() - timedelta(days=days) if days else None

    def _old_files(self, dataset: str, raw: datetime | None, quarantine: datetime | None) -> Iterator[Digest]:
        """Yield raw files by the time they were pulled, but none that still waits to be loaded; and quarantines."""
        from keelway.app.traces import last_loaded
        from keelway.contract import CheckedBatch
        from keelway.ingest import Batch

        last = last_loaded(dataset, at=self._at)
        with self._at.state.snapshot() as tx:
            batches, checked = tx.newest(Batch, parent=dataset), tx.newest(CheckedBatch, parent=dataset)
        for batch in batches:
            if raw is not None and batch.pulled_at < raw and batch.number <= last:
                yield from (file.digest for file in batch.files)
                yield from (file.digest for file in batch.skipped)
        for item in checked:
            if quarantine is not None and item.checked_at < quarantine and item.quarantine is not None:
                yield item.quarantine


def for_ingest(at: Workspace) -> PersonalData:
    """Return what a dataset with personal data is brought in with, in turns with erasures."""
    return replace(at.personal, at_work=lambda: _at_work(at))


def finish_erasures(at: Workspace) -> tuple[int, ...]:
    """Finish the erasures that a process that died left half-done, and return their numbers.

    Nobody else may hold a turn: what they tokenise meanwhile would have the old keys.
    """
    from keelway.privacy import carry_out, unfinished

    with at.state.snapshot() as tx:
        left = unfinished(tx)
    for erasure in left:
        carry_out(erasure, vault=at.safe.keyring.vault, state=at.state, now=at.now())
        at.progress(f"erasure {erasure.number}, which was left half-done, is finished")
    return tuple(erasure.number for erasure in left)


@contextmanager
def _at_work(at: Workspace) -> Iterator[None]:
    """Hold a turn among ingests in which every erasure that was ordered is done."""
    from keelway.privacy import unfinished

    vault = at.safe.keyring.vault
    while True:
        with vault.using():
            with at.state.snapshot() as tx:
                left = unfinished(tx)
            if not left:
                yield
                return
        with vault.alone():  # its process was killed, or it would have the turn itself
            finish_erasures(at)


def _is_of(size: tuple[int, ...]) -> Callable[[Transaction], bool]:
    return lambda tx: _size(tx) == size


def _size(tx: Transaction) -> tuple[int, ...]:
    """Return how much has come in."""
    from keelway.contract import CheckedBatch
    from keelway.ingest import Batch
    from keelway.snapshot import Snapshot

    return tuple(tx.count(kind) for kind in (Batch, CheckedBatch, Snapshot))


def checkup(at: Workspace) -> str:
    """Sweep what killed processes left lying open, and return what is well about the keys and the erasures.

    Raises:
        KeelwayError: Key and vault do not fit, or an erasure is not done.
    """
    from keelway.privacy import WORK, sweep

    swept = sum(sweep(at.root / folder) for folder in (PLAIN_COPIES, WORK))
    told = f"; {swept} folders of killed processes removed" if swept else ""
    if not at.safe.vault_path.exists():
        return f"no keys in use{told}"
    room = PrivacyRoom(at)
    problem, left = room.keys().problem, room.unfinished()
    if problem or left:
        raise KeelwayError(
            "Personal data is not in order",
            found="; ".join([*([problem] if problem else []), *(f"erasure {number} is not done" for number in left)]),
            fix="Restore the tenant's key; an erasure is finished by the next `keelway ingest` or `keelway erase`.",
        )
    return f"the keys fit, and every erasure is done{told}"
