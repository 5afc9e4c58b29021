"""The forms that a trained model is served in: a compiled plan, or ONNX; each is compared with the trained model first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keelway.core import ArtifactKind, ArtifactStore, Digest
from keelway.errors import RefusedError, ServingError
from keelway.features import FeatureTable, columns_for_scoring, rows_of
from keelway.project import Model
from keelway.register.convert import to_onnx
from keelway.register.parity import check_answers, check_parity, check_plan
from keelway.register.plan import compile_plan, plan_bytes, read_plan, with_means
from keelway.register.records import Parity
from keelway.train import TrainedModel, held_out_rows, load_pipeline

if TYPE_CHECKING:
    import pyarrow as pa

MOST_ROWS = 75_000
"""Rows of the feature table that a plan is compared on; with the changed copies of them some 100,000."""


@dataclass(frozen=True, slots=True)
class ExportedForms:
    """What a model was exported to; the attributes are those of `ModelVersion`."""

    onnx: Digest
    parity: Parity
    plan: Digest | None
    plan_parity: Parity | None
    no_plan: str


def exported_forms(
    trained: TrainedModel, table: FeatureTable, *, model: Model, artifacts: ArtifactStore
) -> ExportedForms:
    """Return the stored forms of a trained model.

    ONNX is compared on the held-out rows, a plan on all rows of the feature table, or on so many of them at equal distances.

    Raises:
        RefusedError: The exported model differs from the trained one.
    """
    pipeline = load_pipeline(trained.pipeline, artifacts=artifacts)
    rows = rows_of(table, artifacts)
    columns = columns_for_scoring(held_out_rows(rows, model, table), trained.features)
    if model.serve == "python":
        answers = check_answers(pipeline, trained.features, columns, is_number=trained.task == "regression")
        return ExportedForms(trained.pipeline, answers, None, None, "the model is declared to be served as Python")
    data = to_onnx(pipeline, trained.features)
    parity = check_parity(pipeline, data, trained.features, columns, tolerance=model.onnx_tolerance)
    onnx = artifacts.put(data, kind=ArtifactKind.MODEL, name=f"{trained.model}.onnx").digest
    compared = columns_for_scoring(_spread(rows), trained.features)
    plan, agreed, reason = _compiled(pipeline, trained, compared, tolerance=model.onnx_tolerance)
    if plan is None:
        return ExportedForms(onnx, parity, None, None, reason)
    stored = artifacts.put(plan, kind=ArtifactKind.MODEL, name=f"{trained.model}.plan")
    return ExportedForms(onnx, parity, stored.digest, agreed, "")


def _compiled(
    pipeline: Any, trained: TrainedModel, columns: Mapping[str, Sequence[Any]], *, tolerance: float
) -> tuple[bytes | None, Parity | None, str]:
    """Return the bytes of a plan and how well it agrees; or none, and why."""
    try:
        plan = compile_plan(pipeline, trained.features, task=trained.task, classes=trained.classes)
    except NotImplementedError as error:
        return None, None, str(error)
    data = plan_bytes(with_means(plan, columns))
    try:
        return data, check_plan(pipeline, read_plan(data), columns, tolerance=tolerance), ""
    except RefusedError as error:
        return None, None, f"{error.reasons[0]}, where {error.expected} is allowed"
    except ServingError as error:
        return None, None, f"the plan does not answer every row: {error.what}"


def _spread(rows: pa.Table) -> pa.Table:
    """Return all rows, or as many as are compared, at equal distances."""
    import numpy as np

    if rows.num_rows <= MOST_ROWS:
        return rows
    return rows.take(np.linspace(0, rows.num_rows - 1, MOST_ROWS).astype(np.int64))
