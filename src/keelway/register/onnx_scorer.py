"""The exported model as a scorer of rows: what answers where a model has no plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keelway.project import Task
from keelway.register.onnx_model import OnnxModel
from keelway.register.pipeline_model import PipelineModel
from keelway.register.row_lengths import check_row_lengths


class OnnxScorer:
    """Answers rows by ONNX Runtime; safe to call from several threads.

    Args:
        model: The loaded model.
        task: What it predicts.
        classes: The names of a multiclass label in the order of the probabilities; empty otherwise.
    """

    def __init__(self, model: OnnxModel | PipelineModel, *, task: Task, classes: tuple[str, ...] = ()) -> None:
        self.features = model.features
        self.task = task
        self.classes = classes
        self._model = model
        self._names = [each.name for each in model.features]

    def predictions(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """Return the answer to each row: a probability, a number, or a probability for each class.

        Raises:
            ServingError: A row is too short or too long, or a value has the wrong type.
        """
        if not rows:
            return []
        check_row_lengths(rows, len(self._names))
        columns = dict(zip(self._names, zip(*rows, strict=True), strict=True))
        found: list[Any] = self._model.predictions(columns).tolist()
        return found
