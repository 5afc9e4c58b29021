"""Fit a model on its training rows, and keep everything needed to do it again.

Training is idempotent: its key is the digest of the feature table, what was declared, the seed and the environment. A
second call with the same key returns the first one's record and fits nothing. An ensemble trains its members first, each
under its own key, and then learns how their answers go together.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from keelway.core import (
    ArtifactKind,
    ArtifactStore,
    CodeState,
    Digest,
    Scalar,
    WrittenRecord,
    digest_of,
    plain,
)
from keelway.features import FeatureColumn, FeatureTable, profile_of, rows_of
from keelway.ledger import StateStore
from keelway.project import Ensemble, Estimator, Model, split_columns
from keelway.train.ensemble import fitted_ensemble
from keelway.train.folds import folds
from keelway.train.frame import encoded, frame_of
from keelway.train.lesson import Lesson, fitted_pipeline
from keelway.train.manifest import ENSEMBLE_FACTORY, manifest_bytes
from keelway.train.parts import Parts, parts_ask_entities, parts_of
from keelway.train.ports import Tracker
from keelway.train.record import TrainedModel, TrainingFigures
from keelway.train.shown import shown_beginning
from keelway.train.stored import pipeline_bytes
from keelway.train.suitable import check_features, class_warnings, level_warnings, suitable_labels
from keelway.train.tracking.machine import system_meter
from keelway.train.tuning.apply import tuned
from keelway.train.tuning.record import Tuning

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray


def fit(
    model: Model,
    feature_table: FeatureTable,
    *,
    estimator: Estimator | Ensemble,
    artifacts: ArtifactStore,
    state: StateStore,
    tracker: Tracker,
    seed: int,
    now: datetime,
    code: CodeState,
    tunings: Sequence[Tuning] = (),
) -> TrainedModel:
    """Fit one estimator, or an ensemble and its members, on the training rows of a feature table.

    Parameters that were searched for, as `tunings` tell, take the place of declared ones.

    Raises:
        TrainingError: The data or the estimator cannot be used; the message says what to change.
    """
    model = tuned(model, tunings)
    estimator = model.estimator(estimator.name) if tunings else estimator
    studies = _studies(tunings, {estimator.name, *(each.name for each in _members(model, estimator))})
    key = training_key(model, feature_table, estimator=estimator, seed=seed, code=code, studies=studies)
    with state.snapshot() as tx:
        known = tx.find(TrainedModel, key)
    if known is not None:
        return known
    members = {
        member.name: fit(
            model, feature_table, estimator=member, artifacts=artifacts, state=state, tracker=tracker, seed=seed,
            now=now, code=code, tunings=tunings,
        ).pipeline
        for member in _members(model, estimator)
    }  # fmt: skip
    measured, begun = system_meter(), time.perf_counter()
    rows = _Rows.of(model, feature_table, artifacts, folded=_needs_folds(estimator))
    draft = _draft(rows, model, feature_table, estimator=estimator, seed=seed, code=code)
    with tracker.announced_training(draft.model, **shown_beginning(draft, key=key)):
        lesson = _lesson(rows, model=model, table=feature_table, estimator=estimator, seed=seed)
        trained, profile = _learnt(
            draft, lesson, rows, estimator=estimator, model=model, members=members, artifacts=artifacts
        )
    trained = replace(trained, studies=studies)
    metrics = {**_figures(rows.labels, model), **measured()}
    figures = TrainingFigures(digest_of(trained), time.perf_counter() - begun, metrics)
    return _recorded(trained, profile, figures, key=key, state=state, now=now)


def training_key(
    model: Model,
    feature_table: FeatureTable,
    *,
    estimator: Estimator | Ensemble,
    seed: int,
    code: CodeState,
    studies: Mapping[str, Digest] | None = None,
) -> Digest:
    """Return the digest of everything that decides how a training ends."""
    return digest_of(
        {
            "definition": model_definition(model, estimator, feature_table),
            "environment": code.environment_digest,
            "feature_table": digest_of(feature_table),
            "overlap": model.overlap,
            "split": {"kind": type(model.split).__name__, **plain(model.split)},
            "seed": seed,
            **({"studies": dict(studies)} if studies else {}),
            # The record names its code: what was trained of changed files is trained again once they are committed.
            **({"dirty": True} if code.dirty else {}),
        }
    )


def model_definition(model: Model, estimator: Estimator | Ensemble, feature_table: FeatureTable) -> Digest:
    """Return the digest of features, label, preprocessing, estimator and parameters, whatever the data."""
    return digest_of(
        {
            "data": feature_table.definition,
            "estimator": plain(estimator),
            "members": [plain(member) for member in _members(model, estimator)],
            "preprocessing": plain(model.preprocessing),
            "task": model.task,
        }
    )


def _studies(tunings: Sequence[Tuning], names: set[str]) -> dict[str, Digest]:
    """Return the tunings of some estimators, by the name of the study."""
    return {each.study: digest_of(each) for each in tunings if each.estimator in names}


def _members(model: Model, estimator: Estimator | Ensemble) -> list[Estimator]:
    """Return the members of an ensemble; a single estimator has none."""
    if isinstance(estimator, Estimator):
        return []
    found = (model.estimator(name) for name in estimator.members)
    return [member for member in found if isinstance(member, Estimator)]


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a feature table, and those of them that are learnt from, with their labels and classes."""

    whole: pa.Table
    parts: Parts
    learnt: pa.Table
    labels: NDArray[Any]
    classes: tuple[str, ...]

    @classmethod
    def of(cls, model: Model, table: FeatureTable, artifacts: ArtifactStore, *, folded: bool) -> _Rows:
        splitting = split_columns(model.split)
        categories = [each.name for each in table.features if each.kind == "categorical" and each.name not in splitting]
        unread = () if folded or parts_ask_entities(model, table) else ("entity",)
        whole = rows_of(table, artifacts, coded=categories, without=unread)
        parts = parts_of(whole, model, table)
        learnt = whole.filter(parts.train)
        labels = suitable_labels(learnt, model)
        classes = tuple(sorted(set(labels.tolist()))) if model.task == "multiclass" else ()
        check_features(learnt, table.features)
        return cls(whole, parts, learnt, labels, classes)


def _draft(
    rows: _Rows,
    model: Model,
    table: FeatureTable,
    *,
    estimator: Estimator | Ensemble,
    seed: int,
    code: CodeState,
) -> TrainedModel:
    """Return what is known of a training before anything is fitted: all but its pipeline and its profile."""
    unknown = Digest("")
    return TrainedModel(
        model=model.name,
        estimator=estimator.name,
        factory=ENSEMBLE_FACTORY if isinstance(estimator, Ensemble) else estimator.factory,
        parameters=_parameters(estimator),
        preprocessing=model.preprocessing.flat(),
        pipeline=unknown,
        features=table.features,
        feature_table=digest_of(table),
        train_as_ofs=rows.parts.split.train,
        test_as_of=rows.parts.split.test,
        train_rows=len(rows.labels),
        overlap_days=rows.parts.split.overlap_days,
        seed=seed,
        definition=model_definition(model, estimator, table),
        profile=unknown,
        code=code,
        task=model.task,
        classes=rows.classes,
        warnings=(
            *rows.parts.warnings,
            *class_warnings(rows.labels, rows.whole, rows.parts.test, model),
            *level_warnings(rows.learnt, table.features, model),
        ),
    )


def _learnt(
    draft: TrainedModel,
    lesson: Lesson,
    rows: _Rows,
    *,
    estimator: Estimator | Ensemble,
    model: Model,
    members: dict[str, Digest],
    artifacts: ArtifactStore,
) -> tuple[TrainedModel, WrittenRecord]:
    """Return what was learnt, and the profile of the rows it was learnt from, which is made beside the fit."""
    with ThreadPoolExecutor(1) as beside:
        profiled = beside.submit(_profiled, rows.learnt, draft.features)
        data = _fitted(lesson, estimator, model, members, rows.classes)
        profile = profiled.result()
    pipeline = artifacts.put(data, kind=ArtifactKind.MODEL, name=f"{model.name}-{estimator.name}").digest
    return replace(draft, pipeline=pipeline, profile=profile.digest), profile


def _profiled(rows: pa.Table, features: Sequence[FeatureColumn]) -> WrittenRecord:
    """Return the profile of rows, written as it will be stored."""
    return WrittenRecord.of(profile_of(rows, features))


def _lesson(
    rows: _Rows,
    *,
    model: Model,
    table: FeatureTable,
    estimator: Estimator | Ensemble,
    seed: int,
) -> Lesson:
    """Return the rows to learn from; classes are numbers in it, in the order of their names."""
    return Lesson(
        features=table.features,
        frame=frame_of({each.name: rows.learnt[each.name] for each in table.features}, table.features, coded=True),
        labels=encoded(rows.labels, rows.classes) if rows.classes else rows.labels,
        preprocessing=model.preprocessing,
        task=model.task,
        seed=seed,
        folds=folds(rows.learnt, model, table) if _needs_folds(estimator) else (),
    )


def _needs_folds(estimator: Estimator | Ensemble) -> bool:
    if isinstance(estimator, Ensemble):
        return estimator.method != "voting"
    return estimator.calibrate is not None


def _fitted(
    lesson: Lesson,
    estimator: Estimator | Ensemble,
    model: Model,
    members: dict[str, Digest],
    classes: tuple[str, ...],
) -> bytes:
    """Return the bytes of a fitted pipeline, or of the manifest of an ensemble."""
    if isinstance(estimator, Estimator):
        return pipeline_bytes(fitted_pipeline(lesson, estimator))
    single = {each.name: each for each in _members(model, estimator)}
    manifest = fitted_ensemble(estimator, lesson, estimators=single, pipelines=members)
    return manifest_bytes(replace(manifest, classes=classes))


def _parameters(estimator: Estimator | Ensemble) -> dict[str, Scalar]:
    if isinstance(estimator, Ensemble):
        return {"method": estimator.method, "members": ", ".join(estimator.members)}
    return dict(estimator.parameters)


def _figures(labels: NDArray[Any], model: Model) -> dict[str, float]:
    """Return what a tracker shows of the training rows."""
    figures = {"train_rows": float(len(labels))}
    if model.task == "multiclass":
        return {**figures, "train_classes": float(len(set(labels.tolist())))}
    name = "train_positive_rate" if model.task == "binary" else "train_label_mean"
    return {**figures, name: float(labels.mean())}


def _recorded(
    trained: TrainedModel,
    profile: WrittenRecord,
    figures: TrainingFigures,
    *,
    key: Digest,
    state: StateStore,
    now: datetime,
) -> TrainedModel:
    """Store a training under its key, or return the one that was stored meanwhile."""
    with state.transaction() as tx:
        if (first := tx.find(TrainedModel, key)) is not None:  # somebody else was faster
            return first
        tx.insert(trained.profile, profile, parent=trained.model, at=now)
        tx.insert(key, trained, parent=trained.model, at=now)
        tx.insert(key, figures, parent=trained.model, at=now)
    return trained
