"""The records of the one door: a request, an approval, an admission, and the rules of an environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from keelway.core import Digest, PolicySet, PrincipalId, Verdict, VersionName

if TYPE_CHECKING:
    from keelway.identity import Directory
    from keelway.ledger.ports import Transaction
    from keelway.register import ModelVersion

MoreEvidence = Callable[["ModelVersion", str, "Transaction", datetime], dict[str, Any]]
"""Takes a version, an environment, a transaction and the present; returns parts of the evidence by name."""
APPROVER = "approver"
BREAK_GLASS_LASTS = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Freeze:
    """A time in which nothing new is let into an environment.

    Attributes:
        begins: The first moment of it.
        ends: The first moment after it.
    """

    begins: datetime
    ends: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class EnvironmentRules:
    """What a version needs to get into an environment.

    Attributes:
        name: The environment.
        policy: The gate's policy files.
        approvals: How many people, none of them author, trainer or requester, have to approve: of each role, or of
            the role approver.
        service_principal: Whether only a service principal may move the pointer.
        after: The environment in which the version must have been admitted before; empty for none.
        risks: Digests of what the project declares of the risk of its models, by model; one that is missing is unknown.
        approval_expires: How long an approval counts; None for ever.
        checklists: What has to be done before, by tier of risk.
        freezes: When nothing new is let in.
        rollback_policy: What judges a way back besides signature and admission; None asks nothing else.
        break_glass_lasts: How long a version stays that was let in past the gate.
        directory: Who may act today; None takes the roles that an approval was given with.
        more: Tells what later steps of the lifecycle recorded of a version, as parts of the evidence.
    """

    name: str
    policy: PolicySet
    approvals: int | Mapping[str, int] = 0
    service_principal: bool = False
    after: str = ""
    risks: dict[str, Digest] = field(default_factory=dict)
    approval_expires: timedelta | None = None
    checklists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    freezes: tuple[Freeze, ...] = ()
    rollback_policy: PolicySet | None = None
    break_glass_lasts: timedelta = BREAK_GLASS_LASTS
    directory: Directory | None = None
    more: MoreEvidence | None = None

    @property
    def seats(self) -> dict[str, int]:
        """How many people of each role have to approve."""
        given = {APPROVER: self.approvals} if isinstance(self.approvals, int) else dict(self.approvals)
        return {role: number for role, number in sorted(given.items()) if number}


@dataclass(frozen=True, slots=True)
class PromotionRequest:
    """Somebody asks for a version to be let into an environment, under the policy of that moment.

    Attributes:
        request_id: `ENVIRONMENT/VERSION/NUMBER`.
        version_digest: Digest of the ModelVersion.
        policy_digest: Digest of the PolicySet.
        break_glass: Whether it asks for a way past the gate; approvals of the one kind are worth nothing for the other.
    """

    request_id: str
    version: VersionName
    version_digest: Digest
    environment: str
    policy_digest: Digest
    requested_by: PrincipalId
    at: datetime
    comment: str = ""
    break_glass: bool = False


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A request is taken back, and with it every answer to it.

    Attributes:
        request: Digest of the PromotionRequest.
    """

    request: Digest
    principal: PrincipalId
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class RequestUse:
    """A version was let in by a request, which closes it: its approvals are used up.

    Attributes:
        request: Digest of the PromotionRequest.
        admission: Digest of the Admission.
    """

    request: Digest
    admission: Digest


@dataclass(frozen=True, slots=True)
class Approval:
    """One approver's answer to a request; bound to version, environment and policy, so a change of any voids it.

    Attributes:
        request: Digest of the PromotionRequest.
        approved: False for a rejection, which stands in the way until the approver answers again.
        roles: The roles that whose right it is had at that moment.
        on_behalf_of: Who lent the right to answer; None for an approver's own.
        delegation: Digest of the Delegation by which it was lent.
        checklist: Digest of the checklist's answers at that moment; None where there is no checklist.
    """

    request: Digest
    version_digest: Digest
    environment: str
    policy_digest: Digest
    principal: PrincipalId
    approved: bool
    at: datetime
    comment: str = ""
    roles: tuple[str, ...] = ()
    on_behalf_of: PrincipalId | None = None
    delegation: Digest | None = None
    checklist: Digest | None = None

    @property
    def right_of(self) -> PrincipalId:
        """Whose right to answer was used."""
        return self.on_behalf_of or self.principal


@dataclass(frozen=True, slots=True)
class Revocation:
    """An approval or a delegation counts no more.

    Attributes:
        what: Digest of the Approval or Delegation.
    """

    what: Digest
    principal: PrincipalId
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class PromotionGroup:
    """Versions of several models that are let in together, or not at all."""

    versions: tuple[VersionName, ...]
    environment: str
    principal: PrincipalId
    at: datetime


@dataclass(frozen=True, slots=True)
class UnsafeSkipGate:
    """A version was let in past the gate, because two approvers said that it cannot wait.

    Attributes:
        skipped: Why the gate would have refused; empty where it would not.
        expires_at: From when on it must not stand any more.
        request: Digest of the PromotionRequest that asked for it.
        approvals: Digests of the approvals of that request.
    """

    version: VersionName
    version_digest: Digest
    environment: str
    reason: str
    skipped: tuple[str, ...]
    request: Digest
    approvals: tuple[Digest, ...]
    principal: PrincipalId
    at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Admission:
    """A version was let into an environment.

    Attributes:
        version_digest: Digest of the ModelVersion.
        evidence: Digest of the document that was judged, an artifact in canonical JSON.
        verdict: What the policy answered; allowed, unless the gate was skipped.
        request: Digest of the PromotionRequest, where approvals were needed.
        approvals: Digests of the approvals that counted.
        principal: Who moved the pointer.
        needed: How many approvals of each role were asked for.
        previous: Digest of the admission that a way back leads to; None for the first.
        unsafe: Digest of the UnsafeSkipGate by which it was let in past the gate; None as a rule.
        rollback: Whether it came back by the environment's rollback policy.
    """

    version: VersionName
    version_digest: Digest
    environment: str
    evidence: Digest
    verdict: Verdict
    request: Digest | None
    approvals: tuple[Digest, ...]
    principal: PrincipalId
    at: datetime
    needed: dict[str, int] = field(default_factory=dict)
    previous: Digest | None = None
    unsafe: Digest | None = None
    rollback: bool = False


def door(environment: str, version: str) -> str:
    """Return the parent under which the requests and admissions of a version for an environment are listed."""
    return f"{environment}/{version}"


def environment_pointer(environment: str, model: str) -> str:
    """Return the name of the pointer that holds a model's version in an environment.

    >>> environment_pointer("prod", "churn")
    'environment/prod/churn'
    """
    return f"environment/{environment}/{model}"
