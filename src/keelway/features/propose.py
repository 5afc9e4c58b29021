"""A feature set proposed from a dataset's contract, as code that a person reads and edits.

What a column is decides what is made of it: a number gives sums and means, a category its mode and how many there
are, a time how long ago, a text its length. A column that names a person, a row or another table gives nothing. The
same contract always gives the same text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from keelway.contract import Column, Contract, PiiClass
from keelway.errors import UsageError
from keelway.features.proposed_source import FeaturePlan, source_of
from keelway.project import Dataset

LONG_TEXT = 64
"""A text that may have more characters than this is prose and not a category."""
_PROSE = {
    "text", "comment", "comments", "description", "message", "body", "note", "notes", "review", "summary", "title",
}  # fmt: skip
_NAMES_A_ROW = re.compile(r"(^|_)(id|uuid|guid|key|number|no|nr)$", re.IGNORECASE)


def auto_features(dataset: Dataset, contract: Contract, *, entity: str = "") -> str:
    """Return Python code that declares a feature set over a dataset, formatted as ruff formats it.

    The code uses the dataset's variable, named like the dataset, and so belongs below its declaration.

    Args:
        entity: The column that features are made for; where none is given, the one that can only be meant.

    Raises:
        UsageError: The entity is no column or cannot be told, or nothing can be made of the other columns.
    """
    plan = _plan(dataset, contract, entity or _entity(dataset, contract))
    return source_of(plan)


def _entity(dataset: Dataset, contract: Contract) -> str:
    """Return the column that can only be meant: the person, what a static table has a row for, or the one other id."""
    persons = [column.name for column in contract.columns if column.pii is PiiClass.SUBJECT]
    key = dataset.keys or contract.key
    if dataset.is_static and len(key) == 1:
        return key[0]
    ids = [
        column.name
        for column in contract.columns
        if column.name not in key and not column.unique and not column.pii and _NAMES_A_ROW.search(column.name)
    ]
    candidates = persons or ids
    if len(candidates) != 1:
        raise UsageError(
            f"The entity of {dataset.name!r} cannot be told from its contract",
            expected="one column that names a person or thing",
            found=", ".join(candidates) or "none",
            fix="Name it: keelway features propose DATASET --entity COLUMN.",
        )
    return candidates[0]


def _plan(dataset: Dataset, contract: Contract, entity: str) -> FeaturePlan:
    if contract.column(entity) is None:
        names = ", ".join(column.name for column in contract.columns)
        raise UsageError(f"Dataset {dataset.name!r} has no column {entity!r}", expected=names, found=entity)
    key = dataset.keys or contract.key
    kinds: dict[str, list[str]] = {"number": [], "boolean": [], "category": [], "text": [], "time": []}
    left_out = []
    for column in contract.columns:
        if column.name in (entity, dataset.event_time):
            continue
        if why := _why_not(column, key):
            left_out.append((column.name, why))
        else:
            kinds[_kind(column)].append(column.name)
    if dataset.is_static and not any(kinds.values()):  # with a time there is always how recently and how often
        raise UsageError(
            f"Nothing can be made of the columns of {dataset.name!r}",
            expected="a number, a truth value, a category, a text or a time",
            found=", ".join(f"{name} ({why})" for name, why in left_out) or "no other column",
        )
    time = contract.column(dataset.event_time)
    return FeaturePlan(
        dataset=dataset.name,
        entity=entity,
        event_time=dataset.event_time,
        has_clock=time is not None and time.kind == "timestamp",
        one_row_each=dataset.is_static and tuple(key) == (entity,),
        numbers=tuple(kinds["number"]),
        truths=tuple(kinds["boolean"]),
        categories=tuple(kinds["category"]),
        texts=tuple(kinds["text"]),
        times=tuple(kinds["time"]),
        left_out=tuple(left_out),
    )


def _why_not(column: Column, key: Sequence[str]) -> str:
    if column.pii:
        return "names a person"
    if column.name in key or column.unique:
        return "names a row"
    if column.kind in ("string", "integer") and _NAMES_A_ROW.search(column.name):
        return "an id"
    return ""


def _kind(column: Column) -> str:
    if column.kind in ("integer", "number"):
        return "number"
    if column.kind in ("date", "timestamp"):
        return "time"
    if column.kind == "boolean":
        return "boolean"
    prose = bool({*re.split(r"[^a-z]+", column.name.lower())} & _PROSE) or (column.max_length or 0) > LONG_TEXT
    return "text" if prose and not column.allowed else "category"
