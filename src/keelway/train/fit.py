"""Fit a model on the cuts before its test cut, and keep everything needed to do it again.

Training is idempotent: its key is the digest of the feature table, what was declared, the seed and the environment. A
second call with the same key returns the first one's record and fits nothing.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from keelway.core import (
    ArtifactKind,
    ArtifactStore,
    CodeState,
    Digest,
    canonical_json,
    digest_of,
    plain,
    time_text,
)
from keelway.errors import TrainingError
from keelway.features import FeatureColumn, FeatureTable, Profile, columns_for_scoring, profile_of, rows_of
from keelway.ledger import StateStore
from keelway.project import Estimator, Model, Preprocessing
from keelway.train.frame import frame_of, labels_of, ordered
from keelway.train.ports import Tracker
from keelway.train.preprocess import make_estimator, make_preprocessor, make_selector, needs_scale
from keelway.train.record import TrainedModel
from keelway.train.split import Split, forward_split
from keelway.train.stored import pipeline_bytes

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

MIN_ROWS = 20


def fit(
    model: Model,
    feature_table: FeatureTable,
    *,
    estimator: Estimator,
    artifacts: ArtifactStore,
    state: StateStore,
    tracker: Tracker,
    seed: int,
    now: datetime,
    code: CodeState,
) -> TrainedModel:
    """Fit one estimator on the training cuts of a feature table.

    Raises:
        TrainingError: The data or the estimator cannot be used; the message says what to change.
    """
    key = training_key(model, feature_table, estimator=estimator, seed=seed, code=code)
    with state.snapshot() as tx:
        known = tx.find(TrainedModel, key)
    if known is not None:
        return known
    trained, profile, positive_rate = _learnt(
        model, feature_table, estimator=estimator, artifacts=artifacts, seed=seed, code=code
    )
    run = _shown(trained, model.preprocessing, key=key, positive_rate=positive_rate, tracker=tracker)
    return _recorded(replace(trained, tracking_run=run), profile, key=key, state=state, now=now)


def training_key(
    model: Model, feature_table: FeatureTable, *, estimator: Estimator, seed: int, code: CodeState
) -> Digest:
    """Return the digest of everything that decides how a training ends."""
    return digest_of(
        {
            "definition": model_definition(model, estimator, feature_table),
            "environment": code.environment_digest,
            "feature_table": digest_of(feature_table),
            "overlap": model.overlap,
            "seed": seed,
        }
    )


def model_definition(model: Model, estimator: Estimator, feature_table: FeatureTable) -> Digest:
    """Return the digest of features, label, preprocessing, estimator and parameters, whatever the data."""
    return digest_of(
        {"data": feature_table.definition, "estimator": plain(estimator), "preprocessing": plain(model.preprocessing)}
    )


def training_rows(rows: pa.Table, split: Split) -> pa.Table:
    """Return the rows of the training cuts; where the split is clean, only those whose label was known by the test."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kept = pc.is_in(rows["as_of"], pa.array(split.train, type=rows.schema.field("as_of").type))
    if split.overlap_days == 0 and "label_known_at" in rows.column_names:
        moment = pa.scalar(split.test, type=rows.schema.field("label_known_at").type)
        kept = pc.and_(kept, pc.less_equal(rows["label_known_at"], moment))
    return rows.filter(kept)


def _learnt(
    model: Model,
    feature_table: FeatureTable,
    *,
    estimator: Estimator,
    artifacts: ArtifactStore,
    seed: int,
    code: CodeState,
) -> tuple[TrainedModel, Profile, float]:
    """Return what was learnt, the profile of the rows it was learnt from, and the share of positives among them."""
    split = forward_split(feature_table.as_ofs, timedelta(seconds=feature_table.horizon_s), model.overlap)
    rows = training_rows(rows_of(feature_table, artifacts), split)
    frame, labels = _checked(rows, feature_table.features)
    pipeline = _fitted(model, feature_table.features, frame, labels, estimator=estimator, seed=seed)
    stored = artifacts.put(pipeline_bytes(pipeline), kind=ArtifactKind.MODEL, name=f"{model.name}-{estimator.name}")
    profile = profile_of(rows, feature_table.features)
    trained = TrainedModel(
        model=model.name,
        estimator=estimator.name,
        factory=estimator.factory,
        parameters=dict(estimator.parameters),
        pipeline=stored.digest,
        features=feature_table.features,
        feature_table=digest_of(feature_table),
        train_as_ofs=split.train,
        test_as_of=split.test,
        train_rows=len(labels),
        overlap_days=split.overlap_days,
        seed=seed,
        definition=model_definition(model, estimator, feature_table),
        tracking_run="",
        profile=digest_of(profile),
        code=code,
    )
    return trained, profile, float(labels.mean())


def _checked(rows: pa.Table, features: tuple[FeatureColumn, ...]) -> tuple[pd.DataFrame, NDArray[np.int8]]:
    """Return frame and labels of rows that a model can learn from."""
    import numpy as np

    if rows.num_rows < MIN_ROWS:
        raise TrainingError(
            "There are too few rows to train on",
            expected=f"at least {MIN_ROWS} whose labels were known by the test cut",
            found=str(rows.num_rows),
            fix="Start `cuts` earlier, or check that the snapshot holds the expected period.",
        )
    labels = labels_of(rows)
    if len(np.unique(labels)) < 2:
        raise TrainingError(
            "Every training label is the same",
            expected="rows of both classes",
            found=f"{len(labels)} times {labels[0]}",
            fix="Check the label's function and its horizon.",
        )
    if not features:
        raise TrainingError("There is no feature to learn from", expected="one or more features")
    frame = frame_of(columns_for_scoring(rows, features), features)
    for each in ordered(features):
        if each.kind == "numeric" and bool(np.isnan(frame[each.name].to_numpy()).all()):
            raise TrainingError(
                f"Feature {each.name!r} is null in every training row",
                expected="at least one value",
                found=f"{len(frame)} nulls",
                fix="Remove the feature, or check the column it is made from.",
            )
    return frame, labels


def _fitted(
    model: Model,
    features: tuple[FeatureColumn, ...],
    frame: pd.DataFrame,
    labels: NDArray[np.int8],
    *,
    estimator: Estimator,
    seed: int,
) -> Any:
    """Return the fitted pipeline; the estimator learns in 64 bits from 32-bit inputs."""
    import numpy as np
    from sklearn.pipeline import Pipeline

    last = make_estimator(estimator, seed)
    chosen = model.preprocessing
    first = make_preprocessor(features, frame, chosen=chosen, scale=needs_scale(last, chosen))
    stages: list[tuple[str, Any]] = [("prepare", first)]
    selector = make_selector(chosen, seed)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            matrix = first.fit_transform(frame).astype(np.float64)
            if selector is not None:
                matrix = _selected(selector, matrix, labels)
                stages.append(("select", selector))
            last.fit(matrix, labels)
        except ValueError as error:
            raise TrainingError(
                f"Estimator {estimator.name!r} cannot be fitted", found=str(error).splitlines()[0]
            ) from error
    _refuse_unfinished(told, estimator)
    return Pipeline([*stages, ("estimate", last)])


def _selected(selector: Any, matrix: NDArray[np.float64], labels: NDArray[np.int8]) -> NDArray[np.float64]:
    """Return the columns that a fitted selector keeps, at least one."""
    kept = selector.fit(matrix, labels).get_support()
    if not kept.any():
        raise TrainingError(
            "No column is left after selection",
            expected="one or more that tell something about the label",
            found=f"0 of {len(kept)}",
            fix="Declare Preprocessing(select=None), or add features.",
        )
    chosen: NDArray[np.float64] = matrix[:, kept]
    return chosen


def _refuse_unfinished(told: list[warnings.WarningMessage], estimator: Estimator) -> None:
    """Refuse a fit that stopped before it converged; other warnings are passed on."""
    from sklearn.exceptions import ConvergenceWarning

    for each in told:
        if issubclass(each.category, ConvergenceWarning):
            raise TrainingError(
                f"Estimator {estimator.name!r} did not converge",
                found=str(each.message).splitlines()[0],
                fix="Raise max_iter in the estimator's parameters, or keep Preprocessing(scale=True).",
            )
        warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)


def _shown(
    trained: TrainedModel, preprocessing: Preprocessing, *, key: Digest, positive_rate: float, tracker: Tracker
) -> str:
    """Show a training in the tracker and return the run's id."""
    return tracker.record_training(
        trained.model,
        name=f"{trained.estimator} {time_text(trained.test_as_of)[:10]}",
        parameters={
            "estimator": trained.factory,
            "seed": trained.seed,
            **trained.parameters,
            **plain(preprocessing),
        },
        metrics={"train_rows": float(trained.train_rows), "train_positive_rate": positive_rate},
        tags={
            "keelway.key": key,
            "keelway.project": trained.code.project_digest,
            "keelway.environment": trained.code.environment_digest,
            "keelway.commit": trained.code.commit,
        },
        dataset_digest=trained.feature_table,
        signature_json=_signature(trained.features),
        artifacts={"pipeline": trained.pipeline, "profile": trained.profile},
    )


def _recorded(
    trained: TrainedModel, profile: Profile, *, key: Digest, state: StateStore, now: datetime
) -> TrainedModel:
    """Store a training under its key, or return the one that was stored meanwhile."""
    with state.transaction() as tx:
        if (first := tx.find(TrainedModel, key)) is not None:  # somebody else was faster
            return first
        tx.insert(trained.profile, profile, parent=trained.model, at=now)
        tx.insert(key, trained, parent=trained.model, at=now)
    return trained


def _signature(features: tuple[FeatureColumn, ...]) -> str:
    """Return inputs and outputs as JSON, in the layout MLflow's users know."""
    types = {"numeric": "double", "categorical": "string"}
    inputs = [{"name": each.name, "type": types[each.kind], "required": False} for each in features]
    outputs = [{"name": "probability", "type": "double", "required": True}]
    return canonical_json({"inputs": inputs, "outputs": outputs}).decode()
