"""Reads the whole ledger and says whether everything it tells still holds.

Four questions, answered in one pass that keeps no entries in memory: are the entries those that were signed, does
every pointer stand where the decisions put it, is every piece of evidence still there, and does every entry have
its record. Entries are looked at in blocks; only a block in which something is wrong is looked at one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import islice

from keelway.core import Action, ArtifactStore, Decision, Digest, digest_of, parse_json
from keelway.errors import ErasedError, IntegrityError, KeelwayError, MissingRecordError
from keelway.ledger.findings import Finding, Harm, span
from keelway.ledger.keys import PublicKey
from keelway.ledger.merkle import RunningRoot, leaf_hash, root
from keelway.ledger.ports import StateStore, Transaction
from keelway.ledger.promises import Promises, PublishedNote
from keelway.ledger.record import decision_in, leaf_of_text
from keelway.ledger.witness import NO_WITNESSES, Quorum

MAX_PROBLEMS = 100
"""Problems that are listed; an audit of a broken ledger stays readable."""
BLOCK = 500
"""Entries that are looked at together."""
_REMEMBERED = 100_000
"""Digests of evidence that are not looked up a second time."""


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit found.

    Attributes:
        size: How many entries the ledger has.
        root: Their recomputed root, in hexadecimal; of those before the first that is missing, if one is.
        checkpoints: How many signed checkpoints were compared.
        pointers: How many pointers were derived again from the decisions.
        evidence: How many pieces of evidence were found again.
        erased: How many cannot be read any more because an erasure in the ledger destroyed their keys.
        unchecked: How many were not looked for, because they are no records and no artifact store was given.
        problems: What does not hold, each naming its entry or pointer; at most 100.
        first_bad: The first entry that is bad, or may be; None where no entry can be named.
        last_bad: The last entry that may be the first bad one; the same as `first_bad` where that is certain.
        findings: The problems with their kinds.
        witnessed: The size of the longest ledger that enough witnesses signed, where witnesses were asked for.
        collected: How many pieces of evidence are gone because a garbage collection in the ledger removed them.
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
    last_bad: int | None = None
    findings: tuple[Finding, ...] = ()
    witnessed: int | None = None
    collected: int = 0

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return not self.problems


def audit(
    state: StateStore,
    *,
    key: PublicKey,
    checkpoints: Iterable[PublishedNote] | None = None,
    artifacts: ArtifactStore | None = None,
    quorum: Quorum = NO_WITNESSES,
) -> AuditReport:
    """Check the ledger against its checkpoints, the pointers and the evidence.

    `checkpoints` are those that were published (`published(targets)`); without them nothing shows that the whole ledger
    was rewritten. With a quorum, one of them at least must be signed by enough witnesses. Evidence that is no record is
    looked for in `artifacts`, where given.
    """
    promises = Promises.read(checkpoints or (), key=key, quorum=quorum)
    with state.snapshot() as tx:
        walk = _Walk(tx, artifacts, promises)
        leaves = tx.log.leaves()
        while block := list(islice(leaves, BLOCK)):
            walk.read(block)
        walk.finish()
    findings = tuple(walk.findings)
    first, last = span(findings) or (None, None)
    return AuditReport(
        size=walk.size,
        root=walk.running.root().hex(),
        checkpoints=promises.compared,
        pointers=len(walk.pointers),
        evidence=walk.evidence,
        unchecked=walk.unchecked,
        problems=tuple(finding.what for finding in findings[:MAX_PROBLEMS]),
        first_bad=first,
        erased=len(walk.erased),
        last_bad=last,
        findings=findings[:MAX_PROBLEMS],
        witnessed=promises.witnessed,
        collected=len(walk.gone),
    )


@dataclass(slots=True)
class _Walk:
    """The state of one pass."""

    tx: Transaction
    artifacts: ArtifactStore | None
    promises: Promises
    size: int = 0
    running: RunningRoot = field(default_factory=RunningRoot)
    pointers: dict[str, Digest] = field(default_factory=dict)
    last_moved: dict[str, int] = field(default_factory=dict)
    known: set[Digest] = field(default_factory=set)
    erased: dict[Digest, int] = field(default_factory=dict)
    ordered: set[str] = field(default_factory=set)
    gone: dict[Digest, tuple[int, str]] = field(default_factory=dict)
    collected: set[str] = field(default_factory=set)
    present: AbstractSet[Digest] = frozenset()
    absent: AbstractSet[Digest] = frozenset()
    gaps: bool = False
    evidence: int = 0
    unchecked: int = 0
    seen: list[Finding] = field(default_factory=list)

    @property
    def findings(self) -> list[Finding]:
        """Everything that was found: what was signed comes first."""
        return self.promises.findings + self.seen

    def read(self, block: list[tuple[int, bytes]]) -> None:
        """Check some entries that follow each other."""
        hashes = [leaf_hash(data) for _, data in block]
        sound = self._is_sound(block, hashes)
        if sound:
            self._look_up(decision_in(data, index) for index, data in block)
        for (index, data), hashed in zip(block, hashes, strict=True):
            if index != self.size:
                self.note(Harm.MISSING, self.size, "is missing from the ledger")
                self.gaps = True  # no root can agree any more; go on with the rest
            self.size = index + 1
            decision = decision_in(data, index) if sound else self._faulty(index, data, hashed)
            if decision is not None:
                self._follow(index, decision)
            if not self.gaps:
                self.running.add_hash(hashed)
                self.promises.compare(self.running)

    def finish(self) -> None:
        """Check what concerns the ledger as a whole."""
        size = self.size
        if size == 0:
            self.promises.compare(self.running)
        traces = self._left_behind(size)
        if traces and self.promises.newest <= size:
            self.note(Harm.CUT, size, "is missing, and what is left of it shows that it was there")
        self.promises.judge(self.tx.log, size, traces=traces)
        try:
            if not self.gaps and root(size, self.tx.log.nodes) != self.running.root():
                self.note(Harm.TREE, None, "The stored subtrees of the log do not give the root of its entries")
        except IntegrityError as error:
            self.note(Harm.TREE, None, str(error))
        recorded = self.tx.count(Decision)
        if recorded != size:
            self.note(Harm.RECORD, None, f"There are {recorded} decision records for {size} ledger entries")
        self._compare_pointers()
        for digest, index in self.erased.items():
            if digest not in self.ordered:
                self.note(Harm.EVIDENCE, index, f"rests on {digest}, whose key was destroyed without a decision")
        for digest, (index, told) in self.gone.items():
            if digest not in self.collected:
                self.note(Harm.EVIDENCE, index, told)

    def note(self, harm: Harm, index: int | None, what: str, *, since: int | None = None) -> None:
        """Note a problem of an entry, or of one of those from `since` up to it."""
        if len(self.seen) < MAX_PROBLEMS:
            first = index if since is None else since
            self.seen.append(Finding(harm, what if index is None else f"Entry {index} {what}", first, index))

    def _is_sound(self, block: list[tuple[int, bytes]], hashes: list[bytes]) -> bool:
        """Say whether all entries of a block have the hash and the record that they were stored with."""
        keys = {index: f"{index:012d}" for index, _ in block}
        try:
            if self.tx.log.nodes([(0, index) for index in keys]) != hashes:
                return False
            texts = self.tx.texts(Decision, list(keys.values()))
            return all(leaf_of_text(texts.get(keys[index], ""), index) == data for index, data in block)
        except IntegrityError:
            return False

    def _look_up(self, told: Iterable[Decision]) -> None:
        """Find the records that some decisions rest on all at once; what is not found is looked for one by one."""
        named = {digest for decision in told for digest in decision.evidence.values()} - self.known
        try:
            self.present = self.tx.texts_of(named).keys()
        except IntegrityError:
            self.present = frozenset()
            return
        self.absent = named - self.present

    def _faulty(self, index: int, data: bytes, hashed: bytes) -> Decision | None:
        """Say what is wrong with one entry, and return what it decides, as far as it can be read."""
        try:
            if self.tx.log.nodes([(0, index)])[0] != hashed:
                self.note(Harm.EDITED, index, "does not have the hash it was stored with")
        except IntegrityError as error:
            self.note(Harm.TREE, index, f"has lost its hash: {error}")
        try:
            decision = decision_in(data, index)
        except IntegrityError as error:
            misplaced = "out of place" in error.what
            self.note(Harm.MISPLACED if misplaced else Harm.EDITED, index, f"cannot be read: {error}")
            return None
        try:
            stored = self.tx.find(Decision, f"{index:012d}")
        except IntegrityError as error:
            self.note(Harm.RECORD, index, f"has a record that was altered: {error}")
            return decision
        if stored is None or digest_of(stored) != digest_of(decision):
            told = "has no record" if stored is None else "says something else than its record"
            self.note(Harm.RECORD, index, told)
        return decision

    def _follow(self, index: int, decision: Decision) -> None:
        """Check what an entry moves and what it rests on."""
        if decision.allowed and decision.action in (Action.ERASE, Action.COLLECT):
            self._note_orders(decision)
        for move in decision.moves:
            held = self.pointers.get(move.name)
            if held != move.before:
                told = f"moves {move.name} from {move.before}, where the entries before it left {held}"
                self.note(Harm.MOVES, index, told, since=self.last_moved.get(move.name, 0))
            self.pointers[move.name] = move.after
            self.last_moved[move.name] = index
        for role, digest in decision.evidence.items():
            for problem in self._evidence_faults(index, role, digest):
                self.note(Harm.EVIDENCE, index, problem)

    def _note_orders(self, decision: Decision) -> None:
        """Note the artifacts whose keys a decision destroyed, or that it let go."""
        orders = self.ordered if decision.action is Action.ERASE else self.collected
        for digest in decision.evidence.values():
            stored = self.tx.text_of(digest)
            orders.update(parse_json(stored[1].encode()).get("artifacts", ()) if stored else ())

    def _evidence_faults(self, index: int, role: str, digest: Digest) -> Iterator[str]:
        if digest in self.known:
            self.evidence += 1
            return
        try:
            if digest not in self.present and (digest in self.absent or self.tx.text_of(digest) is None):
                if self.artifacts is None:
                    self.unchecked += 1
                    return
                self.artifacts.path_of(digest)
        except ErasedError:
            self.erased.setdefault(digest, index)
            return
        except MissingRecordError as error:  # a later entry may say that it was collected
            self.gone.setdefault(digest, (index, f"rests on {role} {digest}, which does not hold: {error}"))
            return
        except KeelwayError as error:
            yield f"rests on {role} {digest}, which does not hold: {error}"
            return
        self.evidence += 1
        if len(self.known) < _REMEMBERED:
            self.known.add(digest)

    def _left_behind(self, size: int) -> bool:
        """Say whether there are traces of an entry behind the last one."""
        if not self.tx.missing(Decision, [f"{size:012d}"]):
            return True
        try:
            self.tx.log.nodes([(0, size)])
        except IntegrityError:
            return False
        return True

    def _compare_pointers(self) -> None:
        stands = {pointer.name: pointer.target for pointer in self.tx.pointers()}
        for name, target in stands.items():
            derived = self.pointers.get(name)
            if derived is None:
                self.note(Harm.POINTER, None, f"The pointer {name} stands at {target} without any ledger entry")
            elif derived != target:
                at = self.last_moved[name]
                self.note(Harm.POINTER, at, f"put {name} at {derived}, but it stands at {target}")
        for name in self.pointers.keys() - stands.keys():
            lost = f"put {name} at {self.pointers[name]}, but there is no such pointer"
            self.note(Harm.POINTER, self.last_moved[name], lost)
