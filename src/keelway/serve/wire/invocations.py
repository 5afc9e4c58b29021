"""Reads what MLflow's scoring server takes: one of four layouts in JSON, or CSV with a header line.

    {"dataframe_split": {"columns": ["recency_d", "plan"], "data": [[12.5, "gold"]]}}
    {"dataframe_records": [{"recency_d": 12.5, "plan": "gold"}]}
    {"instances": [{"recency_d": 12.5, "plan": "gold"}]}      or rows in the model's order: [[12.5, "gold"]]
    {"inputs": {"recency_d": [12.5], "plan": ["gold"]}}       or either form of `instances`

Columns come in any order; `entity` and `as_of` may stand beside the features. Unlike MLflow, an unknown column is
refused, and so is a missing one. A bare `NaN`, which is no JSON, is read as null: so writes MLflow's own client what is
missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from keelway.errors import BadRequestError
from keelway.features import FeatureColumn
from keelway.serve.wire.columns import (
    AS_OF,
    ENTITY,
    EntityText,
    Moment,
    Number,
    Row,
    WireLimits,
    check_rows,
    rows_of,
    value_type,
)
from keelway.serve.wire.refusal import decoded, missing, refuse_repeated_names, refuse_repeats, refused, shown, unknown

LAYOUTS = ("dataframe_split", "dataframe_records", "instances", "inputs")
MOST_ORDERS = 16  # orders of columns whose decoders are kept

_NAN = re.compile(rb'"(?:[^"\\]|\\.)*"|NaN')
_CELL = re.compile(r"\[\d+\]\[(\d+)\]")


class InvocationRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The outer object: exactly one layout, and parameters that a model here has none of."""

    dataframe_split: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    dataframe_records: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    instances: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    inputs: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    params: dict[str, msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET


class SplitFrame(msgspec.Struct, forbid_unknown_fields=True):
    """What `DataFrame.to_dict("split")` gives; the index is passed over."""

    columns: list[str]
    data: msgspec.Raw
    index: list[Number | str] | msgspec.UnsetType | None = msgspec.UNSET


class InvocationReader:
    """Reads invocations for one list of features."""

    def __init__(self, features: Sequence[FeatureColumn], *, limits: WireLimits) -> None:
        self._limits = limits
        self._names = tuple(feature.name for feature in features)
        self._types: dict[str, Any] = {ENTITY: EntityText, AS_OF: Moment | None}
        self._types |= {feature.name: value_type(feature) for feature in features}
        extra = [name for name in (ENTITY, AS_OF) if name not in self._names]
        fields = [(f"f{index}", self._types[name]) for index, name in enumerate(self._names)]
        rename = {f"f{index}": name for index, name in enumerate(self._names)}
        beside = [(name, self._types[name] | msgspec.UnsetType, msgspec.UNSET) for name in extra]
        lists = [(name, list[type_]) for name, type_ in fields]  # type: ignore[valid-type]
        lists_beside = [(name, list[self._types[name]] | msgspec.UnsetType, msgspec.UNSET) for name in extra]  # type: ignore[name-defined]
        record = msgspec.defstruct("Record", [*fields, *beside], rename=rename, forbid_unknown_fields=True)
        columns = msgspec.defstruct("Columns", [*lists, *lists_beside], rename=rename, forbid_unknown_fields=True)
        self._outer: msgspec.json.Decoder[InvocationRequest] = msgspec.json.Decoder(InvocationRequest)
        self._split: msgspec.json.Decoder[SplitFrame] = msgspec.json.Decoder(SplitFrame)
        self._records: msgspec.json.Decoder[Any] = msgspec.json.Decoder(list[record])  # type: ignore[valid-type]
        self._columns: msgspec.json.Decoder[Any] = msgspec.json.Decoder(columns)
        self._orders: dict[tuple[str, ...], msgspec.json.Decoder[Any]] = {}

    def read(self, body: bytes, *, now: datetime) -> list[Row]:
        """Return the rows of a JSON body.

        Raises:
            BadRequestError: The body is refused.
        """
        if b"NaN" in body:
            body = _NAN.sub(lambda found: b"null" if found[0] == b"NaN" else found[0], body)
        outer = decoded(self._outer, body)
        given = [name for name in LAYOUTS if getattr(outer, name) is not msgspec.UNSET]
        if len(given) != 1:
            raise refused("$", "exactly one of " + ", ".join(LAYOUTS), ", ".join(given) or "none of them")
        if outer.params:
            raise refused("$.params", "no parameters: models here take none", shown(", ".join(outer.params)))
        layout = given[0]
        part: msgspec.Raw = getattr(outer, layout)
        keys = 1 + (outer.params is not msgspec.UNSET)
        first = bytes(part).lstrip()[:1]
        if layout == "dataframe_split":
            read: Callable[..., list[Row]] = self._read_split
        elif layout == "inputs" and first == b"{":
            read = self._read_columns
        elif layout != "dataframe_records" and bytes(part).lstrip()[1:].lstrip()[:1] == b"[":
            read = self._read_lists
        else:
            read = self._read_records
        return read(part, f"$.{layout}", body, keys, now)

    def read_table(self, names: list[str], cells: list[list[Any]], *, now: datetime) -> list[Row]:
        """Return the rows of a table whose cells are typed already (CSV)."""
        by_name = dict(zip(names, zip(*cells, strict=True), strict=True))
        return self._rows(by_name, len(cells), "$", now)

    def check_names(self, names: list[str], field: str) -> None:
        """Refuse names of columns that are unknown, missing or repeated.

        Raises:
            BadRequestError: One is.
        """
        if tuple(names) in self._orders:
            return
        refuse_repeated_names(names, field)
        given = set(names)
        for name in names:
            if name not in self._types:
                raise unknown(field, name)
        for name in self._names:
            if name not in given:
                raise missing(field, name)

    def _read_split(self, part: msgspec.Raw, field: str, body: bytes, keys: int, now: datetime) -> list[Row]:
        split = decoded(self._split, part, at=field)
        self.check_names(split.columns, f"{field}.columns")
        cells = self._cells(tuple(split.columns), split.data, f"{field}.data")
        keys += 2 + len(split.columns)
        if split.index is not msgspec.UNSET:
            keys += 1 + sum(isinstance(each, str) for each in split.index or ())
        columns = dict(zip(split.columns, zip(*cells, strict=True), strict=True)) if cells else {}
        refuse_repeats(body, keys + _texts(columns))
        return self._rows(columns, len(cells), f"{field}.data", now)

    def _read_lists(self, part: msgspec.Raw, field: str, body: bytes, keys: int, now: datetime) -> list[Row]:
        cells = self._cells(self._names, part, field)
        columns = dict(zip(self._names, zip(*cells, strict=True), strict=True)) if cells else {}
        refuse_repeats(body, keys + _texts(columns))
        return self._rows(columns, len(cells), field, now)

    def _read_records(self, part: msgspec.Raw, field: str, body: bytes, keys: int, now: datetime) -> list[Row]:
        records = decoded(self._records, part, at=field)
        names = [*self._names, *(name for name in (ENTITY, AS_OF) if name not in self._names)]
        tuples = zip(*map(msgspec.structs.astuple, records), strict=True)
        columns: dict[str, Sequence[Any]] = dict(zip(names, tuples, strict=bool(records)))
        given = {name: values for name, values in columns.items() if any(each is not msgspec.UNSET for each in values)}
        for name in given.keys() - set(self._names):
            if any(each is msgspec.UNSET for each in given[name]):
                raise refused(f"{field}[...].{name}", "in every row or in none", "in some rows")
        refuse_repeats(body, keys + len(records) * len(given) + _texts(given))
        return self._rows(given, len(records), field, now)

    def _read_columns(self, part: msgspec.Raw, field: str, body: bytes, keys: int, now: datetime) -> list[Row]:
        found = decoded(self._columns, part, at=field)
        names = [*self._names, *(name for name in (ENTITY, AS_OF) if name not in self._names)]
        values = zip(names, msgspec.structs.astuple(found), strict=True)
        columns = {name: each for name, each in values if each is not msgspec.UNSET}
        count = len(columns[self._names[0]])
        for name, each in columns.items():
            if len(each) != count:
                raise refused(f"{field}.{name}", f"{count} values, as in {self._names[0]}", str(len(each)))
        refuse_repeats(body, keys + len(columns) + _texts(columns))
        return self._rows(columns, count, field, now)

    def _cells(self, names: tuple[str, ...], data: msgspec.Raw, field: str) -> list[tuple[Any, ...]]:
        """Return rows whose cells come in some order, each of the type of its column."""
        decoder = self._orders.get(names)
        if decoder is None:
            row = tuple[tuple(self._types[name] for name in names)]  # type: ignore[misc,valid-type]
            decoder = msgspec.json.Decoder(list[row])  # type: ignore[valid-type]
            if len(self._orders) < MOST_ORDERS:
                self._orders[names] = decoder
        try:
            cells: list[tuple[Any, ...]] = decoded(decoder, data, at=field)
        except BadRequestError as error:
            cell = _CELL.search(error.field)
            error.field += f" ({shown(names[int(cell[1])])})" if cell else ""
            raise
        return cells

    def _rows(self, columns: Mapping[str, Sequence[Any]], count: int, field: str, now: datetime) -> list[Row]:
        check_rows(count, self._limits, field)
        return rows_of(
            [columns[name] for name in self._names],
            entities=None if ENTITY in self._names else columns.get(ENTITY),
            as_ofs=None if AS_OF in self._names else columns.get(AS_OF),
            now=now,
        )


def _texts(columns: Mapping[str, Sequence[Any]]) -> int:
    """Count the values that were texts in JSON."""
    return sum(
        isinstance(value, (str, datetime)) for values in columns.values() for value in values if value is not None
    )
