"""Train again what a run trained, beside everything that is kept, and say how alike it came out and where it parted.

The stages are compared in the order in which one follows from another, so the first that differs is where to look.
Nothing of it stays: bytes go to a scratch folder and transactions are undone.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from keelway.app.rehearsal import RehearsalArtifacts, RehearsalState
from keelway.app.wire import Workspace
from keelway.core import Digest, Run, RunEntry, RunStarted, digest_of, short
from keelway.errors import KeelwayError, UsageError

if TYPE_CHECKING:
    from keelway.evaluate import Scorecard
    from keelway.features import FeatureTable
    from keelway.ledger import Transaction
    from keelway.train import TrainedModel
    from keelway.train.tuning import Tuning

Stage = Literal["snapshot", "code", "environment", "seed", "features", "pipeline", "metrics"]
STAGES: tuple[Stage, ...] = ("snapshot", "code", "environment", "seed", "features", "pipeline", "metrics")
"""As one follows from another: the code decides the features, so a change of both is a change of the code."""
Alike = Literal["bit-equal", "metric-equal", "different"]
MISSING = "missing"


@dataclass(frozen=True, slots=True)
class StageCheck:
    """One stage of a training, then and now."""

    stage: Stage
    recorded: str
    found: str
    same: bool


@dataclass(frozen=True, slots=True)
class RebuiltTraining:
    """One training that was done again.

    Attributes:
        alike: Whether the model has the same bytes, or the same figures within the tolerance, or neither.
        first_difference: The first stage that differs, or empty.
        largest: The largest difference of a figure; None where the figures could not be compared.
        largest_metric: The figure that has it, or empty.
    """

    estimator: str
    alike: Alike
    first_difference: Stage | Literal[""]
    largest: float | None
    largest_metric: str
    stages: tuple[StageCheck, ...]


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What came of training again everything that a run trained.

    Attributes:
        dirty: Whether the run was made of files that differed from their commit, so that the commit alone cannot tell.
        alike: The least alike of its trainings.
    """

    run_id: str
    dirty: bool
    alike: Alike
    tolerance: float
    trainings: tuple[RebuiltTraining, ...]


def reproduce(at: Workspace, entry: RunEntry, *, tolerance: float) -> Reproduction:
    """Train again what a run trained.

    Args:
        at: The project.
        entry: A training, or a plan that trained.
        tolerance: How far a figure may be off and count as equal.

    Raises:
        UsageError: The run trained nothing that the project declares: a script's run is repeated by its script.
    """
    with at.state.snapshot() as tx:
        trainings, present = _trainings(entry, tx), _present_of(entry, tx)
    if not trainings:
        raise UsageError(
            f"Run {entry.run_id} cannot be rebuilt from its records",
            expected="a training, or a plan that trained",
            found=f"a run of kind {entry.kind}",
            fix="Execute its script again, then: keelway runs compare OLD NEW",
        )
    rebuilt = []
    for trained in trainings:
        at.progress(f"{trained.model} {trained.estimator}: computed and trained again")
        rebuilt.append(_rebuilt(at, trained, tolerance, present))
    order: tuple[Alike, ...] = ("different", "metric-equal", "bit-equal")
    worst = min((each.alike for each in rebuilt), key=order.index)
    return Reproduction(entry.run_id, entry.dirty, worst, tolerance, tuple(rebuilt))


def _present_of(entry: RunEntry, tx: Transaction) -> datetime:
    """Return the moment that a run took for the present: what became known later was no part of its labels."""
    opened = tx.get(RunStarted, entry.run_id) if entry.kind == "plan" else None
    return opened.now if opened else entry.started_at


def _trainings(entry: RunEntry, tx: Transaction) -> list[TrainedModel]:
    from keelway.train import TrainedModel

    if entry.kind == "training":
        return [tx.by_digest(TrainedModel, entry.record)]
    if entry.kind != "plan" or (text := tx.text_of(entry.record)) is None or text[0] != Run.__name__:
        return []
    outputs = tx.by_digest(Run, entry.record).outputs.values()
    kinds = {digest: told[0] for digest in outputs if (told := tx.text_of(digest)) is not None}
    return [tx.by_digest(TrainedModel, digest) for digest, kind in kinds.items() if kind == TrainedModel.__name__]


def _rebuilt(at: Workspace, trained: TrainedModel, tolerance: float, present: datetime) -> RebuiltTraining:
    from keelway.features import FeatureTable
    from keelway.register import check_if_registered

    with at.state.snapshot() as tx:
        check_if_registered(trained, tx=tx, artifacts=at.artifacts, public_key=at.signing.public_key)
        table = tx.by_digest(FeatureTable, trained.feature_table)
        card = _scorecard(trained, tx)
    checks = [
        _check("code", trained.code.project_digest, at.code.project_digest),
        _check("environment", trained.code.environment_digest, at.code.environment_digest),
        _check("seed", str(trained.seed), str(trained.seed)),
    ]
    with tempfile.TemporaryDirectory(prefix="keelway-reproduce-") as folder:
        made, measured, more = _again(at, trained, table, card is not None, Path(folder), present)
    checks += [*more, _check("pipeline", trained.pipeline, made)]
    largest, worst = _largest(card, measured)
    if largest is not None:
        checks.append(StageCheck("metrics", "as recorded", f"off by {largest:.3g} ({worst})", same=largest == 0.0))
    checks.sort(key=lambda check: STAGES.index(check.stage))
    first: Stage | Literal[""] = next((check.stage for check in checks if not check.same), "")
    alike: Alike = "different"
    if made == trained.pipeline:
        alike = "bit-equal"
    elif largest is not None and largest <= tolerance:
        alike = "metric-equal"
    return RebuiltTraining(trained.estimator, alike, first, largest, worst, tuple(checks))


def _again(
    at: Workspace, trained: TrainedModel, table: FeatureTable, measured: bool, folder: Path, present: datetime
) -> tuple[Digest | str, Scorecard | None, list[StageCheck]]:
    """Return the digest of the pipeline trained again, its scorecard, and the checks of what it learned from."""
    from keelway.engines.local.artifacts import LocalArtifacts
    from keelway.engines.local.tracker import NoTracker
    from keelway.evaluate import evaluate
    from keelway.train import fit

    artifacts, state = RehearsalArtifacts(LocalArtifacts(folder), at.artifacts), RehearsalState(at.state)
    model = at.project.model(trained.model)
    table, checks = _features_again(at, table, artifacts, state, present)
    # Another environment gives the training another key: what is there already would be handed out unfitted.
    afresh = replace(at.code, environment_digest=digest_of({"again": trained.code.environment_digest}))
    made = fit(
        model, table, estimator=model.estimator(trained.estimator), artifacts=artifacts, state=state,
        tracker=NoTracker(), seed=trained.seed, now=at.now(), code=afresh, tunings=_tunings(at, trained),
    )  # fmt: skip
    if not measured:
        return made.pipeline, None, checks
    card = evaluate(made, table, artifacts=artifacts, state=state, model=model, now=at.now())
    return made.pipeline, card, checks


def _tunings(at: Workspace, trained: TrainedModel) -> list[Tuning]:
    """Return the searches whose best parameters a training had: they are taken as found, not searched again."""
    from keelway.train.tuning import Tuning

    with at.state.snapshot() as tx:
        return [tx.by_digest(Tuning, digest) for digest in trained.studies.values()]


def _features_again(
    at: Workspace, table: FeatureTable, artifacts: RehearsalArtifacts, state: RehearsalState, present: datetime
) -> tuple[FeatureTable, list[StageCheck]]:
    """Return the feature table computed again; the stored one where its snapshots are gone."""
    from keelway.features import build_features
    from keelway.snapshot import Snapshot, read

    told = ", ".join(f"{name} {short(digest)}" for name, digest in sorted(table.snapshots.items()))
    try:
        with at.state.snapshot() as tx:
            snapshots = {name: tx.by_digest(Snapshot, digest) for name, digest in table.snapshots.items()}
        paths = {
            name: read(each, tables=at.tables, artifacts=at.artifacts, state=at.state)
            for name, each in snapshots.items()
        }
    except KeelwayError as error:  # expired, erased or damaged: the training can still be repeated
        gone = StageCheck("snapshot", told, f"{MISSING}: {error.what}", same=False)
        return table, [gone, StageCheck("features", short(table.data), "not computed again", same=False)]
    again = build_features(
        at.project.model(table.model),
        snapshots,
        as_ofs=table.as_ofs,
        purpose="training",
        with_label=table.label is not None,
        paths_of=lambda snapshot: paths[snapshot.dataset],
        artifacts=artifacts,
        state=state,
        now=max(present, *table.as_ofs),
        reuse=False,
        progress=at.progress,
    )
    return again, [StageCheck("snapshot", told, told, same=True), _check("features", table.data, again.data)]


def _scorecard(trained: TrainedModel, tx: Transaction) -> Scorecard | None:
    from keelway.evaluate import Scorecard

    mine = digest_of(trained)
    return next((card for card in tx.newest(Scorecard, parent=trained.model) if card.trained == mine), None)


def _largest(before: Scorecard | None, after: Scorecard | None) -> tuple[float | None, str]:
    """Return the largest difference between two scorecards' figures, and the figure; NaN counts as infinitely far."""
    if before is None or after is None:
        return None, ""
    gaps = {
        name: abs(each.value - after.metrics[name].value) if name in after.metrics else float("inf")
        for name, each in before.metrics.items()
    }
    if not gaps:
        return None, ""
    worst = max(gaps, key=lambda name: gaps[name] if gaps[name] == gaps[name] else float("inf"))
    return gaps[worst], worst


def _check(stage: Stage, recorded: str, found: str) -> StageCheck:
    return StageCheck(stage, recorded, found, same=recorded == found)
