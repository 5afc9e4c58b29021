"""The poison test: whatever becomes known at or after a cut date, the features of that cut date stay what they are.

    report = poison(churn, snapshots, as_of=cut, paths_of=paths_of, work=folder)
    report.findings   # empty for honest feature sets

Every row that could not be seen at the cut date is changed, then removed, and others are added; each time the features are
computed again. Tables are cut before a function is handed them, so an honest function passes whatever it does. One that
gets its data elsewhere is found in two ways: what it computes moves with the poison, or it is seen to reach for a file or
a table that it was not handed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from keelway.core import in_utc, time_text
from keelway.errors import FeatureError
from keelway.features.build import rows_in, silent
from keelway.features.compute import Tables, feature_rows, opened
from keelway.features.names import AS_OF, ENTITY
from keelway.features.poison.smuggled import smuggled
from keelway.features.poison.worlds import WORLDS, World, poisoned
from keelway.features.reads import hidden_columns
from keelway.features.same import same_values
from keelway.project import Model
from keelway.snapshot import SnapshotRows

if TYPE_CHECKING:
    import pyarrow as pa

    from keelway.snapshot import Snapshot

__all__ = ["PoisonFinding", "PoisonReport", "PoisonedWorld", "poison"]


@dataclass(frozen=True, slots=True)
class PoisonFinding:
    """A feature set that knows more than it was handed.

    Attributes:
        how: In which poisoned world it moved, or `reaches` where it was seen to get data elsewhere.
        columns: The features that moved; empty where the entities did, or it is unknown which.
        text: The finding in words.
    """

    feature_set: str
    how: World | Literal["reaches"]
    columns: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class PoisonedWorld:
    """What was poisoned: the rows that were changed, added or removed, by dataset."""

    how: World
    rows: dict[str, int]


@dataclass(frozen=True, slots=True)
class PoisonReport:
    """What the poison test found; a world without rows to poison proved nothing, so `worlds` counts them."""

    model: str
    as_of: datetime
    worlds: tuple[PoisonedWorld, ...]
    findings: tuple[PoisonFinding, ...]


def poison(
    model: Model,
    snapshots: Mapping[str, Snapshot],
    *,
    as_of: datetime,
    paths_of: Callable[[Snapshot], list[Path]],
    work: Path,
    progress: Callable[[str], None] = silent,
) -> PoisonReport:
    """Return which feature sets of a model move when the future does.

    Args:
        snapshots: Dataset name to the snapshot to poison copies of.
        as_of: The cut date.
        paths_of: Returns the checked Parquet files of a snapshot.
        work: An empty folder for the poisoned copies, as large as the snapshots; the caller removes it.
        progress: Called with one line whenever long work moves on.

    Raises:
        FeatureError: A snapshot is missing, or a feature function fails on data that is not poisoned.
    """
    as_of = in_utc(as_of)
    missing = sorted({each.name for each in model.datasets} - set(snapshots))
    if missing:
        raise FeatureError(
            f"There is no snapshot of {missing[0]!r}", expected=missing[0], fix="Run `keelway ingest` first."
        )
    rows = rows_in({each.name: snapshots[each.name] for each in model.datasets}, paths_of)
    progress(f"{model.name}: features as of {time_text(as_of)}")
    with opened(model.datasets, rows) as whole:
        tables = _hidden(model, whole, as_of)
        honest = _features(model, tables, as_of)
        findings = [
            PoisonFinding(each.name, "reaches", (), text)
            for each in model.features
            for text in smuggled(each, tables, as_of=as_of)
        ]
    worlds = []
    for how in WORLDS:
        progress(f"{model.name}: again with rows after the cut {how}")
        counted, other = poisoned(model, rows, how, as_of=as_of, work=work)
        worlds.append(PoisonedWorld(how, counted))
        findings += _moved(model, honest, other, how, as_of=as_of)
    return PoisonReport(model.name, as_of, tuple(worlds), tuple(findings))


def _moved(
    model: Model, honest: Mapping[str, pa.Table], rows: Mapping[str, SnapshotRows], how: World, *, as_of: datetime
) -> list[PoisonFinding]:
    found = []
    with opened(model.datasets, rows) as whole:
        tables = _hidden(model, whole, as_of)
        for each in model.features:
            try:
                after = feature_rows(each, tables, as_ofs=(as_of,))[0]
            except FeatureError as error:
                found.append(PoisonFinding(each.name, how, (), f"fails when rows after the cut are {how}: {error}"))
                continue
            found += _compared(each.name, how, honest[each.name], after.sort_by(ENTITY))
    return found


def _compared(name: str, how: World, before: pa.Table, after: pa.Table) -> list[PoisonFinding]:
    if before[ENTITY].to_pylist() != after[ENTITY].to_pylist():
        known, now = set(before[ENTITY].to_pylist()), set(after[ENTITY].to_pylist())
        text = f"{len(now - known)} entities come and {len(known - now)} go when rows after the cut are {how}"
        return [PoisonFinding(name, how, (), text)]
    names = [each for each in before.column_names if each not in (ENTITY, AS_OF)]
    moved = [each for each in names if not same_values(before[each].to_pylist(), after[each].to_pylist())]
    if not moved:
        return []
    return [PoisonFinding(name, how, tuple(moved), f"{_listed(moved)} move when rows after the cut are {how}")]


def _features(model: Model, tables: Tables, as_of: datetime) -> dict[str, pa.Table]:
    return {each.name: feature_rows(each, tables, as_ofs=(as_of,))[0].sort_by(ENTITY) for each in model.features}


def _hidden(model: Model, tables: Tables, as_of: datetime) -> Tables:
    hidden = hidden_columns(model.label, tables, as_of=as_of)
    return replace(tables, hidden={model.label.source.name: hidden})


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
