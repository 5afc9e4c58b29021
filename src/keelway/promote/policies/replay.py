"""Replays past decisions under another policy: which would have come out differently, and why.

The evidence of every decision at the door, admissions and refusals, is an artifact that the ledger names, so another
policy can judge exactly what was judged then. What approvals, signatures and the order of environments said is not
the policy's, and stands as it did: a version that two approvals were missing for is let in by no policy.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Action, Decision, Digest, PolicySet, Verdict, digest_of
from keelway.errors import KeelwayError
from keelway.ledger import decisions

if TYPE_CHECKING:
    from keelway.core import ArtifactStore
    from keelway.ledger.ports import Transaction
    from keelway.promote.policies.ports import PolicyLab

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?!\w)")
DOOR = (Action.PROMOTE, Action.ROLLBACK, Action.SKIP_GATE)
"""Actions whose decisions rest on evidence that a policy judged."""


@dataclass(frozen=True, slots=True)
class PastDecision:
    """A decision at the door.

    Attributes:
        entry: Its number in the ledger.
        evidence: Digest of the document that was judged.
        policy: Digest of the policy that judged it.
        skipped: Whether it was about a way past the gate.
        reasons: Why it was refused, by the policy or by anything else.
    """

    entry: int
    subject: str
    environment: str
    at: datetime
    allowed: bool
    skipped: bool
    reasons: tuple[str, ...]
    evidence: Digest
    policy: Digest


@dataclass(frozen=True, slots=True)
class ReplayedDecision:
    """A past decision, with what its own policy and another one say of its evidence.

    Attributes:
        policy_before: Whether the policy of that time says yes.
        policy_after: Whether the other policy says yes.
        other: Recorded reasons that no policy gave: approvals, signature, order, who acted. They stand as before.
        lost: Reasons that only the policy of that time gives.
        gained: Reasons that only the other policy gives.
    """

    decision: PastDecision
    policy_before: bool
    policy_after: bool
    other: tuple[str, ...]
    lost: tuple[str, ...]
    gained: tuple[str, ...]

    @property
    def allowed_after(self) -> bool:
        """Whether the version would be let in under the other policy; a gate that was skipped stays skipped."""
        return (self.policy_after and not self.other) or (self.decision.skipped and self.decision.allowed)

    @property
    def changed(self) -> bool:
        """Whether the decision would be another."""
        return self.decision.allowed != self.allowed_after


@dataclass(frozen=True, slots=True)
class Replay:
    """What another policy makes of past decisions.

    Attributes:
        judged: How many decisions were judged.
        unreadable: Decisions whose evidence or policy is gone or altered, with what is wrong; they are not judged.
        admitted_now: Decisions that refused, and would admit.
        refused_now: Decisions that admitted, and would refuse.
        same_decision: Those where only the policy's answer or its reasons differ, and the decision stays.
        gained: How often each kind of reason is new; figures are left out, so that sentences can be counted.
        lost: How often each is there no more.
    """

    policy: str
    policy_digest: Digest
    judged: int
    unreadable: tuple[tuple[PastDecision, str], ...]
    admitted_now: tuple[ReplayedDecision, ...]
    refused_now: tuple[ReplayedDecision, ...]
    same_decision: tuple[ReplayedDecision, ...]
    gained: dict[str, int]
    lost: dict[str, int]

    @property
    def changed(self) -> int:
        """How many decisions would be others."""
        return len(self.admitted_now) + len(self.refused_now)


def past_decisions(
    tx: Transaction, *, since: datetime, until: datetime | None = None, environments: Sequence[str] = ()
) -> Iterator[PastDecision]:
    """Yield the decisions at the door whose evidence a policy judged, oldest first; a way back without one is none of them.

    Args:
        since: The first moment.
        until: The first moment after; None for no end.
        environments: Only these; empty for all.
    """
    from keelway.promote.rollback import BUILT_IN

    unjudged = digest_of(BUILT_IN)
    for entry, decision in decisions(tx):
        if decision.policy == unjudged:
            continue
        if decision.action not in DOOR or decision.at < since or (until is not None and decision.at >= until):
            continue
        if environments and decision.environment not in environments:
            continue
        if decision.policy is not None and "evidence" in decision.evidence:
            yield _past(entry, decision, decision.policy)


def replay(
    past: Sequence[PastDecision],
    policy: PolicySet,
    policy_digest: Digest,
    *,
    artifacts: ArtifactStore,
    policies: Callable[[Digest], PolicySet],
    lab: PolicyLab,
    workers: int = 0,
) -> Replay:
    """Judge the evidence of past decisions by their own policy and by another one.

    Args:
        policies: Finds the policy of that time by its digest.
        workers: How many processes judge; 0 takes one for each processor where that pays.
    """
    documents, unreadable = _documents(past, artifacts)
    after = dict(zip(documents, lab.judge_many(policy, list(documents.values()), workers=workers), strict=True))
    readable = [one for one in past if one.evidence in documents]
    before, gone = _before(
        [one for one in readable if not _tells(one, after[one.evidence])], documents, policies, lab, workers
    )
    told: list[ReplayedDecision] = []
    for one in readable:
        verdict = after[one.evidence]
        if _tells(one, verdict):
            told.append(_replayed(one, () if one.allowed else verdict.reasons, verdict))
        elif one.policy in gone:
            unreadable.append((one, gone[one.policy]))
        else:
            told.append(_replayed(one, before[one.policy, one.evidence].reasons, verdict))
    return _counted(policy, policy_digest, told, tuple(unreadable))


def _documents(
    past: Sequence[PastDecision], artifacts: ArtifactStore
) -> tuple[dict[Digest, bytes], list[tuple[PastDecision, str]]]:
    """Return the evidence of decisions by its digest, and the decisions whose evidence cannot be read."""
    documents: dict[Digest, bytes] = {}
    lost: dict[Digest, str] = {}
    for digest in dict.fromkeys(one.evidence for one in past):
        try:
            documents[digest] = artifacts.get(digest)
        except KeelwayError as error:
            lost[digest] = str(error)
    return documents, [(one, lost[one.evidence]) for one in past if one.evidence in lost]


def _tells(decision: PastDecision, after: Verdict) -> bool:
    """Say whether a decision itself tells what its policy said: yes, or nothing but the very reasons given now."""
    if decision.allowed:
        return not decision.skipped
    return not after.allowed and set(decision.reasons) == set(after.reasons)


def _past(entry: int, decision: Decision, policy: Digest) -> PastDecision:
    return PastDecision(
        entry=entry,
        subject=decision.subject,
        environment=decision.environment,
        at=decision.at,
        allowed=decision.allowed,
        skipped=decision.action is Action.SKIP_GATE,
        reasons=decision.reasons,
        evidence=decision.evidence["evidence"],
        policy=policy,
    )


def _before(
    past: Sequence[PastDecision],
    documents: Mapping[Digest, bytes],
    policies: Callable[[Digest], PolicySet],
    lab: PolicyLab,
    workers: int,
) -> tuple[dict[tuple[Digest, Digest], Verdict], dict[Digest, str]]:
    """Return what each policy of that time says of the evidence it judged, and which policies are gone."""
    found: dict[tuple[Digest, Digest], Verdict] = {}
    lost: dict[Digest, str] = {}
    for digest in dict.fromkeys(one.policy for one in past):
        asked = list(dict.fromkeys(one.evidence for one in past if one.policy == digest))
        try:
            policy = policies(digest)
        except KeelwayError as error:
            lost[digest] = str(error)
            continue
        verdicts = lab.judge_many(policy, [documents[each] for each in asked], workers=workers)
        found |= {(digest, each): verdict for each, verdict in zip(asked, verdicts, strict=True)}
    return found, lost


def _replayed(decision: PastDecision, before: tuple[str, ...], after: Verdict) -> ReplayedDecision:
    """Return a decision beside the reasons of its own policy and the verdict of the other."""
    return ReplayedDecision(
        decision=decision,
        policy_before=not before,
        policy_after=after.allowed,
        other=tuple(reason for reason in decision.reasons if reason not in before),
        lost=tuple(reason for reason in before if reason not in after.reasons),
        gained=tuple(reason for reason in after.reasons if reason not in before),
    )


def _counted(
    policy: PolicySet,
    digest: Digest,
    told: Sequence[ReplayedDecision],
    unreadable: tuple[tuple[PastDecision, str], ...],
) -> Replay:
    return Replay(
        policy=policy.name,
        policy_digest=digest,
        judged=len(told),
        unreadable=unreadable,
        admitted_now=tuple(one for one in told if one.changed and one.allowed_after),
        refused_now=tuple(one for one in told if one.changed and not one.allowed_after),
        same_decision=tuple(one for one in told if not one.changed and (one.lost or one.gained)),
        gained=_kinds(reason for one in told for reason in one.gained),
        lost=_kinds(reason for one in told for reason in one.lost),
    )


def _kinds(reasons: Iterator[str]) -> dict[str, int]:
    """Count reasons without their figures, the most frequent first."""
    return dict(Counter(kind_of(reason) for reason in reasons).most_common())


def kind_of(reason: str) -> str:
    """Return a reason with `#` in the place of every number, so that the same sentence about others is the same.

    >>> kind_of("roc_auc is at least 0.7499 with confidence, needs 0.75")
    'roc_auc is at least # with confidence, needs #'
    """
    return _NUMBER.sub("#", reason)
