"""Requests, answers and checklists: what people have to say before a version gets in, and what it is worth."""

from keelway.promote.approvals.approval import approve, reject, revoke_answer
from keelway.promote.approvals.checklist import (
    Checklist,
    ChecklistAnswer,
    answer_checklist,
    checklist_evidence,
    checklist_of,
)
from keelway.promote.approvals.counting import CountedAnswer, Tally, answers, counted_answers, tally
from keelway.promote.approvals.delegation import Delegation, delegate, delegations, end_delegation, lent_to
from keelway.promote.approvals.freeze import freeze_evidence, frozen
from keelway.promote.approvals.moment import moment_of
from keelway.promote.approvals.request import must_say_why, open_request, request_promotion, withdraw_request
from keelway.promote.approvals.seats import empty_seats
from keelway.promote.approvals.waiting import RequestLine, request_lines

__all__ = [
    "Checklist",
    "ChecklistAnswer",
    "CountedAnswer",
    "Delegation",
    "RequestLine",
    "Tally",
    "answer_checklist",
    "answers",
    "approve",
    "checklist_evidence",
    "checklist_of",
    "counted_answers",
    "delegate",
    "delegations",
    "empty_seats",
    "end_delegation",
    "freeze_evidence",
    "frozen",
    "lent_to",
    "moment_of",
    "must_say_why",
    "open_request",
    "reject",
    "request_lines",
    "request_promotion",
    "revoke_answer",
    "tally",
    "withdraw_request",
]
