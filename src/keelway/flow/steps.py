"""The steps of the standard plans: each calls one verb of a slice with what the context offers.

The slices are imported inside the functions, so that a plan can be looked at without loading what executes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelway.core import VersionName
from keelway.flow.bring_in import bring_in
from keelway.flow.context import Context
from keelway.flow.define import step

if TYPE_CHECKING:
    from keelway.evaluate import Ranking, Scorecard
    from keelway.features import FeatureTable
    from keelway.register import ModelVersion
    from keelway.snapshot import Snapshot
    from keelway.train import TrainedModel
    from keelway.train.tuning import Tuning

JUST_AFTER = timedelta(microseconds=1)  # what became known at a cut date itself is not seen at it


@dataclass(frozen=True, slots=True)
class MaturedCuts:
    """The cut dates whose labels are known, and until when anything is known.

    Attributes:
        as_ofs: Oldest first.
        known_until: The run's present, or the newest of the label's data where that is older: of what happened later
            nothing has been seen, so that "no purchase" would mean nothing.
    """

    model: str
    as_ofs: tuple[datetime, ...]
    known_until: datetime


@step("snapshot", cache=False, returns="keelway.snapshot:Snapshot")
def snapshot_step(ctx: Context, *, dataset: str) -> Snapshot:
    """Bring in everything new of a dataset, batch by batch, and return its newest snapshot."""
    return bring_in(ctx.project.dataset(dataset), ctx)


@step("cuts", cache=False)
def cuts_step(ctx: Context, *, model: str, snapshots: list[Snapshot]) -> MaturedCuts:
    """Return the cut dates of a model that can be learned from at the run's present.

    A model without cut dates has one, the moment after the youngest file of its data became known: it depends on the
    data alone, so that a second run over the same files repeats nothing.
    """
    declared = ctx.project.model(model)
    if declared.cuts is None or declared.label.horizon is None:
        present = max(snapshot.watermark for snapshot in snapshots) + JUST_AFTER
        return MaturedCuts(model, (present,), present)
    [labels] = [snapshot for snapshot in snapshots if snapshot.dataset == declared.label.source.name]
    known_until = min(ctx.now, labels.watermark)
    return MaturedCuts(model, declared.cuts.until(known_until, declared.label.horizon), known_until)


@step("features", returns="keelway.features:FeatureTable")
def features_step(ctx: Context, *, model: str, snapshots: list[Snapshot], cuts: MaturedCuts) -> FeatureTable:
    """Compute the training table of a model."""
    from keelway.features import build_features
    from keelway.privacy import WORK

    return build_features(
        ctx.project.model(model),
        {snapshot.dataset: snapshot for snapshot in snapshots},
        as_ofs=cuts.as_ofs,
        purpose="training",
        with_label=True,
        paths_of=_paths_of(ctx),
        artifacts=ctx.artifacts,
        state=ctx.state,
        now=cuts.known_until,
        work=ctx.root / WORK,
        progress=ctx.progress,
    )


@step("tune", returns="keelway.train.tuning:Tuning")
def tune_step(
    ctx: Context, *, model: str, estimator: str, trials: int, timeout_s: float, table: FeatureTable
) -> Tuning:
    """Search for the best parameters of an estimator; 0 trials or seconds are as many as the model declares."""
    from keelway.flow.search import search_parameters

    return search_parameters(model, estimator, table, trials=trials, timeout_s=timeout_s, ctx=ctx)


@step("train", returns="keelway.train:TrainedModel")
def train_step(
    ctx: Context,
    *,
    model: str,
    estimator: str,
    table: FeatureTable,
    members: Sequence[TrainedModel] = (),  # noqa: ARG001 - only says that an ensemble waits for them
    tunings: Sequence[Tuning] = (),
) -> TrainedModel:
    """Fit one estimator of a model, or an ensemble of some that were fitted before, with the best parameters found."""
    from keelway.train import fit

    declared = ctx.project.model(model)
    return fit(
        declared,
        table,
        estimator=declared.estimator(estimator),
        artifacts=ctx.artifacts,
        state=ctx.state,
        tracker=ctx.tracker,
        seed=ctx.seed,
        now=ctx.now,
        code=ctx.code,
        tunings=tunings,
    )


@step("evaluate", returns="keelway.evaluate:Scorecard")
def evaluate_step(ctx: Context, *, model: str, champion: str, trained: TrainedModel, table: FeatureTable) -> Scorecard:
    """Measure a trained model on the newest cut, against the trivial rule and the champion."""
    from keelway.evaluate import evaluate

    return evaluate(
        trained,
        table,
        artifacts=ctx.artifacts,
        state=ctx.state,
        model=ctx.project.model(model),
        champion=_champion(champion, ctx),
        now=ctx.now,
        tracker=ctx.tracker,
    )


@step("compare", returns="keelway.evaluate:Ranking")
def compare_step(ctx: Context, *, model: str, scorecards: list[Scorecard]) -> Ranking:
    """Rank the scorecards of one model by the first metric it declares."""
    from keelway.evaluate import compare

    declared = ctx.project.model(model)
    return compare(
        scorecards,
        metric=declared.metrics[0],
        artifacts=ctx.artifacts,
        smallest_difference=declared.evaluation.smallest_difference,
    )


@step("register", returns="keelway.register:ModelVersion")
def register_step(ctx: Context, *, model: str, ranking: Ranking) -> ModelVersion:
    """Register the winner as a version; the same winner again is the same version."""
    from keelway.evaluate import Scorecard
    from keelway.register import register
    from keelway.train import TrainedModel

    with ctx.state.snapshot() as tx:
        scorecard = tx.by_digest(Scorecard, ranking.winner_scorecard)
        trained = tx.by_digest(TrainedModel, ranking.winner)
    return register(
        scorecard,
        trained,
        model=ctx.project.model(model),
        run_id=ctx.run_id,
        artifacts=ctx.artifacts,
        state=ctx.state,
        tracker=ctx.tracker,
        key=ctx.key,
        actor=ctx.principal,
        now=ctx.now,
    )


def _paths_of(ctx: Context) -> Callable[[Snapshot], list[Path]]:
    from keelway.snapshot import read

    return lambda snapshot: read(snapshot, tables=ctx.tables, artifacts=ctx.artifacts, state=ctx.state)


def _champion(name: str, ctx: Context) -> Any:
    """Return the champion, its bytes and signature checked, ready to score the rows of the test cut."""
    if not name:
        return None
    from keelway.register import champion_scorer, version_named

    with ctx.state.snapshot() as tx:
        version = version_named(VersionName(name), tx=tx)
    return champion_scorer(version, artifacts=ctx.artifacts, public_key=ctx.key.public)
