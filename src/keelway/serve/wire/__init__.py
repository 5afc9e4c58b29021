"""What goes over the wire: requests of three protocols to rows, and answers back. No web framework, no waiting."""

from keelway.serve.wire.answers import (
    AnswerShape,
    check_outputs,
    inference_answers,
    inference_metadata,
    invocation_answers,
    named_answers,
)
from keelway.serve.wire.columns import (
    ENTITY_PATTERN,
    LARGEST,
    MAX_ENTITY,
    MAX_TEXT,
    MAX_WORDS,
    Row,
    WireLimits,
    check_rows,
)
from keelway.serve.wire.csv_table import CsvReader
from keelway.serve.wire.explained import explanation_answers
from keelway.serve.wire.invocations import InvocationReader
from keelway.serve.wire.open_inference import MAX_ID, InferenceAsked, InferenceReader
from keelway.serve.wire.packing import packed, unpacked

__all__ = [
    "ENTITY_PATTERN",
    "LARGEST",
    "MAX_ENTITY",
    "MAX_ID",
    "MAX_TEXT",
    "MAX_WORDS",
    "AnswerShape",
    "CsvReader",
    "InferenceAsked",
    "InferenceReader",
    "InvocationReader",
    "Row",
    "WireLimits",
    "check_outputs",
    "check_rows",
    "explanation_answers",
    "inference_answers",
    "inference_metadata",
    "invocation_answers",
    "named_answers",
    "packed",
    "unpacked",
]
