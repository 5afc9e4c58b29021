"""Whether to train again, and whether what came of it takes over."""

from keelway.retrain.challenger import ArmEvidence, CanaryGuard, ChallengerVerdict, arm_evidence, challenger_verdict
from keelway.retrain.request import (
    RetrainAnswer,
    RetrainRequest,
    answer_retrain_request,
    open_retrain_request,
    retrain_request,
)

__all__ = [
    "ArmEvidence",
    "CanaryGuard",
    "ChallengerVerdict",
    "RetrainAnswer",
    "RetrainRequest",
    "answer_retrain_request",
    "arm_evidence",
    "challenger_verdict",
    "open_retrain_request",
    "retrain_request",
]
