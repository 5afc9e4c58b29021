"""What waits at the door: every request, what was answered to it, and what is missing still."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from keelway.core import PrincipalId, VersionName
from keelway.promote.approvals.checklist import checklist_of
from keelway.promote.approvals.counting import CountedAnswer, tally
from keelway.promote.approvals.freeze import frozen
from keelway.promote.approvals.moment import moment_of
from keelway.promote.approvals.request import open_request, was_used, withdrawal_of
from keelway.promote.record import PromotionRequest

if TYPE_CHECKING:
    from keelway.ledger.ports import Transaction
    from keelway.promote.record import EnvironmentRules
    from keelway.register import ModelVersion

RequestState = Literal["open", "ready", "admitted", "withdrawn", "void"]


@dataclass(frozen=True, slots=True)
class RequestLine:
    """A request and where it stands.

    Attributes:
        state: `open` while something is missing, `ready` when people have done their part, `admitted`, `withdrawn`,
            or `void` when the policy or the version is another one since.
        answers: The last answer of everybody, each with why it does not count.
        missing: What has to be done still, as sentences.
    """

    request_id: str
    version: VersionName
    environment: str
    requested_by: PrincipalId
    at: datetime
    comment: str
    break_glass: bool
    state: RequestState
    answers: tuple[CountedAnswer, ...]
    missing: tuple[str, ...]


def request_lines(
    environments: Mapping[str, EnvironmentRules], *, tx: Transaction, now: datetime
) -> tuple[RequestLine, ...]:
    """Return every request to one of the environments, newest first."""
    return tuple(
        _line(request, environments[request.environment], tx, now)
        for request in tx.newest(PromotionRequest)
        if request.environment in environments
    )


def _line(request: PromotionRequest, environment: EnvironmentRules, tx: Transaction, now: datetime) -> RequestLine:
    from keelway.register import ModelVersion

    version = tx.find(ModelVersion, request.version)
    state = _closed(request, version, environment, tx)
    answers: tuple[CountedAnswer, ...] = ()
    missing: tuple[str, ...] = ()
    if state is None and version is not None:
        moment = moment_of(now, tx=tx)
        counted = tally(
            version, request, environment=environment, tx=tx, moment=moment, break_glass=request.break_glass
        )
        answers = counted.answers
        missing = (*counted.reasons(), *_undone(version, request, environment, moment, tx))
    return RequestLine(
        request.request_id,
        request.version,
        request.environment,
        request.requested_by,
        request.at,
        request.comment,
        request.break_glass,
        state or ("open" if missing else "ready"),
        answers,
        missing,
    )


def _closed(
    request: PromotionRequest, version: ModelVersion | None, environment: EnvironmentRules, tx: Transaction
) -> RequestState | None:
    """Return as what a request is closed, or None while it is open."""
    if was_used(request, tx=tx):
        return "admitted"
    if withdrawal_of(request, tx=tx) is not None:
        return "withdrawn"
    if version is None:
        return "void"
    standing = open_request(version, environment=environment, tx=tx, break_glass=request.break_glass)
    return None if standing == request else "void"


def _undone(
    version: ModelVersion, request: PromotionRequest, environment: EnvironmentRules, moment: datetime, tx: Transaction
) -> tuple[str, ...]:
    """Say what else keeps a version out that people can see beforehand."""
    if request.break_glass:
        return ()
    listed = checklist_of(version, environment=environment, tx=tx)
    told = tuple(f"the checklist lacks: {item}" for item in listed.missing)
    freeze = frozen(environment.freezes, moment=moment)
    return (*told, f"frozen until {freeze.ends:%Y-%m-%d %H:%M} UTC: {freeze.reason}") if freeze else told
