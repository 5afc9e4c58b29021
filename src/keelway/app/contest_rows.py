"""The rows that models are compared on: the same ones for all, with labels that have matured, and learned by none.

- Without a wish they are the test rows of the model with the newest test cut: of these no earlier model has seen any.
- With a cut or snapshots they are computed anew, beside everything that is kept; nothing of it stays.
- Models of different names bring features of their own for the same entities at the same moments.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelway.app.contenders import Contender
from keelway.app.rehearsal import RehearsalArtifacts, RehearsalState
from keelway.app.scoring_table import checked_paths, newest_snapshots
from keelway.app.wire import Workspace
from keelway.core import time_text
from keelway.errors import DataError, FeatureError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from keelway.features import FeatureTable
    from keelway.project import Model
    from keelway.snapshot import Snapshot

JUST_AFTER = timedelta(microseconds=1)
Key = tuple[Any, ...]


@dataclass(frozen=True)
class SharedRows:
    """Rows that every model of a comparison can be asked about.

    Attributes:
        table: What the first model's rows are of.
        rows: Theirs, with label.
        others: Rows of models of other names, in the same order.
        source: Where they come from, in words.
        warnings: What a reader must know of them.
    """

    table: FeatureTable
    rows: pa.Table
    others: dict[str, pa.Table]
    source: str
    warnings: tuple[str, ...]

    def answers(self, each: Contender) -> Any:
        """Return what a model answers to these rows.

        Raises:
            DataError: It reads a feature that the rows do not have.
        """
        from keelway.features import columns_for_scoring

        rows = self.others.get(each.trained.model, self.rows)
        try:
            return each.answer(columns_for_scoring(rows, each.features))
        except FeatureError as error:
            raise DataError(
                f"{each.name} reads a feature that is not computed any more",
                expected=error.expected,
                found=error.found,
                fix="Compare versions of one set of features, or bring the feature back.",
            ) from error


def shared_rows(
    found: Sequence[Contender], *, as_of: datetime | None, snapshots: Sequence[str], at: Workspace
) -> SharedRows:
    """Return the rows that models are compared on.

    Args:
        found: The models; they share entity, label, horizon, task and classes.
        as_of: A cut whose labels have matured; None for the newest test cut, or with snapshots their newest cut.
        snapshots: `DATASET=VERSION` for datasets of which the newest version is not meant.
        at: The project.

    Raises:
        DataError: A model learned from later data than these rows, or from all of them; the split is declared otherwise
            by now; or models of two names do not agree on labels.
        FeatureError: The labels of the cut have not matured.
    """
    owner = max(found, key=lambda each: each.trained.test_as_of)
    if as_of is None and not snapshots:
        table, rows = owner.table, _held_out(owner, at)
        source = f"test rows of {owner.name}, cut {time_text(owner.trained.test_as_of)}"
    else:
        table, rows = _computed(at.project.model(owner.trained.model), as_of, snapshots, at)
        source = f"all labelled rows at {time_text(table.as_ofs[-1])}, computed for this comparison"
    rows, warnings = _unlearned(rows, found, at)
    rows, others, told = _side_by_side(rows, table, found, at)
    return SharedRows(table, rows, others, source, (*warnings, *told))


def _held_out(owner: Contender, at: Workspace) -> pa.Table:
    """Return the test rows of a model as they were when it was evaluated."""
    from keelway.features import rows_of
    from keelway.train import held_out_rows

    rows, model = rows_of(owner.table, at.artifacts), at.project.model(owner.trained.model)
    _training_rows(owner, rows, model)
    return held_out_rows(rows, model, owner.table)


def _training_rows(each: Contender, rows: pa.Table, model: Model) -> pa.Table:
    """Return the rows that a model learned from.

    Raises:
        DataError: The split is declared otherwise by now, so that nobody can tell.
    """
    from keelway.train import training_rows

    found = training_rows(rows, model, each.table)
    if found.num_rows != each.trained.train_rows:
        raise DataError(
            f"The split of {model.name} is declared otherwise than when {each.name} was trained",
            expected=f"{each.trained.train_rows} training rows",
            found=str(found.num_rows),
            fix="Train again, and compare models of one split.",
        )
    return found


def _computed(
    model: Model, as_of: datetime | None, wanted: Sequence[str], at: Workspace
) -> tuple[FeatureTable, pa.Table]:
    """Return the labelled rows of a model at one cut, from the snapshots that are meant."""
    chosen = {**newest_snapshots(model, at=at), **_wanted(model, wanted, at)}
    known_until = at.now()
    if model.label.horizon is None:
        known_until = max(each.watermark for each in chosen.values()) + JUST_AFTER
    elif (labels := chosen.get(model.label.source.name)) is not None:
        known_until = min(known_until, labels.watermark)
    return _built(model, chosen, [as_of or _newest_cut(model, known_until)], known_until, at)


def _built(
    model: Model, snapshots: Mapping[str, Snapshot], as_ofs: Sequence[datetime], now: datetime, at: Workspace
) -> tuple[FeatureTable, pa.Table]:
    from keelway.engines.local.artifacts import LocalArtifacts
    from keelway.features import build_features, rows_of

    with tempfile.TemporaryDirectory(prefix="keelway-compare-") as folder:
        artifacts = RehearsalArtifacts(LocalArtifacts(Path(folder)), at.artifacts)
        table = build_features(
            model,
            snapshots,
            as_ofs=as_ofs,
            purpose="training",
            with_label=True,
            paths_of=lambda snapshot: checked_paths(snapshot, at=at),
            artifacts=artifacts,
            state=RehearsalState(at.state),
            now=now,
        )
        return table, rows_of(table, artifacts)


def _newest_cut(model: Model, known_until: datetime) -> datetime:
    """Return the newest declared cut whose labels have matured."""
    if model.cuts is None or model.label.horizon is None:
        return known_until
    cuts = model.cuts.until(known_until, model.label.horizon)
    if not cuts:
        raise DataError(
            f"No cut of {model.name} has matured by then",
            expected=f"a cut whose horizon ended by {time_text(known_until)}",
            found="none",
            fix="Name a later version with --snapshot, or wait for the labels.",
        )
    return cuts[-1]


def _wanted(model: Model, wanted: Sequence[str], at: Workspace) -> dict[str, Snapshot]:
    """Return the snapshots that were asked for, by dataset; with one dataset its name may be left out."""
    from keelway.snapshot import resolve

    names = [dataset.name for dataset in model.datasets]
    found = {}
    with at.state.snapshot() as tx:
        for text in wanted:
            dataset, equals, version = text.rpartition("=")
            dataset = dataset if equals else (names[0] if len(names) == 1 else "")
            if dataset not in names:
                raise UsageError(
                    "Of which dataset is this a snapshot?",
                    expected=f"DATASET=VERSION with one of {', '.join(names)}",
                    found=repr(text),
                )
            found[dataset] = resolve(dataset, version, tx)
    return found


def _unlearned(rows: pa.Table, found: Sequence[Contender], at: Workspace) -> tuple[pa.Table, list[str]]:
    """Return the rows that no model learned from, with what a reader must know of the others."""
    import pyarrow as pa
    import pyarrow.compute as pc

    oldest, newest = pc.min(rows["as_of"]).as_py(), pc.max(rows["as_of"]).as_py()
    timed = all(at.project.model(each.trained.model).cuts is not None for each in found)
    learned: set[Key] = set()
    warnings = []
    for each in found:
        model = at.project.model(each.trained.model)
        if timed:
            _check_order(each, newest)
            warnings += _overlap(each, oldest)
        if not timed or max(each.trained.train_as_ofs) >= oldest:
            learned |= _learned(each, model, at, timed=timed)
    kept = [key not in learned for key in _keys(rows, timed=timed)]
    if not any(kept):
        raise DataError(
            "Some model learned from every one of these rows",
            expected="rows that no model has seen",
            found=f"{len(kept)} rows, all learned from",
            fix="Name a later cut: --as-of DATE",
        )
    if not all(kept):
        warnings.append(f"{len(kept) - sum(kept):,} rows were left out, because a model learned from them.")
    return rows.filter(pa.array(kept)), warnings


def _check_order(each: Contender, newest: datetime) -> None:
    """Refuse rows from before the data that a model learned from."""
    last = max(each.trained.train_as_ofs)
    if last > newest:
        raise DataError(
            f"{each.name} learned from later data than it would be compared on",
            expected=f"a cut after {time_text(last)}",
            found=time_text(newest),
            fix="Name a later cut: --as-of DATE",
        )


def _overlap(each: Contender, oldest: datetime) -> list[str]:
    """Return the warning that labels of training became known after the rows' cut, where they did."""
    reach = max(each.trained.train_as_ofs) + timedelta(seconds=each.table.horizon_s) - oldest
    days = math.ceil(reach / timedelta(days=1))
    if days <= 0 or (oldest == each.trained.test_as_of and not each.trained.overlap_days):
        return []
    return [f"{each.name} learned from labels that became known up to {days} days after the cut of these rows."]


def _learned(each: Contender, model: Model, at: Workspace, *, timed: bool) -> set[Key]:
    """Return which rows a model learned from; without a time, which entities."""
    from keelway.features import rows_of

    return set(_keys(_training_rows(each, rows_of(each.table, at.artifacts), model), timed=timed))


def _keys(rows: pa.Table, *, timed: bool) -> list[Key]:
    names = ["entity", "as_of"] if timed else ["entity"]
    return list(zip(*(rows[name].to_pylist() for name in names), strict=True))


def _side_by_side(
    rows: pa.Table, table: FeatureTable, found: Sequence[Contender], at: Workspace
) -> tuple[pa.Table, dict[str, pa.Table], list[str]]:
    """Return rows with the features of every model that is called otherwise, in the same order."""
    names = sorted({each.trained.model for each in found} - {table.model})
    tables = {name: _of_another(at.project.model(name), rows, table, at) for name in names}
    shared = set(_keys(rows, timed=True)).intersection(*(_keys(each, timed=True) for each in tables.values()))
    lost = rows.num_rows - len(shared)
    if not shared:
        raise DataError("The models have no rows in common", expected=f"rows of {table.model}", found=", ".join(names))
    kept = _in_order(rows, shared)
    others = {name: _in_order(each, shared) for name, each in tables.items()}
    for name, each in others.items():
        if each["label"].to_pylist() != kept["label"].to_pylist():
            raise DataError(
                f"{table.model} and {name} do not agree on what came true",
                expected="the same label for every row",
                found="different labels",
                fix="Compare models of one Label.",
            )
    return kept, others, [f"{lost:,} rows were left out, because not every model has them."] if lost else []


def _of_another(model: Model, rows: pa.Table, table: FeatureTable, at: Workspace) -> pa.Table:
    """Return the labelled rows of another model at the same moments, from the same snapshots where it reads them."""
    import pyarrow.compute as pc

    from keelway.snapshot import Snapshot

    with at.state.snapshot() as tx:
        same = {name: tx.by_digest(Snapshot, digest) for name, digest in table.snapshots.items()}
    chosen = {**newest_snapshots(model, at=at), **same}
    moments = sorted(pc.unique(rows["as_of"]).to_pylist())
    now = pc.max(rows["label_known_at"]).as_py() if model.label.horizon is not None else moments[-1]
    return _built(model, chosen, moments, now, at)[1]


def _in_order(rows: pa.Table, shared: set[Key]) -> pa.Table:
    """Return the shared rows by moment and entity."""
    import pyarrow as pa

    kept = rows.filter(pa.array([key in shared for key in _keys(rows, timed=True)]))
    return kept.sort_by([("as_of", "ascending"), ("entity", "ascending")])
