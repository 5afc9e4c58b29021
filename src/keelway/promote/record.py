"""The records of the one door: a request, an approval, an admission, and the rules of an environment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from keelway.core import Digest, PolicySet, PrincipalId, Verdict, VersionName


@dataclass(frozen=True, slots=True)
class EnvironmentRules:
    """What a version needs to get into an environment.

    Attributes:
        name: The environment.
        policy: The gate's policy files.
        approvals: How many people, none of them author, trainer or requester, have to approve.
        service_principal: Whether only a service principal may move the pointer.
        after: The environment in which the version must have been admitted before; empty for none.
    """

    name: str
    policy: PolicySet
    approvals: int = 0
    service_principal: bool = False
    after: str = ""


@dataclass(frozen=True, slots=True)
class PromotionRequest:
    """Somebody asks for a version to be let into an environment, under the policy of that moment.

    Attributes:
        request_id: `ENVIRONMENT/VERSION/NUMBER`.
        version_digest: Digest of the ModelVersion.
        policy_digest: Digest of the PolicySet.
    """

    request_id: str
    version: VersionName
    version_digest: Digest
    environment: str
    policy_digest: Digest
    requested_by: PrincipalId
    at: datetime
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Approval:
    """One approver's answer to a request; bound to version, environment and policy, so a change of any voids it.

    Attributes:
        request: Digest of the PromotionRequest.
        approved: False for a rejection, which stands in the way until the approver answers again.
    """

    request: Digest
    version_digest: Digest
    environment: str
    policy_digest: Digest
    principal: PrincipalId
    approved: bool
    at: datetime
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Admission:
    """A version was let into an environment.

    Attributes:
        version_digest: Digest of the ModelVersion.
        evidence: Digest of the document that was judged, an artifact in canonical JSON.
        verdict: What the policy answered; allowed.
        request: Digest of the PromotionRequest, where approvals were needed.
        approvals: Digests of the approvals that counted.
        principal: Who moved the pointer.
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


def door(environment: str, version: str) -> str:
    """Return the parent under which the requests and admissions of a version for an environment are listed."""
    return f"{environment}/{version}"


def environment_pointer(environment: str, model: str) -> str:
    """Return the name of the pointer that holds a model's version in an environment.

    >>> environment_pointer("prod", "churn")
    'environment/prod/churn'
    """
    return f"environment/{environment}/{model}"
