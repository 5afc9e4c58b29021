"""The request path: validate, predict, log; and the sealed log of predictions."""

from keelway.serve.line import LineWriter
from keelway.serve.log import JournalLog
from keelway.serve.ports import Journal, Journals, LoadScorer, PredictionLog, Scorer
from keelway.serve.schema import BadRequestError, RequestSchema
from keelway.serve.segment import PredictionSegment, find_prediction, lines_of, predictions, seal, seal_journals

__all__ = [
    "BadRequestError",
    "Journal",
    "JournalLog",
    "Journals",
    "LineWriter",
    "LoadScorer",
    "PredictionLog",
    "PredictionSegment",
    "RequestSchema",
    "Scorer",
    "find_prediction",
    "lines_of",
    "predictions",
    "seal",
    "seal_journals",
]
