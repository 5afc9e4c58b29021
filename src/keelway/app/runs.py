"""Looking at runs, whatever made them: plans, trainings, trials, scripts and fits, in one index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from keelway.app.lineage import LineageRoom
from keelway.app.notebooks import NotebookRoom
from keelway.app.reproduce import Reproduction, reproduce
from keelway.app.tracking import journals_of, sync
from keelway.app.wire import Workspace
from keelway.core import DIRTY, Digest, RunEntry, RunQuery, Scalar, digest_bytes, parse_json, short
from keelway.errors import MissingRecordError, UsageError

if TYPE_CHECKING:
    from keelway.ledger import Transaction
    from keelway.train.tracking import MetricPoint

OUTER_KINDS = ("plan", "notebook", "script", "autolog")
"""What a list shows unless more is asked for: trainings and trials stand in the runs that made them."""
SMALL_IS_GOOD = (
    "loss",
    "error",
    "brier",
    "ece",
    "rmse",
    "mae",
    "medae",
    "mse",
    "mape",
    "pinball",
    "l1",
    "l2",
    "seconds",
)
"""Figures whose name ends in one of these words are best when they are small."""


@dataclass(frozen=True, slots=True)
class RunDetail:
    """One run, with the record it is the line of.

    Attributes:
        warnings: What a reader of its figures must know; of a plan, what its trainings and scorecards say.
    """

    entry: RunEntry
    record: dict[str, Any]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ComparedValue:
    """One parameter, figure or fact of several runs.

    Attributes:
        values: One a run, in the order asked; None where a run lacks it.
        same: Whether all are equal.
    """

    name: str
    values: tuple[Scalar, ...]
    same: bool


@dataclass(frozen=True, slots=True)
class RunsCompared:
    """Runs side by side."""

    runs: tuple[RunEntry, ...]
    facts: tuple[ComparedValue, ...]
    parameters: tuple[ComparedValue, ...]
    metrics: tuple[ComparedValue, ...]


@dataclass(frozen=True, slots=True)
class RunsSynced:
    """What a sync did: runs of dead processes that were recorded, and runs that were mirrored."""

    recorded: int
    mirrored: int
    tracker: str


class RunRoom:
    """Use cases on runs.

    Attributes:
        lineage: Runs and steps for lineage catalogues.
        notebooks: Execute notebooks as runs, and check them.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._at = workspace
        self.lineage = LineageRoom(workspace)
        self.notebooks = NotebookRoom(workspace)

    def list(
        self,
        *,
        kinds: Sequence[str] = (),
        model: str = "",
        where: str = "",
        metric: str = "",
        lowest: bool | None = None,
        since: datetime | None = None,
        limit: int = 20,
    ) -> list[RunEntry]:
        """Return runs: the best by a figure, or the newest first with those that are going on now.

        Args:
            kinds: Only these; by default all where anything else is asked, else plans, scripts and fits.
            model: Only runs of this model.
            where: A condition such as `auc > 0.8 and estimator = 'boosting'`.
            metric: Order by this figure, best first.
            lowest: Whether the smallest figure is best; by default the figure's name decides.
            since: Only runs that started then or later.
            limit: At most so many.

        Raises:
            UsageError: The condition cannot be read.
        """
        from keelway.train.tracking import parse_where

        going_on = self.recover()
        tree = parse_where(where) if where else None
        asked = bool(model or tree or metric)
        chosen = tuple(kinds) or (() if asked else OUTER_KINDS)
        lowest = small_is_good(metric) if lowest is None else lowest
        with self._at.state.snapshot() as tx:
            found = tx.runs.search(RunQuery(chosen, model, tree, metric, lowest, since, limit))
        return found if asked or kinds else [*going_on, *found][:limit]

    def show(self, name: str) -> RunDetail:
        """Return one run, by its id or the start of it.

        Raises:
            MissingRecordError: There is none.
            UsageError: Several ids start like that.
        """
        entry = self._named(name)
        with self._at.state.snapshot() as tx:
            record = _record_of(entry.record, tx)
            left = [_record_of(Digest(digest), tx) for digest in record.get("outputs", {}).values()]
        told = [warning for each in (record, *left) for warning in each.get("warnings", ())]
        return RunDetail(entry, record, tuple(dict.fromkeys(told)))

    def history(self, name: str) -> Sequence[MetricPoint]:
        """Return every value of the figures of a tracked run, in the order they were logged; a plan has none.

        Raises:
            MissingRecordError: There is no such run.
        """
        from keelway.train.tracking import TrackedRun, points_of

        entry = self._named(name)
        with self._at.state.snapshot() as tx:
            text = tx.text_of(entry.record)
            if text is None or text[0] != TrackedRun.__name__:
                return ()
            run = tx.by_digest(TrackedRun, entry.record)
        return points_of(run, self._at.artifacts)

    def compare(self, names: Sequence[str]) -> RunsCompared:
        """Return runs side by side, what differs marked."""
        if len(names) < 2:
            raise UsageError("There is nothing to compare", expected="two runs or more", found=str(len(names)))
        details = [self.show(name) for name in names]
        entries = tuple(detail.entry for detail in details)
        return RunsCompared(
            runs=entries,
            facts=_side_by_side([_facts(detail) for detail in details]),
            parameters=_side_by_side([entry.parameters for entry in entries]),
            metrics=_side_by_side([entry.metrics for entry in entries]),
        )

    def sync(self) -> RunsSynced:
        """Record the runs of dead processes, and show every run in the tracker that is not shown yet.

        Raises:
            EngineError: The tracker failed.
        """
        from keelway.train.tracking import settle_leftovers

        recorded = settle_leftovers(journals_of(self._at), artifacts=self._at.artifacts, state=self._at.state)
        links = sync(self._at) if self._at.settings.engines.tracking else []
        return RunsSynced(len(recorded), len(links), self._at.settings.engines.tracking)

    def reproduce(self, name: str, *, tolerance: float = 1e-9) -> Reproduction:
        """Train again what a run trained, in a scratch place, and say how alike it came out."""
        return reproduce(self._at, self._named(name), tolerance=tolerance)

    def recover(self) -> Sequence[RunEntry]:
        """Record the runs of dead processes, and return those that are going on now, newest first."""
        from keelway.train.tracking import entry_from, running_run, settle_leftovers

        journals = journals_of(self._at)
        settle_leftovers(journals, artifacts=self._at.artifacts, state=self._at.state)
        running = [run for data in journals.running() if (run := running_run(data)) is not None]
        return [entry_from(run, status="running") for run in reversed(running)]

    def _named(self, name: str) -> RunEntry:
        self.recover()
        with self._at.state.snapshot() as tx:
            found = tx.runs.named(name)
        if not found:
            raise MissingRecordError(
                "There is no such run",
                expected="the id of a run, or the start of one",
                found=repr(name),
                fix="List them: keelway runs",
            )
        if len(found) > 1:
            raise UsageError(
                "Several runs are called that", expected="one", found=", ".join(each.run_id for each in found[:3])
            )
        return found[0]


def small_is_good(metric: str) -> bool:
    """Say whether a figure is best when it is small, by its name.

    >>> small_is_good("test_log_loss"), small_is_good("roc_auc")
    (True, False)
    """
    words = metric.lower().replace(".", "_").replace(":", "_").replace("-", "_").split("_")
    return any(word in SMALL_IS_GOOD for word in words)


def _facts(detail: RunDetail) -> dict[str, Scalar]:
    """Return what a run was made of, as digests and names."""
    entry, record = detail.entry, detail.record
    code = record.get("code", {})
    machine = record.get("machine", {})
    told: dict[str, Scalar] = {
        "kind": entry.kind,
        "model": entry.model,
        "estimator": entry.estimator,
        "status": entry.status,
        "seed": entry.seed,
        "data": short(record.get("feature_table") or record.get("dataset") or ""),
        "code": short(code.get("project_digest", "")),
        "commit": entry.commit[:12] + (DIRTY if entry.dirty else ""),
        "difference": short(code.get("diff_digest", "")),
        "environment": short(code.get("environment_digest", "")),
        "lock": short(code.get("lock_digest", "")),
        "machine": f"{machine['system']} {machine['processor']}, {machine['cpus']} cpus" if machine else "",
        "output": short(record.get("pipeline") or _output(record)),
    }
    return {name: value for name, value in told.items() if value not in ("", None)}


def _record_of(digest: Digest, tx: Transaction) -> dict[str, Any]:
    text = tx.text_of(digest)
    return parse_json(text[1].encode()) if text else {}


def _output(record: dict[str, Any]) -> Digest | str:
    left = record.get("artifacts", {})
    return digest_bytes(repr(sorted(left.items())).encode()) if left else ""


def _side_by_side(sides: Sequence[dict[str, Any]]) -> tuple[ComparedValue, ...]:
    names = sorted({name for side in sides for name in side}) if sides else []
    lines = []
    for name in names:
        values = tuple(side.get(name) for side in sides)
        lines.append(ComparedValue(name, values, same=len({repr(value) for value in values}) == 1))
    return tuple(lines)
