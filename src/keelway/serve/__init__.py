"""The request path: validate, predict, log; and the sealed log of predictions."""

from keelway.serve.answer import Answer, answer_rows
from keelway.serve.batch import ScoreReport, score
from keelway.serve.breaker import Breaker, BreakerRule, BreakerState
from keelway.serve.budget import MemoryBudget
from keelway.serve.fallback import Fallback, parse_fallback
from keelway.serve.last_good import LastGood, Pin, pin_back
from keelway.serve.line import LineWriter
from keelway.serve.loaded import LoadedDeployment, LoadedVersion
from keelway.serve.log import JournalLog
from keelway.serve.lookup import OnlineLookup
from keelway.serve.ports import Journal, Journals, LoadScorer, PredictionLog, Scorer
from keelway.serve.router import Router, ServingCare
from keelway.serve.schema import RequestSchema
from keelway.serve.segment import PredictionSegment, find_prediction, lines_of, predictions, seal, seal_journals
from keelway.serve.servable import check_servable
from keelway.serve.shedding import ControlledDelay, Shedder, ShedRule
from keelway.serve.tally import (
    ArmRequests,
    RequestFigures,
    RequestTally,
    TallyKeeper,
    latency_of,
    request_figures,
    together,
)
from keelway.serve.wire.columns import Row

__all__ = [
    "Answer",
    "ArmRequests",
    "Breaker",
    "BreakerRule",
    "BreakerState",
    "ControlledDelay",
    "Fallback",
    "Journal",
    "JournalLog",
    "Journals",
    "LastGood",
    "LineWriter",
    "LoadScorer",
    "LoadedDeployment",
    "LoadedVersion",
    "MemoryBudget",
    "OnlineLookup",
    "Pin",
    "PredictionLog",
    "PredictionSegment",
    "RequestFigures",
    "RequestSchema",
    "RequestTally",
    "Router",
    "Row",
    "ScoreReport",
    "Scorer",
    "ServingCare",
    "ShedRule",
    "Shedder",
    "TallyKeeper",
    "answer_rows",
    "check_servable",
    "find_prediction",
    "latency_of",
    "lines_of",
    "parse_fallback",
    "pin_back",
    "predictions",
    "request_figures",
    "score",
    "seal",
    "seal_journals",
    "together",
]
