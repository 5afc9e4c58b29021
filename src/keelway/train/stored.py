"""Keep a fitted pipeline as skops bytes, which hold no executable code, and load it with an allow list.

Every type beyond those skops trusts by itself stands in `TRUSTED_TYPES`, or was added by `trust_type` in the project's own
code. A model of LightGBM or XGBoost is kept in its library's own text form, scikit-learn's boosted trees as a few arrays. An
ensemble is a small JSON artifact that names its members' pipelines; it is loaded as one, each member checked.
"""

from __future__ import annotations

import copy
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from typing import Any

from keelway.core import ArtifactStore, Digest
from keelway.errors import IntegrityError, TrainingError, UsageError
from keelway.train.boosters import booster_text, library_of
from keelway.train.manifest import is_manifest, loaded, read_manifest
from keelway.train.packed import has_trees, packed, unpack
from keelway.train.same_bytes import archive_of

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
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.compose._column_transformer._RemainderColsList",
        "sklearn.model_selection._split.KFold",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "keelway.train.networks.NetworkClassifier",
        "keelway.train.networks.NetworkRegressor",
        "keelway.train.packed.PackedArrays",
        "keelway.train.packed.PackedTrees",
        "keelway.train.stages.BoosterClassifier",
        "keelway.train.stages.BoosterRegressor",
        "keelway.train.stages.ColumnSelector",
        "keelway.train.stages.KnownLevels",
        "keelway.train.stages.TextColumns",
        "keelway.train.stages.To32Bits",
    }
)
"""Types beyond those skops trusts by itself; all are plain data of scikit-learn, numpy and Keelway."""

UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    tokenize.TokenError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
"""What is raised where bytes that somebody changed are unzipped, read as arrays, and put together."""

_trusted_by_project: set[str] = set()


def trust_type(kind: type) -> None:
    """Let fitted pipelines hold objects of a class of your own, in this process.

    Call it in the project's code, beside the class: whoever loads the project then trusts the class as much as the project. An
    object of it is rebuilt from its attributes; the class must not act on them when it is made.

        class Scorecard(ClassifierMixin, BaseEstimator): ...
        trust_type(Scorecard)

    Raises:
        UsageError: It is no class that can be imported by name.
    """
    if not isinstance(kind, type) or "<locals>" in kind.__qualname__ or kind.__module__ in ("builtins", "__main__"):
        raise UsageError(
            "This cannot be trusted by name",
            expected="a class at the top level of a module of the project",
            found=repr(kind),
        )
    _trusted_by_project.add(f"{kind.__module__}.{kind.__qualname__}")


def pipeline_bytes(pipeline: Any) -> bytes:
    """Return a fitted pipeline as skops bytes.

    Raises:
        TrainingError: It holds types that `load_pipeline` would refuse.
    """
    archive = archive_of(_plain_form(pipeline))
    if strange := _strange_of(archive.untrusted):
        raise TrainingError(
            f"{type(pipeline[-1]).__name__} cannot be stored without code",
            expected="types on the allow list",
            found=", ".join(strange[:5]),
            fix="Use a linear model, trees or a boosted ensemble of scikit-learn, or trust_type(...) a class of your own.",
        )
    return archive.data


def load_pipeline(digest: Digest, *, artifacts: ArtifactStore) -> Any:
    """Return the fitted pipeline, or the ensemble of them, that an artifact holds.

    Raises:
        IntegrityError: The bytes, or those of a member, are altered, no pipeline, or hold types that are not on the allow list.
        MissingRecordError: A member is gone.
    """
    data = artifacts.get(digest)
    if not is_manifest(data):
        return _pipeline(data)
    manifest = read_manifest(data)
    members = {each.pipeline: _pipeline(artifacts.get(each.pipeline)) for each in manifest.members}
    return loaded(manifest, members)


def member_pipelines(digest: Digest, *, artifacts: ArtifactStore) -> dict[str, Digest]:
    """Return the artifacts of an ensemble's members by their names; a single pipeline has none.

    Raises:
        IntegrityError: The bytes are altered, or no ensemble although they look like one.
    """
    data = artifacts.get(digest)
    return {each.name: each.pipeline for each in read_manifest(data).members} if is_manifest(data) else {}


def _pipeline(data: bytes) -> Any:
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return _unpacked(skops.io.loads(data, trusted=sorted(TRUSTED_TYPES | _trusted_by_project)))
    except UntrustedTypesFoundException as error:  # nothing was made of them
        raise IntegrityError(
            "A stored pipeline holds types that are not on the allow list",
            expected="types of scikit-learn and numpy",
            found=", ".join(_strange_of(skops.io.get_untrusted_types(data=data))[:5]),
            fix="Do not use these bytes: training stores no such pipeline. Train again.",
        ) from error
    except UNREADABLE as error:
        raise IntegrityError("A stored pipeline cannot be read", expected="skops bytes", found=str(error)) from error


def _unpacked(pipeline: Any) -> Any:
    """Return a loaded pipeline, its boosted trees looked at and as scikit-learn has them."""
    from sklearn.pipeline import Pipeline

    if isinstance(pipeline, Pipeline):
        last = pipeline[-1]
        for each in (last, *(one.estimator for one in getattr(last, "calibrated_classifiers_", ()))):
            if has_trees(each):
                unpack(each)
    return pipeline


def _plain_form(pipeline: Any) -> Any:
    """Return a pipeline whose models of other libraries are text, and whose boosted trees are a few arrays."""
    from sklearn.pipeline import Pipeline

    *stages, (name, last) = pipeline.steps
    return Pipeline([*stages, (name, _plain_model(last))])


def _plain_model(last: Any) -> Any:
    if not hasattr(last, "calibrated_classifiers_"):
        return _plain_estimator(last)
    written = copy.copy(last)
    written.calibrated_classifiers_ = [copy.copy(each) for each in last.calibrated_classifiers_]
    for each in written.calibrated_classifiers_:
        each.estimator = _plain_estimator(each.estimator)
    if library_of(last.estimator):  # the unfitted one, which nothing asks any more
        written.estimator = written.calibrated_classifiers_[0].estimator
    return written


def _plain_estimator(fitted: Any) -> Any:
    if library_of(fitted):
        return _as_text(fitted)
    return packed(fitted) if has_trees(fitted) else fitted


def _as_text(fitted: Any) -> Any:
    """Return a fitted model of LightGBM or XGBoost as text."""
    from keelway.train.stages import BoosterClassifier, BoosterRegressor

    library, text = library_of(fitted), booster_text(fitted)
    classes = [each.item() if hasattr(each, "item") else each for each in getattr(fitted, "classes_", ())]
    if not classes:
        return BoosterRegressor(library, text)
    return BoosterClassifier(library, text, classes, margins=hasattr(fitted, "decision_function"))


def _strange_of(untrusted: Iterable[str]) -> list[str]:
    """Return those of the types that skops does not trust by itself which are not on the allow list either."""
    return sorted(set(untrusted) - TRUSTED_TYPES - _trusted_by_project)
