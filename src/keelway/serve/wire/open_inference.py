"""Reads inference requests of the Open Inference Protocol (v2) over HTTP, with its binary tensor data extension.

    {"inputs": [{"name": "recency_d", "shape": [2], "datatype": "FP64", "data": [12.5, null]},
                {"name": "plan", "shape": [2], "datatype": "BYTES", "data": ["gold", "free"]}]}

Each feature is a tensor with one element a row; a model that has only numbers also takes one tensor, rows x features,
in the model's order. `entity` and `as_of` may be tensors of BYTES beside the features. The protocol is described at
https://kserve.github.io/website (Open Inference Protocol), the extension in Triton's "Binary Tensor Data Extension".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from keelway.errors import BadRequestError
from keelway.features import FeatureColumn
from keelway.serve.wire.columns import AS_OF, ENTITY, MAX_ENTITY, Moment, Row, WireLimits, check_rows, rows_of
from keelway.serve.wire.refusal import (
    decoded,
    missing,
    refuse_repeated_names,
    refuse_repeats,
    refused,
    shown,
    unknown,
)
from keelway.serve.wire.tensors import InputTensor, Scalar, column, elements

MAX_ID = 200  # characters


class OutputTensor(msgspec.Struct, forbid_unknown_fields=True):
    """One output as it is asked for."""

    name: str
    parameters: dict[str, Scalar] | msgspec.UnsetType = msgspec.UNSET


class InferenceRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON of an inference request."""

    inputs: list[InputTensor]
    id: str | msgspec.UnsetType | None = msgspec.UNSET
    parameters: dict[str, Scalar] | msgspec.UnsetType = msgspec.UNSET
    outputs: list[OutputTensor] | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class InferenceAsked:
    """What a request asks for.

    Attributes:
        id: Comes back in the answer; empty where there was none.
        outputs: Name of an output to whether it is asked for in bytes; None asks for all of them.
        binary: Whether outputs that say nothing themselves are asked for in bytes.
    """

    rows: list[Row]
    id: str
    outputs: dict[str, bool] | None
    binary: bool


class InferenceReader:
    """Reads inference requests for one list of features."""

    def __init__(self, features: Sequence[FeatureColumn], *, limits: WireLimits) -> None:
        self._features = tuple(features)
        self._names = tuple(feature.name for feature in features)
        self._limits = limits
        self._beside = tuple(name for name in (ENTITY, AS_OF) if name not in self._names)
        self._numeric = all(feature.kind == "numeric" for feature in features)
        self._request: msgspec.json.Decoder[InferenceRequest] = msgspec.json.Decoder(InferenceRequest)
        self._moments: msgspec.json.Decoder[Any] = msgspec.json.Decoder(list[Moment | None])

    def read(self, body: bytes, *, json_bytes: int | None, now: datetime) -> InferenceAsked:
        """Return what a body asks for.

        Args:
            json_bytes: How much of the body is JSON (`Inference-Header-Content-Length`); None for all of it.

        Raises:
            BadRequestError: The body is refused.
        """
        if json_bytes is not None and not 0 < json_bytes <= len(body):
            raise refused("Inference-Header-Content-Length", f"1 to {len(body)}, the size of the body", str(json_bytes))
        text = body if json_bytes is None else body[:json_bytes]
        request = decoded(self._request, text)
        refuse_repeats(text, _texts(request))
        if request.id and len(request.id) > MAX_ID:
            raise refused("$.id", f"a text of length <= {MAX_ID}", str(len(request.id)))
        refuse_repeated_names([each.name for each in request.inputs], "$.inputs")
        parts = _parts(request.inputs, memoryview(body)[len(text) :])
        rows = self._rows(request.inputs, parts, now)
        outputs = None
        binary = bool(_parameters(request.parameters).get("binary_data_output"))
        if request.outputs is not msgspec.UNSET and request.outputs:
            refuse_repeated_names([each.name for each in request.outputs], "$.outputs")
            outputs = {
                each.name: bool(_parameters(each.parameters).get("binary_data", binary)) for each in request.outputs
            }
        return InferenceAsked(rows, request.id or "", outputs, binary)

    def _rows(self, inputs: list[InputTensor], parts: list[memoryview | None], now: datetime) -> list[Row]:
        if not inputs:
            raise missing("$.inputs", self._names[0])
        fields = [f"$.inputs[{at}]" for at in range(len(inputs))]
        rows = inputs[0].shape[0]
        check_rows(rows, self._limits, "$.inputs[0].shape")
        found = {
            tensor.name: (tensor, elements(tensor, part, field), field)
            for tensor, part, field in zip(inputs, parts, fields, strict=True)
        }
        beside = {name: self._column_beside(*found.pop(name), rows) for name in self._beside if name in found}
        columns = self._one_tensor(found, rows) or self._tensors(found, rows)
        as_ofs = beside.get(AS_OF)
        return rows_of(columns, entities=beside.get(ENTITY), as_ofs=as_ofs and self._as_ofs(as_ofs), now=now)

    def _tensors(self, found: dict[str, tuple[InputTensor, list[Any], str]], rows: int) -> list[list[Any]]:
        """Return the columns of a request with a tensor for each feature."""
        for name, (_, _, field) in found.items():
            if name not in self._names:
                raise unknown(field, name)
        columns = []
        for feature in self._features:
            if feature.name not in found:
                raise missing("$.inputs", feature.name)
            tensor, values, field = found[feature.name]
            columns.append(column(feature, values, tensor, rows, field))
        return columns

    def _one_tensor(self, found: dict[str, tuple[InputTensor, list[Any], str]], rows: int) -> list[list[Any]]:
        """Return the columns of a request with all features in one tensor; empty where it is no such request."""
        if len(found) != 1 or not self._numeric:
            return []
        name, (tensor, values, field) = next(iter(found.items()))
        if name in self._names or len(tensor.shape) != 2:
            return []
        wide = len(self._names)
        if tensor.shape[1] != wide:
            raise refused(f"{field}.shape", f"[{rows}, {wide}], a column a feature", str(tensor.shape))
        if tensor.datatype == "BYTES":
            raise refused(f"{field}.datatype", "a datatype of numbers", "BYTES")
        return [values[at::wide] for at in range(wide)]

    @staticmethod
    def _column_beside(tensor: InputTensor, values: list[Any], field: str, rows: int) -> list[str]:
        """Return the texts of a tensor that is no feature."""
        if tensor.datatype != "BYTES" or tensor.shape not in ([rows], [rows, 1]):
            raise refused(field, f"BYTES of shape [{rows}]", f"{tensor.datatype} of shape {tensor.shape}")
        if not all(value and len(value) <= MAX_ENTITY for value in values):
            raise refused(f"{field}.data", f"texts of length 1 to {MAX_ENTITY}", "another one")
        return values

    def _as_ofs(self, texts: list[str]) -> list[datetime]:
        """Return times written as RFC 3339."""
        moments: list[datetime] = decoded(self._moments, msgspec.json.encode(texts), at="$.inputs.as_of")
        return moments


def _parameters(given: dict[str, Scalar] | msgspec.UnsetType) -> dict[str, Scalar]:
    return {} if isinstance(given, msgspec.UnsetType) else given


def _parts(inputs: list[InputTensor], tail: memoryview) -> list[memoryview | None]:
    """Return the bytes of each tensor that come after the JSON, in the order of the tensors."""
    parts: list[memoryview | None] = []
    at = 0
    for number, tensor in enumerate(inputs):
        size = tensor.binary_size
        if size is None:
            parts.append(None)
            continue
        field = f"$.inputs[{number}]"
        if tensor.data is not msgspec.UNSET:
            raise refused(f"{field}.data", "data or binary_data_size", "both")
        if not 0 <= size <= len(tail) - at:
            raise refused(
                f"{field}.parameters.binary_data_size",
                f"at most {len(tail) - at} bytes after the JSON",
                shown(str(size)),
            )
        parts.append(tail[at : at + size])
        at += size
    if at != len(tail):
        raise BadRequestError(
            "The body is longer than its tensors", expected=f"{at} bytes after the JSON", found=str(len(tail)),
            field="Inference-Header-Content-Length", status=400,
        )  # fmt: skip
    return parts


def _texts(request: InferenceRequest) -> int:
    """Count the keys and texts of a request."""
    texts = 1 + _optional(request.id) + isinstance(request.id, str)
    texts += _optional(request.outputs) + _optional(request.parameters) + _counted(request.parameters)
    for tensor in request.inputs:
        texts += 5 + _optional(tensor.parameters) + _counted(tensor.parameters)
        if isinstance(tensor.data, msgspec.Raw):
            texts += 1 + bytes(tensor.data).count(b'"') // 2
    for output in () if isinstance(request.outputs, msgspec.UnsetType) else request.outputs:
        texts += 2 + _optional(output.parameters) + _counted(output.parameters)
    return texts


def _optional(value: object) -> int:
    return value is not msgspec.UNSET


def _counted(parameters: dict[str, Scalar] | msgspec.UnsetType) -> int:
    given = _parameters(parameters)
    return len(given) + sum(isinstance(value, str) for value in given.values())
