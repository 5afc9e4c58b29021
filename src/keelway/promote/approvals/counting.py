"""What each answer to a request is worth at a moment, and why one counts no more.

An answer counts while it is bound to what is asked now (version, environment, policy, checklist), is in the ledger,
was not revoked, did not expire, and its right still stands: whose right it is still has the role, takes no part in
the version, and did not take the right back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Action, Decision, PrincipalId, digest_of, time_text
from keelway.promote.approvals.checklist import checklist_digest, checklist_of
from keelway.promote.approvals.delegation import revocation_of
from keelway.promote.approvals.request import requesters
from keelway.promote.approvals.seats import empty_seats, one_a_right
from keelway.promote.evidence import trainer_of
from keelway.promote.lately import last_first, newest_first
from keelway.promote.record import APPROVER, Approval

if TYPE_CHECKING:
    from keelway.core import Digest
    from keelway.ledger.ports import Transaction
    from keelway.promote.record import EnvironmentRules, PromotionRequest
    from keelway.register import ModelVersion

BREAK_GLASS_APPROVALS = 2


@dataclass(frozen=True, slots=True)
class CountedAnswer:
    """An answer, and why it does not count; empty where it does."""

    answer: Approval
    void: str = ""


@dataclass(frozen=True, slots=True)
class Tally:
    """What the answers to a request come to.

    Attributes:
        request: The open request; None where nobody asked.
        answers: The last answer of everybody, by name.
        seats: How many people of each role are needed.
        empty: How many of them are missing.
    """

    request: PromotionRequest | None
    answers: tuple[CountedAnswer, ...]
    seats: dict[str, int]
    empty: dict[str, int]

    @property
    def approvals(self) -> tuple[Approval, ...]:
        """The approvals that count, one for each right."""
        return tuple(one_a_right([one.answer for one in self.answers if one.answer.approved and not one.void]))

    @property
    def rejections(self) -> tuple[Approval, ...]:
        """The rejections that stand in the way."""
        return tuple(one.answer for one in self.answers if not one.answer.approved and not one.void)

    def reasons(self) -> list[str]:
        """Say which approvals are missing, which count no more, and who stands in the way."""
        told = [f"{one.principal} rejected it: {one.comment or 'no comment'}" for one in self.rejections]
        for role, missing in self.empty.items():
            kind = "" if set(self.seats) == {APPROVER} else f" by the role {role}"
            unasked = "" if self.request else "; nobody has asked for it under this policy"
            told.append(f"it has {self.seats[role] - missing} of {self.seats[role]} approvals{kind}{unasked}")
        if self.empty:
            told += [f"the approval of {one.answer.principal} does not count: {one.void}" for one in self.voided]
        return told

    @property
    def voided(self) -> tuple[CountedAnswer, ...]:
        """The approvals that count no more."""
        return tuple(one for one in self.answers if one.answer.approved and one.void)


def tally(
    version: ModelVersion,
    request: PromotionRequest | None,
    *,
    environment: EnvironmentRules,
    tx: Transaction,
    moment: datetime,
    break_glass: bool = False,
) -> Tally:
    """Return what the answers to a request come to at a moment.

    Args:
        break_glass: Whether a way past the gate is asked for, which needs two approvers whatever the environment asks.
    """
    counted = counted_answers(version, request, environment=environment, tx=tx, moment=moment) if request else ()
    seats = {APPROVER: BREAK_GLASS_APPROVALS} if break_glass else environment.seats
    rights = one_a_right([one.answer for one in counted if one.answer.approved and not one.void])
    holders = [roles_today(one.right_of, environment, given=one.roles) for one in rights]
    if break_glass:  # anybody who may approve here may take either seat
        holders = [(APPROVER,)] * len(holders)
    return Tally(request, counted, seats, empty_seats(seats, holders))


def counted_answers(
    version: ModelVersion,
    request: PromotionRequest,
    *,
    environment: EnvironmentRules,
    tx: Transaction,
    moment: datetime,
) -> tuple[CountedAnswer, ...]:
    """Return the last answer of everybody to a request, each with why it does not count."""
    found = answers(request, tx=tx)
    if not found:
        return ()
    entered = _entered(version, found, tx)
    part = involved(version, request.environment, tx=tx)
    digest = checklist_digest(checklist_of(version, environment=environment, tx=tx))
    listed = None if request.break_glass else digest
    return tuple(
        CountedAnswer(
            one,
            _unbound(one, version, request, entered, tx)
            or (_lapsed(one, environment, part, listed, moment, tx) if one.approved else ""),
        )
        for one in found
    )


def answers(request: PromotionRequest, *, tx: Transaction) -> list[Approval]:
    """Return the last answer of everybody to a request, by principal."""
    last: dict[str, Approval] = {}
    for approval in last_first(Approval, parent=digest_of(request), tx=tx):
        last.setdefault(approval.principal, approval)
    return [last[name] for name in sorted(last)]


def involved(version: ModelVersion, environment: str, *, tx: Transaction) -> dict[PrincipalId, str]:
    """Return who takes part in a version and so may not approve it, and as what."""
    part = dict.fromkeys(requesters(version, environment, tx=tx), "requester")
    trainer = trainer_of(version, tx=tx)
    if trainer:
        part[PrincipalId(trainer)] = "trainer"
    part[version.author] = "author"
    return part


def approving_roles(environment: EnvironmentRules) -> tuple[str, ...]:
    """Return the roles that may answer a request: those that are needed, and approvers."""
    return tuple(sorted({APPROVER, *environment.seats}))


def roles_today(name: PrincipalId, environment: EnvironmentRules, *, given: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return somebody's roles as the directory lists them now; where there is none, those an answer was given with."""
    if environment.directory is None:
        return given
    principal = environment.directory.find(name)
    return principal.roles if principal is not None and not principal.disabled else ()


def _entered(version: ModelVersion, given: list[Approval], tx: Transaction) -> set[Digest]:
    """Return the answers that the ledger tells of: one that was put into the database past it is worth nothing."""
    wanted, first = {digest_of(one) for one in given}, min(one.at for one in given)
    entered: set[Digest] = set()
    for told in newest_first(Decision, parent=version.name, tx=tx):
        if told.allowed and told.action in (Action.APPROVE, Action.REJECT) and "approval" in told.evidence:
            entered |= wanted & {told.evidence["approval"]}
        if entered == wanted or told.at < first:
            break
    return entered


def _unbound(
    answer: Approval, version: ModelVersion, request: PromotionRequest, entered: set[Digest], tx: Transaction
) -> str:
    """Return why an answer is none to what is asked, or empty text."""
    if (answer.request, answer.version_digest) != (digest_of(request), digest_of(version)):
        return "it was given for another request or other bytes"
    if (answer.environment, answer.policy_digest) != (request.environment, request.policy_digest):
        return "it was given for another environment or policy"
    if digest_of(answer) not in entered:
        return "the ledger does not tell of it"
    revoked = revocation_of(digest_of(answer), tx=tx)
    return f"{revoked.principal} revoked it: {revoked.reason}" if revoked else ""


def _lapsed(
    answer: Approval,
    environment: EnvironmentRules,
    part: dict[PrincipalId, str],
    checklist: Digest | None,
    moment: datetime,
    tx: Transaction,
) -> str:
    """Return why an approval counts no more, or empty text."""
    for name in dict.fromkeys((answer.principal, answer.right_of)):
        if name in part:
            return f"{name} is the {part[name]}"
    if answer.checklist != checklist:
        return "the checklist was answered otherwise since"
    lasts = environment.approval_expires
    if lasts is not None and not moment < answer.at + lasts:
        return f"it expired at {time_text(answer.at + lasts)}"
    return _without_right(answer, environment, tx)


def _without_right(answer: Approval, environment: EnvironmentRules, tx: Transaction) -> str:
    """Return why the right that an approval was given with stands no more, or empty text."""
    if not set(approving_roles(environment)) & set(roles_today(answer.right_of, environment, given=answer.roles)):
        return f"{answer.right_of} has no role that may approve any more"
    if answer.delegation is None:
        return ""
    ended = revocation_of(answer.delegation, tx=tx)
    if ended is not None:
        return f"{ended.principal} ended the delegation by which it was given"
    return "" if _active(answer.principal, environment) else f"{answer.principal} is disabled or gone"


def _active(name: PrincipalId, environment: EnvironmentRules) -> bool:
    """Say whether somebody may act today; without a directory everybody may."""
    if environment.directory is None:
        return True
    found = environment.directory.find(name)
    return found is not None and not found.disabled
