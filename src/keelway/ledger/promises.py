"""What was signed about a ledger, held against the ledger as it is read.

A checkpoint alone shows that something before it was changed. Two of them bracket where: behind the last one that agrees,
before the first one that does not. The leaf hashes published with a checkpoint name the very entry, for they are believed
only if they lead from a root that agrees to the one that was signed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from keelway.errors import IntegrityError, KeelwayError
from keelway.ledger.checkpoint import Checkpoint, verify_checkpoint
from keelway.ledger.findings import Finding, Harm
from keelway.ledger.keys import PublicKey
from keelway.ledger.merkle import RunningRoot, leaf_hash
from keelway.ledger.ports import CheckpointTarget, Log
from keelway.ledger.publish import PublishedLeaves, published_leaves, published_notes
from keelway.ledger.witness import Quorum


def no_leaves() -> PublishedLeaves | None:
    """Stand for a note that came without hashes."""
    return None


@dataclass(frozen=True, slots=True)
class PublishedNote:
    """A checkpoint that somebody kept; nothing of it is checked yet.

    Attributes:
        where: Where it was found, for messages.
        text: The signed note.
        leaves: Reads the hashes that were published with it.
        problem: Why no note could be read there, or empty.
    """

    where: str
    text: str
    leaves: Callable[[], PublishedLeaves | None] = no_leaves
    problem: str = ""


@dataclass(slots=True)
class _Promise:
    checkpoint: Checkpoint
    notes: list[PublishedNote]
    found: str = ""
    kept: bool = False


@dataclass(slots=True)
class Promises:
    """All checkpoints that are believed, and how the ledger stands to them.

    Attributes:
        findings: What does not hold so far.
        compared: How many different checkpoints were held against the ledger.
        witnessed: The size of the longest ledger that enough witnesses signed, or None.
    """

    _by_size: dict[int, list[_Promise]] = field(default_factory=dict)
    _frontiers: dict[int, RunningRoot] = field(default_factory=lambda: {0: RunningRoot()})
    findings: list[Finding] = field(default_factory=list)
    compared: int = 0
    witnessed: int | None = None

    @classmethod
    def read(cls, notes: Iterable[PublishedNote], *, key: PublicKey, quorum: Quorum) -> Promises:
        """Check the signatures of notes; one that cannot be believed is a finding."""
        made = cls()
        for note in notes:
            if note.problem:
                made.findings.append(Finding(Harm.CHECKPOINT, f"{note.where} cannot be read: {note.problem}"))
                continue
            try:
                checkpoint = verify_checkpoint(note.text, key=key)
            except IntegrityError as error:
                made.findings.append(
                    Finding(Harm.CHECKPOINT, f"A published checkpoint does not hold: {note.where}: {error}")
                )
                continue
            if quorum.needed and quorum.is_met(note.text):
                made.witnessed = max(made.witnessed or 0, checkpoint.size)
            made._keep(checkpoint, note)
        if quorum.needed and made.witnessed is None:
            told = f"No checkpoint is signed by {quorum.needed} of the witnesses {quorum.names}"
            made.findings.append(Finding(Harm.CHECKPOINT, told))
        return made

    def _keep(self, checkpoint: Checkpoint, note: PublishedNote) -> None:
        """Keep a promise once, with every place where it was found: the hashes may lie beside any of them."""
        same = self._by_size.setdefault(checkpoint.size, [])
        for promise in same:
            if promise.checkpoint.root == checkpoint.root:
                promise.notes.append(note)
                return
        same.append(_Promise(checkpoint, [note]))

    @property
    def newest(self) -> int:
        """How many entries the longest ledger has that was signed."""
        return max(self._by_size, default=0)

    def compare(self, running: RunningRoot) -> None:
        """Hold the checkpoints of the present size against the entries read so far."""
        promises = self._by_size.get(running.size, ())
        for promise in promises:
            self.compared += 1
            promise.found = running.root().hex()
            promise.kept = promise.found == promise.checkpoint.root
            if promise.kept:
                self._frontiers[running.size] = running.copy()

    def judge(self, log: Log, size: int, *, traces: bool) -> None:
        """Say what the checkpoints show of a ledger of that size; `traces` are left of entries that are gone."""
        broken: list[Finding] = []
        for promise in (promise for end in sorted(self._by_size) for promise in self._by_size[end]):
            if promise.found and not promise.kept:
                shown = self._broken(promise, log, size)
                follows = shown.harm is Harm.REWRITTEN and shown.first != shown.last
                if not (broken and follows):  # what was changed before the first is also before all later ones
                    broken.append(shown)
        self.findings += broken
        beyond = [promise for end in sorted(self._by_size) if end > size for promise in self._by_size[end]]
        for promise in beyond:
            finding = self._entry_that_differs(promise, log, size)
            if finding is not None:
                self.findings.append(finding)
        if beyond:
            self.findings.append(self._cut(size, traces=traces))

    def _cut(self, size: int, *, traces: bool) -> Finding:
        ends = f"a signed checkpoint speaks of {self.newest} entries, there are {size}"
        if traces:
            return Finding(
                Harm.CUT, f"Entry {size} is missing, and all behind it: {ends}, and traces of more", size, size
            )
        why = "nothing is left of the others, as in a copy of the database from an earlier day"
        return Finding(Harm.RESTORED, f"Entry {size} is missing, and all behind it: {ends}; {why}", size, size)

    def _broken(self, promise: _Promise, log: Log, size: int) -> Finding:
        """Return what a checkpoint shows that does not agree."""
        end, root = promise.checkpoint.size, promise.checkpoint.root
        said = f"the checkpoint at {end} has root {root[:12]}, the entries give {promise.found[:12]}"
        contrary = self._contrary(promise)
        harm = Harm.FORKED if contrary else Harm.REWRITTEN
        exact = self._difference(promise, log, size)
        tail = f"; {contrary}" if contrary else ""
        if exact is not None:
            return Finding(harm, f"Entry {exact} is another one than was signed: {said}{tail}", exact, exact)
        first = max((at for at in self._frontiers if at < end and self._is_kept(at)), default=0)
        if contrary:  # what the other ledger held before its checkpoint is known only where its hashes are
            first = 0
        where = f"Entry {first}" if first == end - 1 else f"Entry {first} or one up to {end - 1}"
        return Finding(harm, f"{where} was changed after it was signed: {said}{tail}", first, end - 1)

    def _contrary(self, promise: _Promise) -> str:
        """Return the words for a checkpoint that was signed too and cannot be true together with this one."""
        end = promise.checkpoint.size
        for other in self._by_size[end]:
            if other is not promise:
                return (
                    f"the same key signed root {other.checkpoint.root[:12]} for {end} entries: two ledgers were shown"
                )
        kept = [at for at in self._by_size if at > end and self._is_kept(at)]
        if kept:
            return f"the checkpoint at {min(kept)}, signed by the same key, agrees: two ledgers were shown"
        return ""

    def _is_kept(self, size: int) -> bool:
        return size == 0 or any(promise.kept for promise in self._by_size.get(size, ()))

    def _entry_that_differs(self, promise: _Promise, log: Log, size: int) -> Finding | None:
        """Return the finding for a checkpoint beyond the end whose hashes differ before the end."""
        exact = self._difference(promise, log, size)
        if exact is None or exact >= size:
            return None
        what = f"Entry {exact} is another one than was signed by the checkpoint at {promise.checkpoint.size}"
        return Finding(Harm.REWRITTEN, what, exact, exact)

    def _difference(self, promise: _Promise, log: Log, size: int) -> int | None:
        """Return the first entry that is not the one that was signed, where published hashes tell."""
        for note in promise.notes:
            leaves = self._believed(note, promise.checkpoint)
            if leaves is not None:
                return next(_unlike(log, leaves, size), None)
        return None

    def _believed(self, note: PublishedNote, checkpoint: Checkpoint) -> PublishedLeaves | None:
        """Return the hashes published with a note, if they lead from a root that is known to the one that was signed."""
        try:
            leaves = note.leaves()
        except KeelwayError as error:
            told = f"The hashes published with {note.where} cannot be used: {error}"
            self.findings.append(Finding(Harm.CHECKPOINT, told))
            return None
        before = self._frontiers.get(leaves.start) if leaves is not None else None
        if leaves is None or before is None:
            return None
        signed = before.copy()
        for hashed in leaves.hashes:
            signed.add_hash(hashed)
        if (signed.size, signed.root().hex()) != (checkpoint.size, checkpoint.root):
            return None
        self._frontiers.setdefault(signed.size, signed)  # the next checkpoint may go on from the signed ledger
        return leaves


def published(targets: Iterable[CheckpointTarget]) -> Iterator[PublishedNote]:
    """Yield every note of several targets; one that cannot be read is not passed over in silence."""
    for target in targets:
        try:
            for name, text in published_notes(target):
                yield PublishedNote(f"{name} in {target.where}", text, _reader(target, name))
        except KeelwayError as error:
            yield PublishedNote(target.where, "", problem=str(error))


def _reader(target: CheckpointTarget, name: str) -> Callable[[], PublishedLeaves | None]:
    return lambda: published_leaves(target, name)


def _unlike(log: Log, leaves: PublishedLeaves, size: int) -> Iterator[int]:
    """Yield the entries that do not have the hash that was published, in order; those beyond the end too."""
    end = min(leaves.start + len(leaves.hashes), size)
    position = leaves.start
    for index, data in log.leaves(leaves.start, end):
        if index != position or leaf_hash(data) != leaves.hashes[index - leaves.start]:
            yield position
        position = index + 1
    if position < leaves.start + len(leaves.hashes):
        yield position
