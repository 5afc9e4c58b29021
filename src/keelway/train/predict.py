"""What a trained model answers to rows of features, whatever it was trained for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keelway.core import ArtifactStore
from keelway.errors import TrainingError
from keelway.train.frame import frame_of
from keelway.train.record import TrainedModel
from keelway.train.stored import load_pipeline

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def predictions(
    trained: TrainedModel, columns: Mapping[str, Sequence[Any]], *, artifacts: ArtifactStore
) -> NDArray[np.float64]:
    """Return the answers of a trained model.

    Args:
        trained: The model.
        columns: The features, as plain lists or columns of a feature table.
        artifacts: Holds the fitted pipeline.

    Returns:
        Shape (n,): the probability of 1 for a binary model, the value for a regression. Shape (n, k) for a multiclass
        model: the probability of each class, in the order of `trained.classes`.

    Raises:
        IntegrityError: The stored pipeline was altered.
        TrainingError: A feature is missing, or an answer is no finite number.
    """
    import numpy as np

    pipeline = load_pipeline(trained.pipeline, artifacts=artifacts)
    frame = frame_of(columns, trained.features)
    if trained.task == "regression":
        found = np.asarray(pipeline.predict(frame), dtype=np.float64)
    else:
        found = np.asarray(pipeline.predict_proba(frame), dtype=np.float64)
    if trained.task == "binary":
        found = found[:, 1]
    strange = int(np.count_nonzero(~np.isfinite(found)))
    if strange:
        raise TrainingError(
            f"Model {trained.model!r} ({trained.estimator}) gives answers that are not numbers",
            expected="finite numbers",
            found=f"{strange} of {found.size}",
            fix="Look at the training rows for numbers of very different size, or choose another estimator.",
        )
    return found
