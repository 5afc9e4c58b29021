"""Reads the whole ledger and says whether everything it tells still holds.

Four questions, answered in one pass that keeps no entries in memory: are the entries those that were signed, does
every pointer stand where the decisions put it, is every piece of evidence still there, and does every entry have
its record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from keelway.core import Action, ArtifactStore, Decision, Digest, digest_of, parse_json
from keelway.errors import ErasedError, IntegrityError, KeelwayError
from keelway.ledger.checkpoint import Checkpoint, published_checkpoints
from keelway.ledger.keys import PublicKey
from keelway.ledger.merkle import RunningRoot, root
from keelway.ledger.ports import StateStore, Transaction
from keelway.ledger.record import decision_in

MAX_PROBLEMS = 100
"""Problems that are listed; an audit of a broken ledger stays readable."""
_REMEMBERED = 100_000
"""Digests of evidence that are not looked up a second time."""


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit found.

    Attributes:
        size: How many entries were read.
        root: Their recomputed root, in hexadecimal.
        checkpoints: How many signed checkpoints were compared.
        pointers: How many pointers were derived again from the decisions.
        evidence: How many pieces of evidence were found again.
        erased: How many cannot be read any more because an erasure in the ledger destroyed their keys.
        unchecked: How many were not looked for, because they are no records and no artifact store was given.
        problems: What does not hold, each naming its entry or pointer; at most 100.
        first_bad: The first entry that a problem names.
    """

    size: int
    root: str
    checkpoints: int
    pointers: int
    evidence: int
    unchecked: int
    problems: tuple[str, ...] = ()
    first_bad: int | None = None
    erased: int = 0

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return not self.problems


def audit(
    state: StateStore,
    *,
    key: PublicKey,
    checkpoints: Path | None = None,
    artifacts: ArtifactStore | None = None,
) -> AuditReport:
    """Check the ledger against its checkpoints, the pointers and the evidence.

    `checkpoints` is the folder that `publish_checkpoint` writes to; without it nothing shows that the whole ledger
    was rewritten. Evidence that is no record is looked for in `artifacts`, where given.
    """
    signed, problems = _signed(checkpoints, key)
    with state.snapshot() as tx:
        walk = _Walk(tx, artifacts, signed, problems)
        for index, data in tx.log.leaves():
            walk.read(index, data)
        walk.finish()
    return AuditReport(
        size=walk.running.size,
        root=walk.running.root().hex(),
        checkpoints=walk.compared,
        pointers=len(walk.pointers),
        evidence=walk.evidence,
        unchecked=walk.unchecked,
        problems=tuple(walk.problems),
        first_bad=walk.first_bad,
        erased=len(walk.erased),
    )


@dataclass(slots=True)
class _Walk:
    """The state of one pass."""

    tx: Transaction
    artifacts: ArtifactStore | None
    signed: dict[int, list[Checkpoint]]
    problems: list[str]
    running: RunningRoot = field(default_factory=RunningRoot)
    pointers: dict[str, Digest] = field(default_factory=dict)
    last_moved: dict[str, int] = field(default_factory=dict)
    known: set[Digest] = field(default_factory=set)
    erased: dict[Digest, int] = field(default_factory=dict)
    ordered: set[str] = field(default_factory=set)
    compared: int = 0
    agreed: int = 0
    evidence: int = 0
    unchecked: int = 0
    first_bad: int | None = None

    def read(self, index: int, data: bytes) -> None:
        """Check one entry."""
        if index != self.running.size:
            self.problem(self.running.size, "is missing from the ledger")
            self.running.size = index  # the root cannot agree any more; go on for the other questions
        hashed = self.running.add(data)
        for problem in self._faults(index, data, hashed):
            self.problem(index, problem)
        for checkpoint in self.signed.pop(index + 1, ()):
            self._compare(checkpoint)

    def finish(self) -> None:
        """Check what concerns the ledger as a whole."""
        size = self.running.size
        for checkpoint in self.signed.pop(0, ()):
            self._compare(checkpoint)
        for beyond in sorted(self.signed):
            self.problem(size, f"is missing: a signed checkpoint speaks of {beyond} entries, there are {size}")
        try:
            if root(size, self.tx.log.nodes) != self.running.root():
                self.problem(None, "The stored subtrees of the log do not give the root of its entries")
        except IntegrityError as error:
            self.problem(None, str(error))
        recorded = self.tx.count(Decision)
        if recorded != size:
            self.problem(None, f"There are {recorded} decision records for {size} ledger entries")
        self._compare_pointers()
        for digest, index in self.erased.items():
            if digest not in self.ordered:
                self.problem(index, f"rests on {digest}, whose key was destroyed without a decision")

    def problem(self, index: int | None, what: str, *, sure: bool = True) -> None:
        """Note a problem; one that is not `sure` of its entry does not outdo one that is."""
        if index is not None and (self.first_bad is None or (sure and index < self.first_bad)):
            self.first_bad = index
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(what if index is None else f"Entry {index} {what}")

    def _faults(self, index: int, data: bytes, hashed: bytes) -> Iterator[str]:
        try:
            if self.tx.log.nodes([(0, index)])[0] != hashed:
                yield "does not have the hash it was stored with"
            decision = decision_in(data, index)
        except IntegrityError as error:
            yield f"cannot be read: {error}"
            return
        if decision.action is Action.ERASE and decision.allowed:
            self._note_orders(decision)
        yield from self._record_faults(index, decision)
        yield from self._move_faults(index, decision)
        for role, digest in decision.evidence.items():
            yield from self._evidence_faults(index, role, digest)

    def _note_orders(self, decision: Decision) -> None:
        """Note the artifacts whose keys a decision destroyed."""
        for digest in decision.evidence.values():
            stored = self.tx.text_of(digest)
            self.ordered.update(parse_json(stored[1].encode()).get("artifacts", ()) if stored else ())

    def _record_faults(self, index: int, decision: Decision) -> Iterator[str]:
        try:
            stored = self.tx.find(Decision, f"{index:012d}")
        except IntegrityError as error:
            yield f"has a record that was altered: {error}"
            return
        if stored is None or digest_of(stored) != digest_of(decision):
            yield "has no record" if stored is None else "says something else than its record"

    def _move_faults(self, index: int, decision: Decision) -> Iterator[str]:
        for move in decision.moves:
            held = self.pointers.get(move.name)
            if held != move.before:
                yield f"moves {move.name} from {move.before}, where the entries before it left {held}"
            self.pointers[move.name] = move.after
            self.last_moved[move.name] = index

    def _evidence_faults(self, index: int, role: str, digest: Digest) -> Iterator[str]:
        if digest in self.known:
            self.evidence += 1
            return
        try:
            if self.tx.text_of(digest) is None:
                if self.artifacts is None:
                    self.unchecked += 1
                    return
                self.artifacts.path_of(digest)
        except ErasedError:
            self.erased.setdefault(digest, index)
            return
        except KeelwayError as error:
            yield f"rests on {role} {digest}, which does not hold: {error}"
            return
        self.evidence += 1
        if len(self.known) < _REMEMBERED:
            self.known.add(digest)

    def _compare(self, checkpoint: Checkpoint) -> None:
        self.compared += 1
        if checkpoint.root == self.running.root().hex():
            self.agreed = checkpoint.size
            return
        self.problem(
            self.agreed,
            f"or one up to {checkpoint.size - 1} was changed after it was signed: "
            f"the checkpoint at {checkpoint.size} has root {checkpoint.root[:12]}, "
            f"the entries give {self.running.root().hex()[:12]}",
            sure=False,
        )

    def _compare_pointers(self) -> None:
        stands = {pointer.name: pointer.target for pointer in self.tx.pointers()}
        for name, target in stands.items():
            derived = self.pointers.get(name)
            if derived is None:
                self.problem(None, f"The pointer {name} stands at {target} without any ledger entry")
            elif derived != target:
                self.problem(self.last_moved[name], f"put {name} at {derived}, but it stands at {target}", sure=False)
        for name in self.pointers.keys() - stands.keys():
            lost = f"put {name} at {self.pointers[name]}, but there is no such pointer"
            self.problem(self.last_moved[name], lost, sure=False)


def _signed(folder: Path | None, key: PublicKey) -> tuple[dict[int, list[Checkpoint]], list[str]]:
    signed: dict[int, list[Checkpoint]] = {}
    if folder is None:
        return signed, []
    try:
        for checkpoint in published_checkpoints(folder, key=key):
            signed.setdefault(checkpoint.size, []).append(checkpoint)
    except IntegrityError as error:
        return signed, [f"A published checkpoint does not hold: {error}"]
    return signed, []
