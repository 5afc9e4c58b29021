"""Keys, erasure and retention: what an administrator does about personal data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from keelway.app.wire import Workspace
from keelway.core import Digest
from keelway.errors import KeelwayError, UsageError

if TYPE_CHECKING:
    from keelway.app.traces import Traces
    from keelway.privacy import Erasure, ErasureDone

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
        from keelway.identity import require_role
        from keelway.privacy import scrub

        at = self._at
        require_role(at.principal, ROLE)
        if not subject.strip():
            raise UsageError("Who is to be erased?", expected="the value that names a person", found="nothing")
        finished = () if dry else self._finish()
        everywhere = naming_datasets(at=at)
        if dataset and dataset not in everywhere:
            at.project.dataset(dataset)  # a name that nobody declared is a mistake; one without people is none
        chosen = [name for name in everywhere if dataset in (None, name)]
        traces = self._traces(subject, chosen)
        erasure = self._erasure(traces, subject, partial=bool(dataset and set(everywhere) - {dataset}))
        told = scrub(comment.replace(subject, "[subject]"))
        return self._carried_out(erasure, dry=dry, comment=told, finished=finished)

    def expire(self, *, dry: bool = False, comment: str = "") -> ErasureAnswer:
        """Destroy the keys of raw files, quarantined rows and prediction logs whose retention time is over.

        Raises:
            IdentityError: The principal is no administrator.
        """
        from keelway.identity import require_role
        from keelway.privacy import Erasure, Loss, scrub

        at = self._at
        require_role(at.principal, ROLE)
        finished = () if dry else self._finish()
        over = sorted({digest for digest in self._over() if self._can_be_opened(digest)})
        erasure = Erasure(0, Loss.EXPIRED, (), tuple(over), at.now(), at.principal.id)
        return self._carried_out(erasure, dry=dry, comment=scrub(comment), finished=finished)

    def unfinished(self) -> tuple[int, ...]:
        """Return the numbers of erasures that were ordered and not done."""
        from keelway.privacy import unfinished

        with self._at.state.snapshot() as tx:
            return tuple(erasure.number for erasure in unfinished(tx))

    def _make_key(self) -> bool:
        from keelway.app.keys import make_tenant_key

        return make_tenant_key(self._at.root, self._at.settings)

    def _finish(self) -> tuple[int, ...]:
        """Finish what a process that died left half-done."""
        from keelway.privacy import carry_out, unfinished

        at = self._at
        with at.state.snapshot() as tx:
            left = unfinished(tx)
        for erasure in left:
            carry_out(erasure, vault=at.safe.keyring.vault, state=at.state, now=at.now())
            at.progress(f"erasure {erasure.number}, which was left half-done, is finished")
        return tuple(erasure.number for erasure in left)

    def _traces(self, subject: str, datasets: list[str]) -> Traces:
        """Search until nothing came in during the search."""
        from keelway.app.traces import trace

        for _ in range(_LOOKS):
            before = self._size()
            traces = trace(subject, datasets, at=self._at)
            if self._size() == before:
                return traces
        raise UsageError(
            "Data keeps coming in while it is searched",
            expected="no ingest during an erasure",
            found=f"something new during each of {_LOOKS} searches",
            fix="Stop the ingest, then run the command again.",
        )

    def _size(self) -> tuple[int, ...]:
        from keelway.contract import CheckedBatch
        from keelway.ingest import Batch
        from keelway.snapshot import Snapshot

        with self._at.state.snapshot() as tx:
            return tuple(tx.count(kind) for kind in (Batch, CheckedBatch, Snapshot))

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

    def _carried_out(self, erasure: Erasure, *, dry: bool, comment: str, finished: tuple[int, ...]) -> ErasureAnswer:
        from keelway.privacy import carry_out, order_erasure

        at = self._at
        if dry or not (erasure.values or erasure.artifacts):
            return ErasureAnswer(erasure, None, finished)
        ordered = order_erasure(erasure, state=at.state, comment=comment)
        done = carry_out(ordered, vault=at.safe.keyring.vault, state=at.state, now=at.now())
        at.artifacts.release()
        return ErasureAnswer(ordered, done, finished)

    def _can_be_opened(self, digest: Digest) -> bool:
        held = self._at.artifacts.seals_of(digest)
        return held is not None and held.key is not None

    def _over(self) -> Iterator[Digest]:
        """Yield what is older than it may be."""
        from keelway.contract import load_contract
        from keelway.serve import PredictionSegment

        at, privacy = self._at, self._at.settings.privacy
        for dataset in at.project.datasets:
            own = load_contract(at.root / dataset.contract, dataset.name).retention_days
            raw, quarantine = (own or days for days in (privacy.raw_days, privacy.quarantine_days))
            yield from self._old_files(dataset.name, self._before(raw), self._before(quarantine))
        end = self._before(privacy.log_days)
        with at.state.snapshot() as tx:
            segments = tx.newest(PredictionSegment)
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


def checkup(at: Workspace) -> str:
    """Return what is well about the keys and the erasures of a project.

    Raises:
        KeelwayError: Key and vault do not fit, or an erasure is not done.
    """
    if not at.safe.vault_path.exists():
        return "no keys in use"
    room = PrivacyRoom(at)
    problem, left = room.keys().problem, room.unfinished()
    if problem or left:
        raise KeelwayError(
            "Personal data is not in order",
            found="; ".join([*([problem] if problem else []), *(f"erasure {number} is not done" for number in left)]),
            fix="Restore the tenant's key; an erasure is finished by the next `keelway erase --expired`.",
        )
    return "the keys fit, and every erasure is done"
