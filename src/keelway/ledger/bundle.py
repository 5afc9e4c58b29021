"""Proof bundles: everything a third party needs to follow one thing back to the raw files, in one file.

A bundle is an in-toto Statement in a DSSE envelope, as canonical JSON. Its predicate holds the text of every record
on the way, each found under its own digest; the decisions that name them, each with its Merkle proof; one signed
checkpoint; the signed statements of the models; and the digests and sizes of the materials, whose bytes stay where
they are.

    data = prove(version_digest, state=state, artifacts=artifacts, key=key, origin="keelway.example/churn")
    verify_bundle(data, key=key.public).tree
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from keelway.core import (
    Action,
    ArtifactStore,
    Decision,
    Digest,
    canonical_json,
    digest_bytes,
    parse_json,
    plain,
    references,
    short,
)
from keelway.errors import IntegrityError, MissingRecordError, UsageError
from keelway.ledger.checkpoint import Checkpoint, must_extend, sign_checkpoint
from keelway.ledger.keys import SigningKey
from keelway.ledger.merkle import MemoryTree, inclusion_proof
from keelway.ledger.ports import StateStore, Transaction
from keelway.ledger.record import decision_in
from keelway.ledger.statement import is_envelope, open_statement, sign_statement, statement, subject_digests

PREDICATE_TYPE = "https://keelway.dev/proof/v1"
LARGEST_STATEMENT_BYTES = 1 << 20
VERSION_KIND = "ModelVersion"

_TRAILING = {Action.MONITOR, Action.ALERT, Action.RETRAIN, Action.LOG_PREDICTIONS, Action.LOG_OUTCOMES}
"""Actions that happen to a version day after day: they are in a bundle only where it is about them."""
_BROAD_KINDS = {VERSION_KIND, "Deployment"}


@dataclass(frozen=True, slots=True)
class ProofRecord:
    """A record on the way: its class and its canonical JSON."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class ProofDecision:
    """A ledger entry and its Merkle path (hexadecimal) to the checkpoint's root."""

    index: int
    leaf: str
    proof: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProofLine:
    """One line of a sealed segment and its Merkle path (hexadecimal) to the segment's root."""

    segment: Digest
    index: int
    line: str
    proof: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProofBundle:
    """The predicate of a bundle.

    Attributes:
        start: Where the chain begins: digests of records.
        records: Every record on the way, by digest.
        decisions: The ledger entries that name them, by index.
        checkpoint: A signed note over the ledger.
        statements: Signed statements, as they are stored, by digest.
        materials: Every other digest that is named, with its size in bytes, or null where only its name is known.
        line: The line of a segment that the proof is about, if it is about one.
    """

    start: tuple[Digest, ...]
    records: dict[Digest, ProofRecord]
    decisions: tuple[ProofDecision, ...]
    checkpoint: str
    statements: dict[Digest, str]
    materials: dict[Digest, int | None]
    line: ProofLine | None = None


def prove(
    subject: Digest | Mapping[str, Any],
    *,
    state: StateStore,
    artifacts: ArtifactStore,
    key: SigningKey,
    origin: str,
    segment: Digest | None = None,
    also: Iterable[Digest] = (),
    lines: Sequence[bytes] = (),
    name: str = "",
    checkpoint: Checkpoint | None = None,
) -> bytes:
    """Return the proof bundle of a record, or of one line of a sealed segment.

    `subject` is the digest of a record, or the JSON value of a prediction as its `segment` holds it (then the digest
    of that segment and its `lines` are needed). The proof also begins at the records `also`, such as the deployment that
    answered. `name` is what people call a record. The entries are
    proven by a fresh checkpoint, or by one that was published; then those that came later are left out.

    Raises:
        MissingRecordError: The subject is not in the state, or not in its segment.
        IntegrityError: The ledger does not extend the checkpoint.
    """
    with state.snapshot() as tx:
        walk = _Collect(tx, artifacts, key)
        index = _LedgerIndex.read(tx)
        line = None
        if isinstance(subject, str):
            start = [Digest(subject), *also]
            called, digest = name or f"record:{short(subject)}", Digest(subject)
        else:
            line = _line_of(subject, segment, lines, tx)
            start = [line.segment, *also, *walk.version_called(str(subject.get("version", "")), index)]
            called, digest = f"prediction:{subject.get('prediction_id', '')}", digest_bytes(line.line.encode())
        walk.follow(start, must_be_records=True)
        chosen = walk.admit(start, index)
        signed = checkpoint or sign_checkpoint(tx.log, origin=origin, key=key)
        must_extend(signed, tx.log, size=tx.log.size())
        bundle = walk.bundle(start, chosen, line=line, checkpoint=signed)
    content = statement({called: digest}, predicate_type=PREDICATE_TYPE, predicate=plain(bundle))
    return sign_statement(content, key=key)


@dataclass(slots=True)
class _LedgerIndex:
    """Which entries name a digest or a subject, from one pass over the ledger."""

    naming: dict[str, list[int]] = field(default_factory=dict)
    about: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def read(cls, tx: Transaction) -> _LedgerIndex:
        index = cls()
        for number, data in tx.log.leaves():
            decision = decision_in(data, number)
            index.about.setdefault(decision.subject, []).append(number)
            for digest in sorted({*decision.evidence.values(), *(move.after for move in decision.moves)}):
                index.naming.setdefault(digest, []).append(number)
        return index

    def of(self, digests: Iterable[str]) -> set[int]:
        """Return the entries that name any of the digests."""
        return {number for digest in digests for number in self.naming.get(digest, ())}


@dataclass(slots=True)
class _Collect:
    """What was collected so far."""

    tx: Transaction
    artifacts: ArtifactStore
    key: SigningKey
    records: dict[Digest, ProofRecord] = field(default_factory=dict)
    statements: dict[Digest, str] = field(default_factory=dict)
    materials: dict[Digest, int | None] = field(default_factory=dict)

    def follow(self, start: Iterable[Digest], *, must_be_records: bool = False) -> None:
        """Collect the records that can be reached, and the digests that are none."""
        waiting = list(start)
        for digest in waiting if must_be_records else ():
            if self.tx.text_of(digest) is None:
                raise MissingRecordError("There is nothing to prove", expected="the digest of a record", found=digest)
        while waiting:
            digest = waiting.pop()
            if digest in self.records or digest in self.statements or digest in self.materials:
                continue
            stored = self.tx.text_of(digest)
            if stored is None:
                waiting.extend(self._keep_bytes(digest))
            else:
                self.records[digest] = ProofRecord(*stored)
                waiting.extend(references(parse_json(stored[1].encode())))

    def version_called(self, name: str, index: _LedgerIndex) -> list[Digest]:
        """Return the model version of that name, found through the decisions about it."""
        for number in index.about.get(name, ()):
            for digest in references(plain(self.decision(number).evidence)):
                stored = self.tx.text_of(digest)
                if stored and stored[0] == VERSION_KIND and parse_json(stored[1].encode()).get("name") == name:
                    return [digest]
        raise MissingRecordError("The ledger does not tell of that version", expected=name, found="no decision")

    def admit(self, start: list[Digest], index: _LedgerIndex) -> list[int]:
        """Return the decisions to show, after collecting what the closest of them rest on."""
        focus = {*start, *(digest for digest, record in self.records.items() if record.kind == VERSION_KIND)}
        narrow = {digest for digest in start if self.records[digest].kind not in _BROAD_KINDS}
        trailing = index.of(narrow)
        first = {n for n in index.of(focus) if n in trailing or self.decision(n).action not in _TRAILING}
        for number in sorted(first):
            self.follow(self.decision(number).evidence.values())
        second = {n for n in index.of(self.records) - first if self.decision(n).action not in _TRAILING}
        return sorted(first | second)

    def bundle(
        self, start: list[Digest], chosen: list[int], *, line: ProofLine | None, checkpoint: Checkpoint
    ) -> ProofBundle:
        """Return everything, with the Merkle paths to a checkpoint."""
        decisions = []
        for number in (number for number in chosen if number < checkpoint.size):
            leaf = self.tx.log.leaf(number)
            path = inclusion_proof(number, checkpoint.size, self.tx.log.nodes)
            decisions.append(ProofDecision(number, leaf.decode(), tuple(step.hex() for step in path)))
            for digest in references(parse_json(leaf)):
                if digest not in self.records and digest not in self.statements:
                    self.materials.setdefault(digest, None)
        return ProofBundle(
            start=tuple(dict.fromkeys(start)),
            records=self.records,
            decisions=tuple(decisions),
            checkpoint=checkpoint.text,
            statements=self.statements,
            materials=self.materials,
            line=line,
        )

    def decision(self, number: int) -> Decision:
        """Return the decision of an entry."""
        return decision_in(self.tx.log.leaf(number), number)

    def _keep_bytes(self, digest: Digest) -> list[Digest]:
        """Collect what is no record, and return what it is about where it is a signed statement."""
        if digest not in self.artifacts:
            self.materials[digest] = None
            return []
        path = self.artifacts.path_of(digest)
        size = path.stat().st_size
        text = _statement_text(path.read_bytes()) if size <= LARGEST_STATEMENT_BYTES else None
        if text is None:
            self.materials[digest] = size
            return []
        told = open_statement(text.encode(), key=self.key.public)  # say so now, not at the auditor's desk
        self.statements[digest] = text
        return subject_digests(told)


def _statement_text(data: bytes) -> str | None:
    if not data.startswith(b"{"):
        return None
    try:
        return data.decode() if is_envelope(parse_json(data)) else None
    except ValueError:
        return None


def _line_of(value: Mapping[str, Any], segment: Digest | None, lines: Sequence[bytes], tx: Transaction) -> ProofLine:
    stored = tx.text_of(segment) if segment is not None else None
    if segment is None or stored is None:
        raise UsageError("A prediction is proven in its segment", expected="segment=DIGEST", found=str(segment))
    record = parse_json(stored[1].encode())
    if "root" not in record:
        raise UsageError("This is no segment", expected="a record with a root", found=stored[0])
    wanted, mark = canonical_json(dict(value)), str(value.get("prediction_id", "")).encode()
    tree = MemoryTree(lines)
    if tree.root().hex() != record.get("root"):
        raise IntegrityError(
            "A segment is not what was sealed", expected=str(record.get("root")), found=tree.root().hex()
        )
    for index, line in enumerate(lines):
        if line == wanted or (mark in line and canonical_json(parse_json(line)) == wanted):
            path = tuple(step.hex() for step in tree.inclusion_proof(index))
            return ProofLine(segment, index, line.decode(), path)
    raise MissingRecordError("The segment does not hold that prediction", expected=segment, found="no such line")
