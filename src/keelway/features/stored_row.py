"""How an online store writes down a row and a cut: MessagePack, whatever the engine."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from keelway.errors import FeatureError
from keelway.features.ports import OnlineCut, OnlineRow, OnlineValue

UNREADABLE = msgspec.DecodeError
"""What is raised for bytes that hold no row and no cut."""

_encode = msgspec.msgpack.Encoder().encode
_decode_values = msgspec.msgpack.Decoder(list[float | str | list[float] | None]).decode
_decode_cut = msgspec.msgpack.Decoder(OnlineCut).decode


def cut_bytes(cut: OnlineCut) -> bytes:
    """Return a cut as bytes."""
    return _encode(cut)


def cut_of_bytes(data: bytes) -> OnlineCut:
    """Return the cut that bytes hold."""
    return _decode_cut(data)


def row_bytes(cut: OnlineCut, values: Sequence[OnlineValue]) -> bytes:
    """Return a row's values as bytes.

    Raises:
        FeatureError: There are more or fewer values than the cut has features.
    """
    if len(values) != len(cut.features):
        raise FeatureError(
            f"A row of {cut.model!r} has another number of values than there are features",
            expected=str(len(cut.features)),
            found=str(len(values)),
        )
    return _encode(values)


def row_of_bytes(cut: OnlineCut, entity: str, data: bytes) -> OnlineRow:
    """Return the row of a cut that bytes hold."""
    names = (feature.name for feature in cut.features)
    return OnlineRow(entity, cut.as_of, cut.definition, dict(zip(names, _decode_values(data), strict=True)))


def entity_twice(cut: OnlineCut) -> FeatureError:
    """Return the error for an entity that has two rows."""
    return FeatureError(f"An entity of {cut.model!r} comes twice", expected="each entity once")


def check_rows(cut: OnlineCut, written: int) -> None:
    """Raise FeatureError where other rows were written than a cut says it has."""
    if written != cut.rows:
        raise FeatureError(
            f"The cut of {cut.model!r} has another number of rows", expected=str(cut.rows), found=str(written)
        )
