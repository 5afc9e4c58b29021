"""Requests of the Open Inference Protocol, read to rows: in JSON, in bytes, and what is refused."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.errors import BadRequestError
from keelway.features import FeatureColumn
from keelway.serve.wire import InferenceReader, WireLimits

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FEATURES = (
    FeatureColumn("recency_d", "numeric"),
    FeatureColumn("plan", "categorical"),
    FeatureColumn("spend", "array", 2),
)
NUMBERS = (FeatureColumn("a", "numeric"), FeatureColumn("b", "numeric"))
LIMITS = WireLimits(rows=3)


def read(body: Any, features: tuple[FeatureColumn, ...] = FEATURES, tail: bytes = b"") -> Any:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    reader = InferenceReader(features, limits=LIMITS)
    return reader.read(text + tail, json_bytes=len(text) if tail else None, now=NOW)


def tensor(name: str, data: Any, datatype: str = "FP64", shape: Any = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape or [len(data)], "data": data, **more}


GOOD = [
    tensor("recency_d", [12.5, None]),
    tensor("plan", ["gold", None], "BYTES"),
    tensor("spend", [1, 2, 3, 4], "FP32", [2, 2]),
]
ROWS = [("", NOW, [12.5, "gold", [1.0, 2.0]]), ("", NOW, [None, None, [3.0, 4.0]])]


def test_a_tensor_a_feature_in_any_order() -> None:
    assert read({"inputs": GOOD}).rows == ROWS
    assert read({"inputs": GOOD[::-1]}).rows == ROWS


def test_columns_and_rows_of_tensors_may_be_nested() -> None:
    nested = [
        tensor("recency_d", [[12.5], [None]], shape=[2, 1]),
        tensor("plan", [["gold"], [None]], "BYTES", [2, 1]),
        tensor("spend", [[1, 2], [3, 4]], shape=[2, 2]),
    ]
    assert read({"inputs": nested}).rows == ROWS


def test_numbers_alone_may_come_in_one_tensor() -> None:
    whole = tensor("input-0", [1, 2, 3, 4], "INT64", [2, 2])
    assert read({"inputs": [whole]}, NUMBERS).rows == [("", NOW, [1.0, 2.0]), ("", NOW, [3.0, 4.0])]
    assert read({"inputs": [tensor("x", [[1, None]], shape=[1, 2])]}, NUMBERS).rows == [("", NOW, [1.0, None])]


def test_entity_and_time_are_tensors_beside_the_features() -> None:
    beside = [
        tensor("entity", ["00042", "7"], "BYTES"),
        tensor("as_of", ["2026-02-01T00:00:00Z", "2026-02-01T01:00:00+01:00"], "BYTES"),
    ]
    rows = read({"inputs": [*GOOD, *beside]}).rows
    assert [row[:2] for row in rows] == [(name, datetime(2026, 2, 1, tzinfo=UTC)) for name in ("00042", "7")]


def test_what_is_asked_of_outputs_is_told() -> None:
    asked = read({"inputs": GOOD, "id": "r1", "parameters": {"binary_data_output": True, "priority": 3}})
    assert (asked.id, asked.outputs, asked.binary) == ("r1", None, True)
    outputs = [{"name": "probability", "parameters": {"binary_data": True}}, {"name": "version"}]
    assert read({"inputs": GOOD, "outputs": outputs}).outputs == {"probability": True, "version": False}


DTYPES = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64,
    "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64, "FP16": np.float16,
    "FP32": np.float32, "FP64": np.float64,
}  # fmt: skip


@pytest.mark.parametrize("datatype", DTYPES)
def test_numbers_of_every_type_come_in_json_and_in_bytes(datatype: str) -> None:
    values = np.array([0, 1, 1], DTYPES[datatype])
    listed = values.tolist()
    expected = [("", NOW, [float(value), 2.0]) for value in listed]
    other = tensor("b", [2, 2, 2])
    assert read({"inputs": [tensor("a", listed, datatype), other]}, NUMBERS).rows == expected
    raw = values.tobytes()
    packed = {"name": "a", "shape": [3], "datatype": datatype, "parameters": {"binary_data_size": len(raw)}}
    assert read({"inputs": [packed, other]}, NUMBERS, raw).rows == expected


def test_what_is_missing_is_nan_in_bytes() -> None:
    raw = struct.pack("<2d", float("nan"), 1.0)
    packed = {"name": "x", "shape": [1, 2], "datatype": "FP64", "parameters": {"binary_data_size": 16}}
    assert read({"inputs": [packed]}, NUMBERS, raw).rows == [("", NOW, [None, 1.0])]


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=20), min_size=1, max_size=3))
def test_texts_come_through_bytes(texts: list[str]) -> None:
    encoded = [text.encode() for text in texts]
    raw = b"".join(struct.pack("<I", len(each)) + each for each in encoded)
    plan = {"name": "plan", "shape": [len(texts)], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}
    found = read({"inputs": [plan]}, FEATURES[1:2], raw)
    assert [row[2] for row in found.rows] == [[text] for text in texts]


BIG = {"name": "a", "shape": [3], "datatype": "UINT8", "parameters": {"binary_data_size": 3}}
WRONG: dict[str, tuple[Any, str]] = {
    "nothing": (b"", ""),
    "no inputs": ({}, "$.inputs"),
    "no tensors": ({"inputs": []}, "$.inputs.a"),
    "an unknown field": ({"inputs": [], "more": 1}, "$.more"),
    "a missing feature": ({"inputs": [tensor("a", [1])]}, "$.inputs.b"),
    "an unknown feature": ({"inputs": [tensor("a", [1]), tensor("c", [1])]}, "$.inputs[1].c"),
    "a repeated feature": ({"inputs": [tensor("a", [1]), tensor("a", [1])]}, "$.inputs"),
    "another datatype": ({"inputs": [tensor("a", [1], "BF16")]}, "$.inputs[0].datatype"),
    "texts for numbers": ({"inputs": [tensor("a", ["x"], "BYTES"), tensor("b", [1])]}, "$.inputs[0].datatype"),
    "a text among numbers": ({"inputs": [tensor("a", ["x"])]}, "$.inputs[0].data[0]"),
    "a fraction in INT": ({"inputs": [tensor("a", [1.5], "INT8")]}, "$.inputs[0].data[0]"),
    "a number out of range": ({"inputs": [tensor("a", [300], "UINT8")]}, "$.inputs[0].data[0]"),
    "a number too large": ({"inputs": [tensor("a", [1e39])]}, "$.inputs[0].data[0]"),
    "too few elements": ({"inputs": [tensor("a", [1], shape=[2])]}, "$.inputs[0].data"),
    "no data": ({"inputs": [{"name": "a", "shape": [1], "datatype": "FP64"}]}, "$.inputs[0].data"),
    "a negative shape": ({"inputs": [tensor("a", [1], shape=[-1])]}, "$.inputs[0].shape[0]"),
    "an enormous shape": ({"inputs": [tensor("a", [1], shape=[2**40])]}, "$.inputs[0].shape[0]"),
    "an empty shape": ({"inputs": [{"name": "a", "shape": [], "datatype": "FP64", "data": []}]}, "$.inputs[0].shape"),
    "no rows": ({"inputs": [tensor("a", [], shape=[0])]}, "$.inputs[0].shape"),
    "too many rows": ({"inputs": [tensor("a", [1] * 4)]}, "$.inputs[0].shape"),
    "rows of another length": ({"inputs": [tensor("x", [[1, 2], [3]], shape=[2, 2])]}, "$.inputs[0].data"),
    "a tensor of another width": ({"inputs": [tensor("x", [1, 2, 3], shape=[1, 3])]}, "$.inputs[0].shape"),
    "other rows": ({"inputs": [tensor("a", [1]), tensor("b", [1, 2])]}, "$.inputs[1].shape"),
    "an object for data": ({"inputs": [tensor("a", {"a": 1}, shape=[1])]}, "$.inputs[0].data"),
    "a nested parameter": ({"inputs": [], "parameters": {"a": {"b": 1}}}, "$.parameters[...]"),
    "a long id": ({"inputs": [], "id": "x" * 201}, "$.id"),
    "an entity of numbers": ({"inputs": [tensor("entity", [1])]}, "$.inputs[0]"),
    "a wrong time": (
        {"inputs": [tensor("a", [1]), tensor("b", [1]), tensor("as_of", ["soon"], "BYTES")]},
        "$.inputs.as_of[0]",
    ),
    "bytes that are not there": ({"inputs": [BIG]}, "$.inputs[0].parameters.binary_data_size"),
    "a repeated field": (b'{"inputs":[],"inputs":[]}', "inputs"),
}


@pytest.mark.parametrize(("body", "field"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_named(body: Any, field: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        read(body, NUMBERS)
    assert caught.value.field == field
    assert caught.value.expected


BYTES = {"shape": [1], "datatype": "BYTES"}
WRONG_BYTES: dict[str, tuple[dict[str, Any], bytes]] = {
    "far too few for the shape": ({**BIG, "shape": [3, 2**31]}, b"\0\0\0"),
    "too few for the shape": ({**BIG, "shape": [4]}, b"\0\0\0"),
    "more than the tensors have": (BIG, b"\0\0\0\0"),
    "infinity": ({**BIG, "shape": [1], "datatype": "FP16", "parameters": {"binary_data_size": 2}}, b"\0\x7c"),
    "data twice": ({**BIG, "data": [1, 2, 3]}, b"\0\0\0"),
    "a negative size": ({**BIG, "parameters": {"binary_data_size": -3}}, b"\0\0\0"),
    "a text cut off": ({**BYTES, "name": "plan", "parameters": {"binary_data_size": 6}}, b"\x05\0\0\0ab"),
    "half a length": ({**BYTES, "name": "plan", "parameters": {"binary_data_size": 2}}, b"\x05\0"),
    "no UTF-8": ({**BYTES, "name": "plan", "parameters": {"binary_data_size": 5}}, b"\x01\0\0\0\xff"),
    "a text too long": (
        {**BYTES, "name": "plan", "parameters": {"binary_data_size": 1005}},
        struct.pack("<I", 1001) + b"x" * 1001,
    ),
}


@pytest.mark.parametrize(("tensor_of", "tail"), WRONG_BYTES.values(), ids=WRONG_BYTES.keys())
def test_wrong_bytes_are_refused(tensor_of: dict[str, Any], tail: bytes) -> None:
    features = FEATURES[1:2] if tensor_of["name"] == "plan" else NUMBERS[:1]
    with pytest.raises(BadRequestError) as caught:
        read({"inputs": [tensor_of]}, features, tail)
    assert caught.value.expected


@pytest.mark.parametrize("size", [0, 10**9])
def test_the_size_of_the_json_lies_within_the_body(size: int) -> None:
    with pytest.raises(BadRequestError) as caught:
        InferenceReader(NUMBERS, limits=LIMITS).read(b"{}", json_bytes=size, now=NOW)
    assert caught.value.field == "Inference-Header-Content-Length"
