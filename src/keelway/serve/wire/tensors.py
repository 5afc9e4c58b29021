"""Tensors of the Open Inference Protocol: their data as JSON or as bytes, to columns and back.

A value that is missing is null in JSON; in binary numbers it is NaN, because bytes have no null. Binary data is little
endian, row after row; a text is its length in four bytes, then its bytes in UTF-8.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

import msgspec

from keelway.errors import BadRequestError
from keelway.features import FeatureColumn
from keelway.serve.wire.columns import LARGEST, MAX_TEXT, MAX_WORDS, Number
from keelway.serve.wire.refusal import decoded, refused, shown

Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"
]  # fmt: skip
Scalar = str | int | float | bool | None
_FORMATS = {
    "BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "INT8": "b", "INT16": "h", "INT32": "i",
    "INT64": "q", "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip


class InputTensor(msgspec.Struct, forbid_unknown_fields=True):
    """One input as it is sent."""

    name: str
    shape: Annotated[list[Annotated[int, msgspec.Meta(ge=0, le=2**31)]], msgspec.Meta(min_length=1, max_length=2)]
    datatype: Datatype
    parameters: dict[str, Scalar] | msgspec.UnsetType = msgspec.UNSET
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET

    @property
    def binary_size(self) -> int | None:
        """Bytes of its data after the JSON; None where the JSON holds it."""
        size = None if self.parameters is msgspec.UNSET else self.parameters.get("binary_data_size")
        return size if type(size) is int else None

    @property
    def count(self) -> int:
        """How many elements its shape has."""
        return math.prod(self.shape)


def elements(tensor: InputTensor, binary: memoryview | None, field: str) -> list[Any]:
    """Return all elements of a tensor in row order; what is missing is None.

    Raises:
        BadRequestError: The data is not of the type, or not as many as the shape says.
    """
    if binary is not None:
        found = _texts(binary, field) if tensor.datatype == "BYTES" else _numbers(tensor, binary, field)
    elif tensor.data is msgspec.UNSET:
        raise refused(f"{field}.data", "data, or binary_data_size in its parameters", "neither")
    else:
        found = _from_json(tensor, f"{field}.data")
    if len(found) != tensor.count:
        expected = f"{tensor.count} elements, as shape {tensor.shape} says"
        raise refused(f"{field}.data", expected, str(len(found)))
    return found


def column(feature: FeatureColumn, values: list[Any], tensor: InputTensor, rows: int, field: str) -> list[Any]:
    """Return a feature's value for each row from the elements of its tensor.

    Raises:
        BadRequestError: The tensor does not suit the feature.
    """
    wide = feature.length if feature.kind == "array" else 1
    shapes = [[rows, wide]] if feature.kind == "array" else [[rows], [rows, 1]]
    if tensor.shape not in shapes:
        raise refused(f"{field}.shape", " or ".join(map(str, shapes)), str(tensor.shape))
    texts = feature.kind in {"categorical", "text"}
    if texts != (tensor.datatype == "BYTES"):
        raise refused(f"{field}.datatype", "BYTES" if texts else "a datatype of numbers", tensor.datatype)
    if texts:
        longest = MAX_WORDS if feature.kind == "text" else MAX_TEXT
        if any(value is not None and len(value) > longest for value in values):
            raise refused(f"{field}.data", f"texts of length <= {longest}", "a longer one")
        return values
    if feature.kind == "array":
        if None in values:
            raise refused(f"{field}.data", "numbers", "null")
        return [values[start : start + wide] for start in range(0, len(values), wide)]
    return values


def binary_texts(texts: Sequence[str]) -> bytes:
    """Return texts as the binary extension writes BYTES."""
    encoded = [text.encode() for text in texts]
    return b"".join([struct.pack("<I", len(each)) + each for each in encoded])


def binary_numbers(numbers: Sequence[float]) -> bytes:
    """Return numbers as the binary extension writes FP64."""
    return struct.pack(f"<{len(numbers)}d", *numbers)


def _json_type(datatype: str) -> Any:
    """Return the type of an element in JSON."""
    if datatype == "BYTES":
        return str | None
    if datatype == "BOOL":
        return bool | None
    if datatype.startswith("FP"):
        return Number | None
    bits = int(datatype.lstrip("UINT"))
    low, high = (0, 2**bits) if datatype.startswith("U") else (-(2 ** (bits - 1)), 2 ** (bits - 1))
    # msgspec's bounds are those of a signed integer of 64 bits; what lies above them is refused by itself.
    return Annotated[int, msgspec.Meta(ge=max(low, -(2**63)), le=min(high - 1, 2**63 - 1))] | None


_FLAT: dict[str, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(list[_json_type(name)])  # type: ignore[misc]
    for name in get_args(Datatype)
}
_NESTED: dict[str, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(list[list[_json_type(name)]])  # type: ignore[misc]
    for name in get_args(Datatype)
}


def _from_json(tensor: InputTensor, field: str) -> list[Any]:
    """Return the elements of a flat list, or of a list of rows."""
    assert isinstance(tensor.data, msgspec.Raw)
    nested = len(tensor.shape) == 2 and bytes(tensor.data).lstrip()[1:].lstrip()[:1] == b"["
    if not nested:
        found = decoded(_FLAT[tensor.datatype], tensor.data, at=field)
    else:
        rows = decoded(_NESTED[tensor.datatype], tensor.data, at=field)
        if any(len(row) != tensor.shape[1] for row in rows):
            raise refused(field, f"rows of {tensor.shape[1]} elements", "a row of another length")
        found = [value for row in rows for value in row]
    if tensor.datatype == "BYTES":
        return list(found)
    return [None if value is None else float(value) for value in found]


def _numbers(tensor: InputTensor, binary: memoryview, field: str) -> list[float | None]:
    if tensor.count > len(binary):
        raise _wrong_size(field, tensor.count, len(binary))
    layout = f"<{tensor.count}{_FORMATS[tensor.datatype]}"
    if len(binary) != (size := struct.calcsize(layout)):
        raise _wrong_size(field, size, len(binary))
    values = struct.unpack(layout, binary)
    if not tensor.datatype.startswith("FP"):
        return [float(value) for value in values]
    found = [None if value != value else value for value in values]  # noqa: PLR0124  (NaN is what is not itself)
    if any(value is not None and not -LARGEST <= value <= LARGEST for value in found):
        raise refused(f"{field}.data", "finite numbers of 32 bits, or NaN where one is missing", "a larger one")
    return found


def _texts(binary: memoryview, field: str) -> list[str]:
    found, at = [], 0
    while at < len(binary):
        end = at + 4
        if end > len(binary):
            raise _wrong_size(field, end, len(binary))
        at, end = end, end + int.from_bytes(binary[at:end], "little")
        if end > len(binary):
            raise _wrong_size(field, end, len(binary))
        try:
            found.append(bytes(binary[at:end]).decode())
        except UnicodeDecodeError as error:
            raise refused(f"{field}.data", "texts in UTF-8", shown(str(error.reason))) from error
        at = end
    return found


def _wrong_size(field: str, expected: int, found: int) -> BadRequestError:
    return refused(f"{field}.parameters.binary_data_size", f"{expected} bytes", str(found))
