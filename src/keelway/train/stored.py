"""Keep a fitted pipeline as skops bytes, which hold no executable code, and load it with an allow list."""

from __future__ import annotations

import zipfile
from typing import Any

from keelway.core import ArtifactStore, Digest
from keelway.errors import IntegrityError, TrainingError

TRUSTED_TYPES = frozenset(
    {
        "numpy.dtype",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn.tree._tree.Tree",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn._loss.link.LogitLink",
        "sklearn._loss.link.Interval",
        "sklearn._loss._loss.CyHalfBinomialLoss",
        "sklearn.compose._column_transformer._RemainderColsList",
    }
)
"""Types beyond those skops trusts by itself; all are plain data of scikit-learn and numpy."""


def pipeline_bytes(pipeline: Any) -> bytes:
    """Return a fitted pipeline as skops bytes.

    Raises:
        TrainingError: It holds types that `load_pipeline` would refuse.
    """
    import skops.io

    data: bytes = skops.io.dumps(pipeline, compression=zipfile.ZIP_DEFLATED, compresslevel=1)
    if strange := _strange_types(data):
        raise TrainingError(
            f"{type(pipeline[-1]).__name__} cannot be stored without code",
            expected="types on the allow list",
            found=", ".join(strange[:5]),
            fix="Use a linear model, trees or a boosted ensemble of scikit-learn.",
        )
    return data


def load_pipeline(digest: Digest, *, artifacts: ArtifactStore) -> Any:
    """Return the fitted pipeline that an artifact holds.

    Raises:
        IntegrityError: The bytes are altered, no pipeline, or hold types that are not on the allow list.
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    data = artifacts.get(digest)
    try:
        if strange := _strange_types(data):
            raise IntegrityError(
                "A stored pipeline holds types that are not on the allow list",
                expected="types of scikit-learn and numpy",
                found=", ".join(strange[:5]),
                fix="Do not use these bytes: training stores no such pipeline. Train again.",
            )
        return skops.io.loads(data, trusted=sorted(TRUSTED_TYPES))
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, UntrustedTypesFoundException) as error:
        raise IntegrityError("A stored pipeline cannot be read", expected="skops bytes", found=str(error)) from error


def _strange_types(data: bytes) -> list[str]:
    """Return the names of types in skops bytes that are not on the allow list."""
    import skops.io

    return sorted(set(skops.io.get_untrusted_types(data=data)) - TRUSTED_TYPES)
