"""The records of this slice: a feature table, and the profile that later data is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from keelway.core import Digest
from keelway.features.sketch import QuantileSketch

Kind = Literal["numeric", "categorical", "text", "array"]
Purpose = Literal["training", "scoring"]


@dataclass(frozen=True, slots=True)
class FeatureColumn:
    """One feature: its name and what it holds.

    Attributes:
        kind: `numeric`, `categorical` (one of some levels), `text` (free words) or `array` (numbers of a fixed length).
        length: How many 32-bit numbers an array holds; 0 for everything else.
    """

    name: str
    kind: Kind
    length: int = 0


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """How the values of one column are spread: of a text its length in characters, of an array the mean of its numbers.

    Attributes:
        count: Values that are there; for a category also the empty one.
        nulls: Values that are missing; for a category or a text, how many of the values are empty.
        edges: Upper bounds of the bins, each inclusive; the last bin has none. Empty for a category, and where
            all are missing.
        counts: Values a bin, one more than there are edges.
        levels: Values a category: the most frequent ones by name, all others under `__other__`.
        mean: None where there is no number.
        std: Population standard deviation; None where there is no number.
        minimum: None where there is no number.
        maximum: None where there is no number.
        zeros: How many numbers are 0, which is what many functions give where they found nothing.
        sketch: Tells any quantile; None for a category, and in profiles of earlier versions.
    """

    kind: Kind
    count: int
    nulls: int
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    levels: dict[str, int] = field(default_factory=dict)
    mean: float | None = None
    std: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    zeros: int = 0
    sketch: QuantileSketch | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """How the values of a table are spread, column by column."""

    rows: int
    columns: dict[str, ColumnProfile]


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """Features of many entities at one cut date or several.

    Attributes:
        purpose: `training` or `scoring`.
        data: The Parquet artifact: `entity`, `as_of`, the features, and `label` with `label_known_at` where there
            is a label; sorted by `as_of` and `entity`. A label is int8 (0 or 1), text (the name of a class) or
            float64, by the model's task. For training, the columns that only split the rows stand there too.
        profile: Digest of the `Profile` record of the features.
        entity: The column of the datasets that names the entity.
        as_ofs: The cut dates that have rows to offer, in order; with a label only those that matured.
        label: The label's name, or None.
        horizon_s: Seconds from a cut date to the end of the label's horizon; 0 without a label or a horizon.
        snapshots: Dataset to digest of the snapshot record the rows were computed from.
        definition: Digest of what the model declares about features and label.
        cut_profiles: Digests of the `Profile` records of each cut date's rows, in the order of `as_ofs`.
    """

    model: str
    purpose: Purpose
    data: Digest
    profile: Digest
    entity: str
    as_ofs: tuple[datetime, ...]
    features: tuple[FeatureColumn, ...]
    label: str | None
    horizon_s: int
    rows: int
    snapshots: dict[str, Digest]
    definition: Digest
    cut_profiles: tuple[Digest, ...] = ()


@dataclass(frozen=True, slots=True)
class CutRows:
    """The rows of one cut date, kept so that a later table that asks for the same ones need not compute them.

    Attributes:
        key: Digest of everything the rows depend on; `keelway.features.reuse` says what that is.
        data: The Parquet artifact, as in a `FeatureTable` of this cut date alone.
        profile: Digest of the `Profile` record of the features.
    """

    model: str
    key: Digest
    as_of: datetime
    data: Digest
    profile: Digest
    features: tuple[FeatureColumn, ...]
    rows: int


def columns_apart(before: Sequence[FeatureColumn], after: Sequence[FeatureColumn]) -> dict[str, str]:
    """Return what was expected and what was found of two lists of features that are not the same, without what they share.

    >>> columns_apart([FeatureColumn("a", "numeric")], [FeatureColumn("a", "numeric"), FeatureColumn("b", "text")])
    {'expected': 'a (numeric) and no other', 'found': 'b (text) besides'}
    """
    gone, come = ([each for each in these if each not in those] for these, those in ((before, after), (after, before)))
    if not gone and not come:
        return {"expected": _listed(before), "found": f"{_listed(after)}, in this order"}
    return {
        "expected": _listed(gone) if gone else f"{_listed(before)} and no other",
        "found": f"{_listed(come)} {'instead' if gone else 'besides'}" if come else "nothing in its place",
    }


def _listed(columns: Sequence[FeatureColumn]) -> str:
    return ", ".join(f"{column.name} ({column.kind})" for column in columns)
