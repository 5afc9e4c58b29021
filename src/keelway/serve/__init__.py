"""The request path: validate, predict, log; and the sealed log of predictions."""

from typing import TYPE_CHECKING

from keelway.core import open_door

if TYPE_CHECKING:
    from keelway.serve.answer import Answer, answer_rows
    from keelway.serve.awaited import AwaitedScorer, with_answers
    from keelway.serve.batch import ScoreReport, score
    from keelway.serve.batch_log import SegmentLog, batch_name
    from keelway.serve.breaker import Breaker, BreakerRule, BreakerState
    from keelway.serve.budget import MemoryBudget
    from keelway.serve.compaction import CompactionTurn, LogCompaction, compact_segments
    from keelway.serve.explain import (
        AnswerExplanation,
        Explainers,
        FindExplainer,
        RowExplainer,
        SampledExplainer,
        explained,
    )
    from keelway.serve.fallback import Fallback, parse_fallback
    from keelway.serve.journal_entries import entries_of, lines_in
    from keelway.serve.last_good import LastGood, Pin, pin_back
    from keelway.serve.line import UNMARKED, LineWriter, RequestMark, WriterParts, moment_text
    from keelway.serve.loaded import LoadedDeployment, LoadedVersion
    from keelway.serve.log import JournalLog
    from keelway.serve.log_columns import columns_of, damaged_journal
    from keelway.serve.lookup import OnlineLookup
    from keelway.serve.ports import BatchLog, Journal, Journals, LoadScorer, PredictionLog, Scorer
    from keelway.serve.presence import Heartbeat, Presence, ReplicaReport, present_replicas
    from keelway.serve.router import Router, ServingCare
    from keelway.serve.schema import RequestSchema
    from keelway.serve.sealed import (
        columns_in,
        find_prediction,
        find_with_lines,
        lines_of,
        prediction_table,
        predictions,
    )
    from keelway.serve.segment import SealingPorts, seal, seal_columns, seal_entries, seal_journals
    from keelway.serve.segment_lines import SegmentContents, packed_here, packed_lines
    from keelway.serve.segment_records import (
        PredictionSegment,
        all_live_segments,
        live_segments,
        replaced_data,
        waiting_segments,
    )
    from keelway.serve.shadow import ShadowMirror
    from keelway.serve.shedding import ControlledDelay, Shedder, ShedRule
    from keelway.serve.tally import (
        KEEP_EVERY_S,
        LARGEST_BIN,
        ArmRequests,
        RequestFigures,
        RequestTally,
        TallyKeeper,
        latency_of,
        request_figures,
        together,
    )
    from keelway.serve.warm import blank_row, strange_answers
    from keelway.serve.wire.columns import Row

__all__ = [
    "KEEP_EVERY_S",
    "LARGEST_BIN",
    "UNMARKED",
    "Answer",
    "AnswerExplanation",
    "ArmRequests",
    "AwaitedScorer",
    "BatchLog",
    "Breaker",
    "BreakerRule",
    "BreakerState",
    "CompactionTurn",
    "ControlledDelay",
    "Explainers",
    "Fallback",
    "FindExplainer",
    "Heartbeat",
    "Journal",
    "JournalLog",
    "Journals",
    "LastGood",
    "LineWriter",
    "LoadScorer",
    "LoadedDeployment",
    "LoadedVersion",
    "LogCompaction",
    "MemoryBudget",
    "OnlineLookup",
    "Pin",
    "PredictionLog",
    "PredictionSegment",
    "Presence",
    "ReplicaReport",
    "RequestFigures",
    "RequestMark",
    "RequestSchema",
    "RequestTally",
    "Router",
    "Row",
    "RowExplainer",
    "SampledExplainer",
    "ScoreReport",
    "Scorer",
    "SealingPorts",
    "SegmentContents",
    "SegmentLog",
    "ServingCare",
    "ShadowMirror",
    "ShedRule",
    "Shedder",
    "TallyKeeper",
    "WriterParts",
    "all_live_segments",
    "answer_rows",
    "batch_name",
    "blank_row",
    "columns_in",
    "columns_of",
    "compact_segments",
    "damaged_journal",
    "entries_of",
    "explained",
    "find_prediction",
    "find_with_lines",
    "latency_of",
    "lines_in",
    "lines_of",
    "live_segments",
    "moment_text",
    "packed_here",
    "packed_lines",
    "parse_fallback",
    "pin_back",
    "prediction_table",
    "predictions",
    "present_replicas",
    "replaced_data",
    "request_figures",
    "score",
    "seal",
    "seal_columns",
    "seal_entries",
    "seal_journals",
    "strange_answers",
    "together",
    "waiting_segments",
    "with_answers",
]

open_door(__name__)
