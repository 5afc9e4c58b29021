"""The one door to an environment: policies, evidence, approvals, and the pointer they let move."""

from keelway.promote.approval import answers, approve, open_request, reject, request_promotion, valid_answers
from keelway.promote.evidence import SignatureCheck, admitted, check_signature, gather_evidence
from keelway.promote.gate import check_gate, promote
from keelway.promote.policy import load_policy, store_policy
from keelway.promote.record import Admission, Approval, EnvironmentRules, PromotionRequest, environment_pointer
from keelway.promote.status import AliasDrift, Standing, alias_drift, status_at

__all__ = [
    "Admission",
    "AliasDrift",
    "Approval",
    "EnvironmentRules",
    "PromotionRequest",
    "SignatureCheck",
    "Standing",
    "admitted",
    "alias_drift",
    "answers",
    "approve",
    "check_gate",
    "check_signature",
    "environment_pointer",
    "gather_evidence",
    "load_policy",
    "open_request",
    "promote",
    "reject",
    "request_promotion",
    "status_at",
    "store_policy",
    "valid_answers",
]
