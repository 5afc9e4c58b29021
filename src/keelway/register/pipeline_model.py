"""A fitted pipeline that answers in this process: for comparing and trying a version that has no other form, never to serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keelway.features import FeatureColumn
from keelway.project import Task
from keelway.train import frame_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class PipelineModel:
    """A loaded pipeline; answers as `OnnxModel` does.

    Args:
        pipeline: Fitted, loaded with the allow list.
        features: The columns it reads.
    """

    def __init__(self, pipeline: Any, features: Sequence[FeatureColumn], *, task: Task) -> None:
        self.features = tuple(features)
        self._pipeline = pipeline
        self._task = task

    def predictions(self, columns: Mapping[str, Sequence[Any]]) -> NDArray[np.float64]:
        """Return the answers: shape (n,) of probabilities or numbers, or (n, k) of a probability for each class."""
        import numpy as np

        frame = frame_of(columns, self.features)
        if self._task == "regression":
            return np.asarray(self._pipeline.predict(frame), dtype=np.float64)
        found = np.asarray(self._pipeline.predict_proba(frame), dtype=np.float64)
        return found[:, 1] if self._task == "binary" else found
