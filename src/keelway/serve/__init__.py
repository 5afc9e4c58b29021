"""The request path: validate, predict, log; and the sealed log of predictions."""

from keelway.serve.answer import Answer, answer_rows
from keelway.serve.batch import ScoreReport, score
from keelway.serve.line import LineWriter
from keelway.serve.log import JournalLog
from keelway.serve.ports import Journal, Journals, LoadScorer, PredictionLog, Scorer
from keelway.serve.router import LoadedDeployment, LoadedVersion, Router
from keelway.serve.schema import RequestSchema, Row
from keelway.serve.segment import PredictionSegment, find_prediction, lines_of, predictions, seal, seal_journals
from keelway.serve.servable import check_servable

__all__ = [
    "Answer",
    "Journal",
    "JournalLog",
    "Journals",
    "LineWriter",
    "LoadScorer",
    "LoadedDeployment",
    "LoadedVersion",
    "PredictionLog",
    "PredictionSegment",
    "RequestSchema",
    "Router",
    "Row",
    "ScoreReport",
    "Scorer",
    "answer_rows",
    "check_servable",
    "find_prediction",
    "lines_of",
    "predictions",
    "score",
    "seal",
    "seal_journals",
]
