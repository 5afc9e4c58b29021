"""Checklists: what people have to have done before a version goes in, by the tier of its risk.

An answer is bound to version, environment and policy as an approval is. A model whose risk nobody assessed has to
answer the items of every tier, so that not assessing never asks for less.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from keelway.core import Action, Decision, Digest, PrincipalId, VersionName, digest_of
from keelway.errors import UsageError
from keelway.identity import on_record, require_role
from keelway.ledger import record_decision
from keelway.promote.lately import last_first
from keelway.promote.record import door
from keelway.promote.risk import tier_of

if TYPE_CHECKING:
    from keelway.identity import Principal
    from keelway.ledger.ports import StateStore, Transaction
    from keelway.promote.record import EnvironmentRules
    from keelway.register import ModelVersion

ANSWERING = ("data-scientist", "approver", "risk-owner", "deployer", "admin")


@dataclass(frozen=True, slots=True)
class ChecklistAnswer:
    """Somebody says that an item is done, or that it is not.

    Attributes:
        version_digest: Digest of the ModelVersion.
        policy_digest: Digest of the PolicySet.
        comment: Where it can be seen.
    """

    version: VersionName
    version_digest: Digest
    environment: str
    policy_digest: Digest
    item: str
    done: bool
    principal: PrincipalId
    at: datetime
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Checklist:
    """What has to be done for a version, and what was answered.

    Attributes:
        tier: The tier of the model's risk; None where nobody assessed it, and then every tier's items are required.
        answers: The last answer to each item that has one, in the order of the items.
        missing: The items that nobody said are done.
    """

    version: VersionName
    environment: str
    tier: str | None
    required: tuple[str, ...]
    answers: tuple[ChecklistAnswer, ...]
    missing: tuple[str, ...]


def checklist_of(version: ModelVersion, *, environment: EnvironmentRules, tx: Transaction) -> Checklist:
    """Return what a version still has to answer to get into an environment."""
    tier = tier_of(version.model, tx=tx)
    required = _required(environment, tier)
    bound = (digest_of(version), environment.name, digest_of(environment.policy))
    last: dict[str, ChecklistAnswer] = {}
    parent = door(environment.name, version.name)
    for answer in last_first(ChecklistAnswer, parent=parent, tx=tx) if required else ():
        if (answer.version_digest, answer.environment, answer.policy_digest) == bound:
            last.setdefault(answer.item, answer)
    return Checklist(
        version=version.name,
        environment=environment.name,
        tier=tier,
        required=required,
        answers=tuple(last[item] for item in required if item in last),
        missing=tuple(item for item in required if item not in last or not last[item].done),
    )


def checklist_digest(checklist: Checklist) -> Digest | None:
    """Return what an approval is bound to: the answers as they stand; None where nothing is required."""
    return digest_of(checklist.answers) if checklist.required else None


def checklist_evidence(checklist: Checklist) -> dict[str, Any]:
    """Return what a policy reads of a checklist."""
    return {"required": list(checklist.required), "missing": list(checklist.missing)}


def answer_checklist(
    version: ModelVersion,
    item: str,
    *,
    done: bool,
    environment: EnvironmentRules,
    principal: Principal,
    state: StateStore,
    now: datetime,
    comment: str = "",
) -> ChecklistAnswer:
    """Answer an item; the same answer of the same person again returns the first.

    Raises:
        UsageError: The item is not on the version's list.
        IdentityError: The principal may not answer.
    """
    where = environment.name
    with on_record(Action.CHECK, version.name, principal=principal, state=state, now=now, environment=where):
        require_role(principal, *ANSWERING)
    with state.transaction() as tx:
        before = checklist_of(version, environment=environment, tx=tx)
        if item not in before.required:
            raise UsageError(
                f"This is not on the checklist of {version.name} for {environment.name}",
                expected="; ".join(before.required) or "no item: nothing is required",
                found=item,
                fix=f"See the list: keelway checklist {version.name} --to {environment.name}",
            )
        policy, digest = digest_of(environment.policy), digest_of(version)
        answer = ChecklistAnswer(version.name, digest, environment.name, policy, item, done, principal.id, now, comment)
        for known in before.answers:
            if (known.item, known.done, known.principal, known.comment) == (item, done, principal.id, comment):
                return known
        parent = door(environment.name, version.name)
        number = tx.count(ChecklistAnswer, parent=parent) + 1
        stored = tx.insert(f"{parent}/{number}", answer, parent=parent, at=now)
        record_decision(_told(answer, stored), tx=tx)
    return answer


def _required(environment: EnvironmentRules, tier: str | None) -> tuple[str, ...]:
    lists = environment.checklists
    if tier is not None:
        return tuple(lists.get(tier, ()))
    return tuple(dict.fromkeys(item for name in sorted(lists) for item in lists[name]))


def _told(answer: ChecklistAnswer, digest: Digest) -> Decision:
    return Decision(
        action=Action.CHECK,
        subject=answer.version,
        allowed=True,
        principal=answer.principal,
        at=answer.at,
        evidence={"answer": digest, "version": answer.version_digest},
        policy=answer.policy_digest,
        environment=answer.environment,
        comment=f"{'done' if answer.done else 'not done'}: {answer.item}"
        + (f" ({answer.comment})" if answer.comment else ""),
    )
