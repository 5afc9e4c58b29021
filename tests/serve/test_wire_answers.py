"""Answers in the shape of each protocol, for every task; and bodies that are packed."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.errors import BadRequestError
from keelway.features import FeatureColumn
from keelway.serve import Answer
from keelway.serve.wire import (
    AnswerShape,
    InferenceAsked,
    check_outputs,
    inference_answers,
    inference_metadata,
    invocation_answers,
    named_answers,
    packed,
    unpacked,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
BINARY = AnswerShape("binary")
CLASSES = AnswerShape("multiclass", ("low", "mid", 'hi"gh'))
REGRESSION = AnswerShape("regression")


@dataclass(frozen=True)
class AnsweringVersion:
    """What an answer tells of its version."""

    version: str = "churn:3"
    arm: str = "stable"
    fallback: str = ""


def answer(text: str, entity: str = "00042", version: Any = AnsweringVersion(), logged: bool = True) -> Answer:
    return Answer(entity, "a" * 32, text, version, logged)


def asked(outputs: dict[str, bool] | None = None, *, binary: bool = False, name: str = "") -> InferenceAsked:
    return InferenceAsked([], name, outputs, binary)


def named(text: str, shape: AnswerShape, **more: Any) -> Any:
    return json.loads(named_answers([answer(text, **more)], "churn", shape, many=False))


def inferred(answers: list[Answer], shape: AnswerShape, wanted: InferenceAsked) -> tuple[Any, bytes]:
    body, size = inference_answers(answers, wanted, model="churn", shape=shape)
    return json.loads(body[:size]), body[size:] if size is not None else b""


def test_a_binary_model_answers_a_probability() -> None:
    assert named("0.25", BINARY) == {
        "entity": "00042", "prediction_id": "a" * 32, "probability": 0.25, "model": "churn", "version": "churn:3",
        "arm": "stable", "logged": True,
    }  # fmt: skip
    assert json.loads(invocation_answers([answer("0.25"), answer("0.5")], BINARY)) == {"predictions": [0.25, 0.5]}


def test_a_regression_answers_a_number() -> None:
    assert named("-12.5", REGRESSION)["prediction"] == -12.5
    assert json.loads(invocation_answers([answer("-1e+21")], REGRESSION)) == {"predictions": [-1e21]}
    told, _ = inferred([answer("-12.5")], REGRESSION, asked())
    assert told["outputs"][0] == {"name": "prediction", "datatype": "FP64", "shape": [1], "data": [-12.5]}


def test_several_classes_answer_by_name_and_by_place() -> None:
    text = "[0.25,0.25,0.5]"
    found = named(text, CLASSES)
    assert (found["probabilities"], found["label"]) == ({"low": 0.25, "mid": 0.25, 'hi"gh': 0.5}, 'hi"gh')
    assert json.loads(invocation_answers([answer(text)], CLASSES)) == {"predictions": [[0.25, 0.25, 0.5]]}
    told, _ = inferred([answer(text), answer("[1,0,0]")], CLASSES, asked())
    assert [(each["name"], each["shape"]) for each in told["outputs"]] == [
        ("probabilities", [2, 3]), ("label", [2]), ("prediction_id", [2]), ("version", [2]),
    ]  # fmt: skip
    assert told["outputs"][0]["data"] == [0.25, 0.25, 0.5, 1.0, 0.0, 0.0]
    assert told["outputs"][1]["data"] == ['hi"gh', "low"]


def test_what_answered_in_anothers_place_is_marked() -> None:
    found = named("0.5", BINARY, version=AnsweringVersion(fallback="constant:0.5"), logged=False)
    assert (found["fallback"], found["logged"]) == ("constant:0.5", False)


def test_many_answers_are_a_list_in_order() -> None:
    answers = [answer("0.5", entity=name) for name in ("b", 'a\n"')]
    found = json.loads(named_answers(answers, "churn", BINARY, many=True))
    assert [each["entity"] for each in found["predictions"]] == ["b", 'a\n"']


def test_outputs_come_in_json_or_in_bytes_as_asked() -> None:
    answers = [answer("0.25"), answer("0.5")]
    told, tail = inferred(answers, BINARY, asked(name="r1"))
    assert (told["model_name"], told["model_version"], told["id"], tail) == ("churn", "3", "r1", b"")
    told, tail = inferred(answers, BINARY, asked({"probability": True, "version": False}))
    assert [each["name"] for each in told["outputs"]] == ["probability", "version"]
    assert told["outputs"][0]["parameters"] == {"binary_data_size": 16}
    assert struct.unpack("<2d", tail) == (0.25, 0.5)
    told, tail = inferred(answers, BINARY, asked({"version": True}))
    assert tail == struct.pack("<I", 7) + b"churn:3" + struct.pack("<I", 7) + b"churn:3"
    told, tail = inferred(answers, BINARY, asked(binary=True))
    assert sum(each["parameters"]["binary_data_size"] for each in told["outputs"]) == len(tail)


def test_two_versions_in_one_answer_are_told_row_by_row() -> None:
    answers = [answer("0.25"), answer("0.5", version=AnsweringVersion("churn:4", "canary"))]
    told, _ = inferred(answers, BINARY, asked())
    assert "model_version" not in told
    assert told["outputs"][-1]["data"] == ["churn:3", "churn:4"]


def test_an_output_that_is_none_is_refused() -> None:
    check_outputs(asked({"probability": True}), BINARY)
    with pytest.raises(BadRequestError, match="probability or prediction_id or version"):
        check_outputs(asked({"label": False}), BINARY)


def test_metadata_tells_every_tensor() -> None:
    features = (FeatureColumn("a", "numeric"), FeatureColumn("b", "text"), FeatureColumn("c", "array", 4))
    told = json.loads(inference_metadata("churn", ["3"], features, CLASSES))
    assert [(each["name"], each["datatype"], each["shape"]) for each in told["inputs"]] == [
        ("a", "FP64", [-1]), ("b", "BYTES", [-1]), ("c", "FP64", [-1, 4]),
    ]  # fmt: skip
    assert told["outputs"][0] == {"name": "probabilities", "datatype": "FP64", "shape": [-1, 3]}


@given(st.binary(max_size=2_000))
def test_what_is_packed_is_unpacked(body: bytes) -> None:
    assert unpacked(packed(body), "gzip", most=2_000) == body == gzip.decompress(packed(body))
    assert unpacked(zlib.compress(body), "deflate", most=2_000) == body


@pytest.mark.parametrize(
    ("body", "coding", "status"),
    [
        (gzip.compress(b"x" * 50_000_000, 9, mtime=0), "gzip", 413),
        (gzip.compress(b"x" * 1_001, mtime=0), "gzip", 413),
        (gzip.compress(b"xx", mtime=0)[:-1], "gzip", 400),
        (gzip.compress(b"xx", mtime=0) + b"more", "gzip", 400),
        (gzip.compress(b"x", mtime=0) + gzip.compress(b"x" * 50_000_000, mtime=0), "gzip", 400),
        (b"xx", "gzip", 400),
        (b"", "gzip", 400),
        (b"xx", "deflate", 400),
        (b"xx", "br", 415),
        (b"xx", "gzip, gzip", 415),
    ],
)
def test_a_packed_body_is_limited_and_whole(body: bytes, coding: str, status: int) -> None:
    with pytest.raises(BadRequestError) as caught:
        unpacked(body, coding, most=1_000)
    assert caught.value.status == status
