"""Whether to train again, and which version came of it; whether that takes over is decided by its rollout."""

from keelway.retrain.request import (
    RetrainAnswer,
    RetrainRequest,
    answer_retrain_request,
    open_retrain_request,
    retrain_request,
)

__all__ = [
    "RetrainAnswer",
    "RetrainRequest",
    "answer_retrain_request",
    "open_retrain_request",
    "retrain_request",
]
