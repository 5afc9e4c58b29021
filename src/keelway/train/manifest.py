"""EnsembleManifest: one artifact that stands for several fitted pipelines, and the pipeline that answers for them.

The artifact is canonical JSON. It names every member by the digest of its pipeline, so whoever holds the ensemble's digest
holds all members: an altered one is refused when it is read. How their answers are combined is a handful of numbers in the
same JSON; nothing in it can be executed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from keelway.core import Digest, canonical_json, parse_json, revive
from keelway.errors import IntegrityError
from keelway.project import Combination, Task

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

FORMAT: Literal["keelway.ensemble/1"] = "keelway.ensemble/1"
ENSEMBLE_FACTORY = "keelway.Ensemble"


@dataclass(frozen=True, slots=True)
class EnsembleMember:
    """One estimator of an ensemble, fitted.

    Attributes:
        name: The estimator's name in the model.
        pipeline: The artifact that holds it.
    """

    name: str
    pipeline: Digest


@dataclass(frozen=True, slots=True)
class EnsembleManifest:
    """Which pipelines answer together, and how.

    Attributes:
        format: What the artifact is.
        name: The ensemble's name in the model.
        method: How answers are combined.
        task: What is predicted.
        classes: The names of a multiclass label in the order of the probabilities; empty otherwise.
        members: The fitted pipelines, in the order of the weights.
        weights: For voting and blending: one per member, none negative, in sum 1. Empty for stacking.
        coefficients: For stacking: one row per output (one for binary and regression, one a class for multiclass), one number
            per answer of a member, member by member. Empty otherwise.
        intercepts: For stacking: one per row of `coefficients`.
    """

    format: Literal["keelway.ensemble/1"]
    name: str
    method: Combination
    task: Task
    classes: tuple[str, ...]
    members: tuple[EnsembleMember, ...]
    weights: tuple[float, ...]
    coefficients: tuple[tuple[float, ...], ...]
    intercepts: tuple[float, ...]


class EnsemblePipeline:
    """Fitted pipelines that answer as one; used like a fitted pipeline of scikit-learn.

    Args:
        manifest: How their answers are combined.
        members: The pipelines, in the manifest's order.
    """

    def __init__(self, manifest: EnsembleManifest, members: Sequence[Any]) -> None:
        self.manifest = manifest
        self.members = tuple(members)

    def predict_proba(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Return one probability per class for each row."""
        return combined(self.manifest, [each.predict_proba(frame) for each in self.members])

    def predict(self, frame: pd.DataFrame) -> NDArray[Any]:
        """Return the number for each row, or the most probable class."""
        import numpy as np

        if self.manifest.task == "regression":
            return combined(self.manifest, [each.predict(frame).reshape(-1, 1) for each in self.members])[:, 0]
        best = self.predict_proba(frame).argmax(axis=1)
        classes: NDArray[Any] = np.asarray(self.members[0].classes_)[best]
        return classes


def combined(manifest: EnsembleManifest, answers: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the combined answer.

    Args:
        manifest: How answers are combined.
        answers: One matrix per member: one row per row, one column per class, or a single column of numbers.
    """
    import numpy as np

    if manifest.method != "stacking":
        mixed: NDArray[np.float64] = np.tensordot(np.array(manifest.weights), np.stack(answers), axes=1)
        return mixed
    scores: NDArray[np.float64] = stacked(answers, manifest.task) @ np.array(manifest.coefficients).T + np.array(
        manifest.intercepts
    )
    if manifest.task == "regression":
        return scores
    if manifest.task == "binary":
        positive = 1 / (1 + np.exp(-scores))
        return np.hstack([1 - positive, positive])
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def stacked(answers: Sequence[NDArray[np.float64]], task: Task) -> NDArray[np.float64]:
    """Return what a stacking model reads: of two classes the probability of the second, else every column."""
    import numpy as np

    return np.hstack([each[:, 1:] if task == "binary" else each for each in answers])


def manifest_bytes(manifest: EnsembleManifest) -> bytes:
    """Return the bytes of the artifact."""
    return canonical_json(manifest)


def is_manifest(data: bytes) -> bool:
    """Say whether an artifact is an ensemble, and no single pipeline."""
    return data.startswith(b"{")


def read_manifest(data: bytes) -> EnsembleManifest:
    """Return the manifest that an artifact holds.

    Raises:
        IntegrityError: It holds something else, or numbers that do not belong together.
    """
    try:
        found = revive(parse_json(data), EnsembleManifest)
    except ValueError as error:
        raise IntegrityError("A stored ensemble cannot be read", expected="JSON", found=str(error)[:200]) from error
    outputs = len(found.classes) if found.task == "multiclass" else 1
    answers = outputs * len(found.members)
    fits = (
        (len(found.coefficients), len(found.intercepts)) == (outputs, outputs)
        and all(len(row) == answers for row in found.coefficients)
        if found.method == "stacking"
        else len(found.weights) == len(found.members)
    )
    if not fits:
        raise IntegrityError(
            "A stored ensemble has numbers that do not fit its members",
            expected=f"weights for {len(found.members)} members",
            found=f"{len(found.weights)} weights and {len(found.coefficients)} rows of coefficients",
        )
    return found


def loaded(manifest: EnsembleManifest, pipelines: Mapping[Digest, Any]) -> EnsemblePipeline:
    """Return the pipeline that answers for the members."""
    return EnsemblePipeline(manifest, [pipelines[each.pipeline] for each in manifest.members])
