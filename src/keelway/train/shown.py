"""What a tracker's users are shown of a training: tags, signature, an example that is nobody, and the pipeline's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keelway.core import DIRTY, ArtifactStore, Digest, canonical_json, time_text
from keelway.features import FeatureColumn, Profile
from keelway.project import Task
from keelway.train.manifest import ENSEMBLE_FACTORY
from keelway.train.record import TrainedModel
from keelway.train.tracking.described import typical_row
from keelway.train.tracking.machine import machine

MOST_FILE_BYTES = 64 << 20
"""A larger pipeline is named by its digest alone: the tracker would hold a second copy of it."""


def shown_beginning(trained: TrainedModel, *, key: Digest) -> dict[str, Any]:
    """Return what `Tracker.announced_training` is told of a training.

    Args:
        trained: What is going to be learnt; its pipeline and profile are not looked at.
        key: What identifies the training.
    """
    return {
        "name": f"{trained.estimator} {time_text(trained.test_as_of)[:10]}",
        "parameters": {
            "estimator": trained.factory,
            "seed": trained.seed,
            **trained.parameters,
            **trained.preprocessing,
        },
        "tags": _tags(trained, key),
        "dataset_digest": trained.feature_table,
        "signature_json": signature_of(trained),
    }


def shown_training(trained: TrainedModel, profile: Profile, *, key: Digest, artifacts: ArtifactStore) -> dict[str, Any]:
    """Return what `Tracker.record_training` is told of a training besides its figures.

    Args:
        profile: That of the rows it learned from.
        key: What identifies the training.
    """
    return {
        **shown_beginning(trained, key=key),
        "example_json": typical_row(trained.features, profile),
        "artifacts": {"pipeline": trained.pipeline, "profile": trained.profile},
        "files": lambda: _files(trained, artifacts),
    }


def signature_of(trained: TrainedModel) -> str:
    """Return inputs and outputs as JSON, in the layout MLflow's users know."""
    return signature_text(trained.features, trained.task, trained.classes)


def signature_text(features: tuple[FeatureColumn, ...], task: Task, classes: tuple[str, ...] = ()) -> str:
    """Return inputs and outputs as JSON; of a multiclass model whose classes are not known yet, the inputs alone."""
    types: dict[str, dict[str, Any]] = {
        "numeric": {"type": "double"},
        "categorical": {"type": "string"},
        "text": {"type": "string"},
        "array": {"type": "array", "items": {"type": "float"}},
    }
    inputs = [{**types[each.kind], "name": each.name, "required": False} for each in features]
    names = {"binary": ("probability",), "multiclass": classes, "regression": ("value",)}[task]
    outputs = [{"name": name, "type": "double", "required": True} for name in names]
    return canonical_json({"inputs": inputs, "outputs": outputs}).decode()


def _tags(trained: TrainedModel, key: Digest) -> dict[str, str]:
    here, code = machine(), trained.code
    told = {
        "keelway.key": key,
        "keelway.kind": "training",
        "keelway.model": trained.model,
        "keelway.seed": str(trained.seed),
        "keelway.project": code.project_digest,
        "keelway.environment": code.environment_digest,
        "keelway.commit": code.commit,
        "keelway.diff": code.diff_digest,
        "keelway.lock": code.lock_digest,
        "keelway.libraries": canonical_json(here.libraries).decode(),
        "keelway.warnings": "\n".join(trained.warnings),
        "estimator_class": trained.factory,
        "mlflow.source.name": "keelway run",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": code.commit.removesuffix(DIRTY),
    }
    return {name: text for name, text in told.items() if text or name == "keelway.commit"}


def _files(trained: TrainedModel, artifacts: ArtifactStore) -> dict[str, Path]:
    size = artifacts.size_of(trained.pipeline)
    if size is None or size > MOST_FILE_BYTES:
        return {}
    name = "ensemble.json" if trained.factory == ENSEMBLE_FACTORY else "pipeline.skops"
    return {f"model/{name}": artifacts.path_of(trained.pipeline)}
