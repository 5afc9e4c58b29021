"""The ledger as it was at a time, and the records it names: all that a report may read.

Entries are read in order up to the first one that was written later; nothing that is recorded afterwards changes what is
read here. So a report of a past day is the same whenever it is made. Records are found by the digests that entries name.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from keelway.core import Action, Decision, Digest, digest_of, parse_json
from keelway.errors import MissingRecordError
from keelway.ledger import decisions
from keelway.ledger.merkle import root

if TYPE_CHECKING:
    from keelway.core import ArtifactStore
    from keelway.ledger import Transaction
    from keelway.promote import Admission, RiskAssessment
    from keelway.register import ModelVersion

T = TypeVar("T")

MANY = frozenset(
    {Action.STEP, Action.RUN, Action.INGEST, Action.LOG_PREDICTIONS, Action.LOG_OUTCOMES, Action.MONITOR, Action.ALERT}
)
"""Of these, which come by the thousand, only the newest of each subject and environment is kept in memory."""


@dataclass(frozen=True, slots=True)
class PastEntry:
    """A decision, and its number in the ledger."""

    index: int
    decision: Decision


@dataclass(frozen=True, slots=True)
class LivePlace:
    """A version that was let into an environment and is live there.

    Attributes:
        served: Whether a deployment gives it traffic in that environment.
    """

    environment: str
    model: str
    version: Digest
    entry: PastEntry
    served: bool


class Past:
    """What the ledger held at a time.

    Args:
        tx: One consistent reading of the state.
        artifacts: Where documents lie that entries name.
        at: Entries that were written later are not read.
    """

    def __init__(self, tx: Transaction, artifacts: ArtifactStore, at: datetime) -> None:
        self.at = at
        self._tx = tx
        self._artifacts = artifacts
        self._kept: dict[Action, list[PastEntry]] = defaultdict(list)
        self._newest: dict[tuple[Action, str, str], PastEntry] = {}
        self._moves: dict[str, tuple[PastEntry, Digest]] = {}
        self.principals: set[str] = set()
        self.size = 0
        self.first: PastEntry | None = None
        self.last: PastEntry | None = None
        for index, decision in decisions(tx):
            if decision.at > at:
                break
            self._take(PastEntry(index, decision))
        self.root = root(self.size, tx.log.nodes).hex()

    def entries(self, *actions: Action, subject: str | None = None, allowed: bool | None = None) -> list[PastEntry]:
        """Return the entries of some actions, oldest first; of those in `MANY` the newest of each subject."""
        found = [each for action in actions for each in self._of(action)]
        return sorted(
            (
                each
                for each in found
                if (subject is None or each.decision.subject == subject)
                and (allowed is None or each.decision.allowed == allowed)
            ),
            key=lambda each: each.index,
        )

    def record(self, kind: type[T], digest: Digest | None) -> T | None:
        """Return a record that an entry names, or None where it is not there."""
        try:
            return None if digest is None else self._tx.by_digest(kind, digest)
        except MissingRecordError:
            return None

    def keyed(self, kind: type[T], key: str) -> T | None:
        """Return a record by its key, or None."""
        return self._tx.find(kind, key)

    def document(self, digest: Digest | None) -> dict[str, Any]:
        """Return a JSON document that an entry names; an empty one where it is not there."""
        try:
            value = parse_json(self._artifacts.get(digest)) if digest else {}
        except MissingRecordError:
            return {}
        return value if isinstance(value, dict) else {}

    def has(self, digest: Digest) -> bool:
        """Return whether an artifact is there."""
        return digest in self._artifacts

    @functools.cached_property
    def versions(self) -> dict[Digest, tuple[ModelVersion, PastEntry]]:
        """Every registered version with the entry that registered it, oldest first."""
        from keelway.register import ModelVersion

        found = {}
        for entry in self.entries(Action.REGISTER, allowed=True):
            version = self.record(ModelVersion, entry.decision.evidence.get("version"))
            if version is not None:
                found[digest_of(version)] = (version, entry)
        return found

    @functools.cached_property
    def places(self) -> list[LivePlace]:
        """What is live where, by environment and model."""
        return [
            LivePlace(environment, model, target, entry, f"deployment/{environment}/{model}" in self._moves)
            for name, (entry, target) in sorted(self._moves.items())
            if name.startswith("environment/")
            for _, environment, model in [name.split("/", 2)]
        ]

    @functools.cached_property
    def serving(self) -> list[LivePlace]:
        """Those that answer: the live versions with traffic, or all live ones where nothing has any."""
        return [place for place in self.places if place.served] or self.places

    @functools.cached_property
    def judged(self) -> list[tuple[ModelVersion, PastEntry]]:
        """The versions that a report judges: those that answer; where none is live, the newest of each model."""
        live = {place.version for place in self.serving}
        found = [pair for digest, pair in self.versions.items() if digest in live]
        newest = {version.model: (version, entry) for version, entry in self.versions.values()}
        answered = {version.model for version, _ in found}
        found += [pair for model, pair in newest.items() if model not in answered]
        return sorted(found, key=lambda pair: pair[0].name)

    @functools.cached_property
    def models(self) -> tuple[str, ...]:
        """Every model that has a version or an assessment, by name."""
        return tuple(sorted({version.model for version, _ in self.judged} | self.assessments.keys()))

    @functools.cached_property
    def assessments(self) -> dict[str, tuple[RiskAssessment, PastEntry]]:
        """The newest risk assessment of each model."""
        from keelway.promote import RiskAssessment

        found = {}
        for entry in self.entries(Action.ASSESS, allowed=True):
            assessment = self.record(RiskAssessment, entry.decision.evidence.get("assessment"))
            if assessment is not None:
                found[assessment.model] = (assessment, entry)
        return found

    def admission(self, place: LivePlace) -> Admission | None:
        """Return the admission by which a version stands where it is live."""
        from keelway.promote import Admission

        return self.record(Admission, place.entry.decision.evidence.get("admission"))

    def _of(self, action: Action) -> Iterator[PastEntry]:
        if action in MANY:
            yield from (entry for (kind, _, _), entry in self._newest.items() if kind is action)
        else:
            yield from self._kept[action]

    def _take(self, entry: PastEntry) -> None:
        decision = entry.decision
        self.principals.add(decision.principal)
        if decision.action in MANY:
            self._newest[decision.action, decision.subject, decision.environment] = entry
        else:
            self._kept[decision.action].append(entry)
        for move in decision.moves if decision.allowed else ():
            if move.name.startswith(("environment/", "deployment/")):
                self._moves[move.name] = (entry, move.after)
        self.size = entry.index + 1
        self.first = self.first or entry
        self.last = entry
