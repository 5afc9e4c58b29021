"""Models of LightGBM and XGBoost in the text form of their own library, so that no pickle is ever stored or loaded.

LightGBM writes its text model (`Booster.model_to_string`), XGBoost its JSON model (`Booster.save_raw("json")`). Both are read back
by the library itself, which must then be installed.
"""

from __future__ import annotations

import importlib
import weakref
from typing import TYPE_CHECKING, Any

from keelway.errors import IntegrityError, MissingExtraError, TrainingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LIBRARIES = ("lightgbm", "xgboost")
_KEPT: weakref.WeakKeyDictionary[object, tuple[str, Any]] = weakref.WeakKeyDictionary()


def library_of(estimator: object) -> str:
    """Return which of the libraries an estimator is of, or an empty text."""
    package = type(estimator).__module__.partition(".")[0]
    return package if package in LIBRARIES else ""


def booster_text(estimator: Any) -> str:
    """Return what the library writes of a fitted estimator.

    Raises:
        TrainingError: It was given a parameter that the library does not write down.
    """
    if library_of(estimator) == "lightgbm":
        return str(estimator.booster_.model_to_string())
    _check_written(estimator)
    return bytes(estimator.get_booster().save_raw("json")).decode("utf-8")


def _check_written(estimator: Any) -> None:
    """Refuse a model of XGBoost that would answer otherwise when it is read back."""
    told = {"missing": estimator.missing, "objective": estimator.objective}
    expected = {"missing": "nan"}
    if told["objective"] == "multi:softmax":
        expected["objective"] = "multi:softprob"
    if wrong := [name for name, wanted in expected.items() if str(told[name]) != wanted]:
        raise TrainingError(
            "A model of XGBoost cannot be stored as it was fitted",
            expected=", ".join(f"{name}={expected[name]}" for name in wrong),
            found=", ".join(f"{name}={told[name]}" for name in wrong),
            fix="Leave the parameter out: missing numbers are imputed before the estimator sees them.",
        )


def booster_answers(
    library: str, text: str, matrix: Any, *, margins: bool = False, holder: object | None = None
) -> NDArray[np.float64]:
    """Return what a stored model answers: numbers, the probability of the second of two classes, or one of each class.

    Args:
        library: `lightgbm` or `xgboost`.
        text: What the library wrote.
        matrix: One row per row.
        margins: Whether the sums of the trees are wanted, before they become answers.
        holder: Whose text it is: as long as that lives and the text is the same, the library reads it only once.

    Raises:
        MissingExtraError: The library is not installed.
        IntegrityError: No such library is known.
    """
    import numpy as np

    package = _package(library)
    booster = _read(package, text, holder)
    if library == "lightgbm":
        return np.asarray(booster.predict(matrix, raw_score=margins), dtype=np.float64)
    return np.asarray(booster.predict(package.DMatrix(matrix), output_margin=margins), dtype=np.float64)


def _package(library: str) -> Any:
    if library not in LIBRARIES:
        raise IntegrityError("A stored model is of an unknown library", expected=" or ".join(LIBRARIES), found=library)
    try:
        return importlib.import_module(library)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "A stored model needs one more package",
            expected=library,
            found="it is not installed",
            fix=f"pip install 'keelway[{library}]'",
        ) from error


def _read(package: Any, text: str, holder: object | None) -> Any:
    """Return the library's own model; kept beside its holder and not in it, so that it is never stored with that."""
    known, booster = _KEPT.get(holder, ("", None)) if holder is not None else ("", None)
    if booster is not None and known is text:
        return booster
    if package.__name__ == "lightgbm":
        booster = package.Booster(model_str=text)
    else:
        booster = package.Booster()
        booster.load_model(bytearray(text, "utf-8"))
    if holder is not None:
        _KEPT[holder] = (text, booster)
    return booster
