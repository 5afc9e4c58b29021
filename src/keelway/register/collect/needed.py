"""What is still needed, told from the records, the pointers and the bytes that are kept.

An artifact is needed when anything names it: a record of whatever class, a pointer, a run that is going on, or the
bytes of an artifact that is needed itself (manifests and journals name others). Four things are no such reference:

- the record of an earlier collection;
- of a version that was retired long enough ago, and of its training, the exported model and the pipeline;
- a decision that is older than evidence is kept;
- what names a log of predictions that were moved into another one.

Where in doubt it stays: any 64 hexadecimal digits in text are taken for a name.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime

from keelway.core import (
    DIGEST_PREFIX,
    Decision,
    Digest,
    HeldArtifact,
    HeldArtifacts,
    VersionName,
    digest_bytes,
    digest_of,
    parse_json,
    revive,
)
from keelway.ledger import Transaction
from keelway.register.collect.records import Collection, RetentionRules
from keelway.register.lifecycle import life_of
from keelway.register.records import ModelVersion
from keelway.train import TrainedModel

SEALED_HEAD = b"KEELSEAL1\n"
"""Sealed bytes lie under a name that only the key vault knows; their keys are destroyed instead."""
_TEXT_HEADS = (b"{", b"[")
_ZLIB_HEAD = b"\x78"
_ENSEMBLE = b'"keelway.ensemble/'
"""What only the manifest of an ensemble holds; it names the pipelines that it cannot answer without."""
_DIGITS = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


@dataclass(frozen=True, slots=True)
class Spare:
    """What is not needed any more: each artifact with its size, by the reason why it may go."""

    unreferenced: dict[Digest, int]
    retired: dict[Digest, int]
    evidence: dict[Digest, int]
    versions: tuple[VersionName, ...]
    kept: int

    @property
    def sizes(self) -> dict[Digest, int]:
        """Everything that may go, with its size."""
        return {**self.unreferenced, **self.retired, **self.evidence}


@dataclass(slots=True)
class Look:
    """Looks what may go; the bytes of an artifact never change, so none is read twice."""

    store: HeldArtifacts
    rules: RetentionRules
    now: datetime
    running: Iterable[bytes] = ()
    replaced: Callable[[Transaction], AbstractSet[Digest]] = lambda _tx: frozenset()
    mentions: dict[Digest, tuple[bool, frozenset[Digest]]] = field(default_factory=dict)

    def spare(self, tx: Transaction) -> Spare:
        """Return what may go as the state stands in a transaction.

        Raises:
            IntegrityError: An artifact that has to be read is damaged: nothing is collected beside damage.
        """
        held = {each.digest: each for each in self.store.held() if not each.head.startswith(SEALED_HEAD)}
        young = {digest for digest, each in held.items() if self.now - each.stored_at < self.rules.unreferenced}
        candidates = held.keys() - young
        ended = self._ended(tx)
        released = {each for version in ended for each in (version.onnx, version.pipeline, version.served)} & candidates
        named, old = self._named(candidates, released, ended, tx)
        needed = (named - self.replaced(tx)) | young | (self._running() & candidates)
        self._follow(needed, candidates - needed, held, released)
        going = candidates - needed
        return Spare(
            unreferenced={each: held[each].size_bytes for each in going - released - old},
            retired={each: held[each].size_bytes for each in going & released},
            evidence={each: held[each].size_bytes for each in going & old - released},
            versions=tuple(each.name for each in ended if {each.onnx, each.pipeline, each.served} & going),
            kept=len(held) - len(going),
        )

    def _ended(self, tx: Transaction) -> list[ModelVersion]:
        """Return the versions that were retired long enough ago."""
        if self.rules.retired is None:
            return []
        found = []
        for version in tx.newest(ModelVersion):
            change = life_of(version.name, tx=tx)
            if change is not None and change.state == "retired" and self.now - change.at >= self.rules.retired:
                found.append(version)
        return found

    def _named(
        self, candidates: set[Digest], released: set[Digest], ended: list[ModelVersion], tx: Transaction
    ) -> tuple[set[Digest], set[Digest]]:
        """Return which candidates a record or a pointer names, and which only decisions that are too old do."""
        void = self._void(ended, tx)
        named = {pointer.target for pointer in tx.pointers()} & candidates
        old: set[Digest] = set()
        for kind, text in tx.naming(candidates, besides=(Collection.__name__,)):
            found = _names_in(text.encode()) & candidates
            if kind in (ModelVersion.__name__, TrainedModel.__name__) and digest_bytes(text.encode()) in void:
                found -= released
            if kind == Decision.__name__ and self._is_old(text):
                old |= found
            else:
                named |= found
        return named, old - named

    def _void(self, ended: list[ModelVersion], tx: Transaction) -> set[Digest]:
        """Return the records whose model and pipeline are released: ended versions, and trainings of these alone."""
        gone = {digest_of(version) for version in ended}
        living = {version.trained for version in tx.newest(ModelVersion) if digest_of(version) not in gone}
        return gone | ({version.trained for version in ended} - living)

    def _is_old(self, text: str) -> bool:
        if self.rules.evidence is None:
            return False
        decision: Decision = revive(parse_json(text.encode()), Decision)
        return self.now - decision.at >= self.rules.evidence

    def _running(self) -> set[Digest]:
        return {each for data in self.running for each in _names_in(data)}

    def _follow(
        self, needed: set[Digest], rest: set[Digest], held: dict[Digest, HeldArtifact], released: set[Digest]
    ) -> None:
        """Add to what is needed whatever its bytes name; of released pipelines only what an ensemble is made of."""
        waiting = [each for each in needed if each in held]
        while waiting and rest:
            is_ensemble, found = self._mentioned(held[waiting.pop()])
            more = (found if is_ensemble else found - released) & rest
            needed |= more
            rest -= more
            waiting += more

    def _mentioned(self, one: HeldArtifact) -> tuple[bool, frozenset[Digest]]:
        """Return whether an artifact is an ensemble, and the names in its text; bytes that are no text name nothing."""
        if not one.head.startswith((*_TEXT_HEADS, _ZLIB_HEAD)):
            return False, frozenset()
        if one.digest not in self.mentions:
            data = _unpacked(self.store.get(one.digest))
            self.mentions[one.digest] = _ENSEMBLE in data, frozenset(_names_in(data))
        return self.mentions[one.digest]


def _unpacked(data: bytes) -> bytes:
    """Return the text of journals, which are stored compressed; what only looks so is returned as it is."""
    if not data.startswith(_ZLIB_HEAD):
        return data
    try:
        return zlib.decompress(data)
    except zlib.error:
        return data


def _names_in(text: bytes) -> set[Digest]:
    return set(_digests(text))


def _digests(text: bytes) -> Iterator[Digest]:
    for found in _DIGITS.findall(text):
        yield Digest(DIGEST_PREFIX + found.decode())
