"""The first stage of a pipeline: every feature becomes 32-bit numbers, as the feature schema and the model say.

Rules kept here, so that the exported model answers as the trained one does:

- Numbers are 32-bit floats on both sides, so a threshold splits the same rows in Python and in ONNX.
- Trees see unscaled numbers: they only compare, and scaling could move a value across a threshold by rounding.
- A category seen less than `rare_level` times, or never, is "none of the known": no column, the code -1, or the mean outcome
  of all such rows.
- The target encoder gives a training row the mean outcome of *other* rows: `fit_transform` cross-fits it, and nothing here
  calls `fit` and `transform` one after the other on training rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from keelway.errors import TrainingError
from keelway.features import FeatureColumn
from keelway.project import Preprocessing, Task
from keelway.train.preprocess.estimators import is_tree
from keelway.train.preprocess.levels import MAX_LEVELS, known_levels

if TYPE_CHECKING:
    import pandas as pd

CROSS_FITS = 5
TARGET_TYPES: dict[Task, str] = {"binary": "binary", "multiclass": "multiclass", "regression": "continuous"}

USES: dict[str, frozenset[str]] = {
    "numeric": frozenset({"impute", "missing_indicator", "scale"}),
    "categorical": frozenset({"encode", "rare_level", "scale"}),
    "text": frozenset({"text", "text_columns"}),
    "array": frozenset({"scale"}),
}
"""Kind of feature to what may be declared for a single column of it."""

Stage = tuple[str, Any, list[int]]
"""Name, transformer and positions of columns, as scikit-learn's ColumnTransformer takes them."""


def make_preprocessor(
    features: Sequence[FeatureColumn],
    frame: pd.DataFrame,
    *,
    chosen: Preprocessing,
    scale: bool,
    task: Task = "binary",
    seed: int = 0,
) -> Any:
    """Return the unfitted first stage: numbers, categories, arrays and texts, columns with equal choices together.

    Columns are named by position, because the exported model reads tensors and knows no names.

    Args:
        features: The schema, in the order of the model version.
        frame: The training rows, as `frame_of` makes them.
        chosen: What the model declares.
        scale: Whether the estimator wants scaled numbers.
        task: What is predicted; the target encoder must know.
        seed: Decides which rows the target encoder holds out together.

    Raises:
        TrainingError: Something is declared for a column that there is not, or that has no use for it.
    """
    from sklearn.compose import ColumnTransformer

    _check_columns(features, chosen)
    at = places_of(features, frame)
    of = {each.name: chosen.of(each.name) for each in features}
    kinds = {kind: [each.name for each in features if each.kind == kind] for kind in ("numeric", "categorical")}
    parts = [*_numbers(kinds["numeric"], of, at, scale=scale)]
    for group in _alike(kinds["categorical"], lambda name: (of[name].encode, of[name].rare_level, of[name].scale)):
        places = [at[name][0] for name in group]
        encoder = _encoder(group, frame, of[group[0]], scale=scale, task=task, seed=seed)
        parts.append((f"categories_{len(parts)}", encoder, places))
    for each in features:
        if each.kind == "array":
            scaler = _scaler(of[each.name], scale=scale)
            parts.append((f"array_{len(parts)}", "passthrough" if scaler is None else scaler, at[each.name]))
        elif each.kind == "text":
            parts.append((f"text_{len(parts)}", _text(of[each.name]), at[each.name]))
    return ColumnTransformer(parts, sparse_threshold=0)


def places_of(features: Sequence[FeatureColumn], frame: pd.DataFrame) -> dict[str, list[int]]:
    """Return where each feature stands in a frame; an array stands in as many columns as it is long."""
    where = {name: place for place, name in enumerate(frame.columns)}
    return {
        each.name: [where[f"{each.name}[{number}]"] for number in range(each.length)]
        if each.kind == "array"
        else [where[each.name]]
        for each in features
    }


def needs_scale(estimator: object, chosen: Preprocessing) -> bool:
    """Say whether numbers may be scaled for this estimator; which ones are, each column says."""
    wanted = [chosen.scale, *(each.scale for each in chosen.columns.values())]
    return any(each not in (False, None) for each in wanted) and not is_tree(estimator)


def _check_columns(features: Sequence[FeatureColumn], chosen: Preprocessing) -> None:
    kinds = {each.name: each.kind for each in features}
    for name, own in chosen.columns.items():
        if name not in kinds:
            raise TrainingError(
                f"Preprocessing is declared for a column {name!r} that there is not",
                expected=", ".join(sorted(kinds)),
                found=repr(name),
            )
        useless = sorted(own.declared().keys() - USES[kinds[name]])
        if useless:
            raise TrainingError(
                f"Preprocessing of column {name!r} declares what a {kinds[name]} feature has no use for",
                expected=", ".join(sorted(USES[kinds[name]])),
                found=", ".join(useless),
            )


def _numbers(
    names: Sequence[str], of: dict[str, Preprocessing], at: dict[str, list[int]], *, scale: bool
) -> list[Stage]:
    """Return what is done to numbers, and the columns that tell where one was missing."""
    from sklearn.impute import MissingIndicator
    from sklearn.pipeline import Pipeline

    parts: list[Stage] = []
    for group in _alike(names, lambda name: (of[name].impute, of[name].scale)):
        stages = [("impute", _imputer(of[group[0]])), ("scale", _scaler(of[group[0]], scale=scale))]
        kept = [stage for stage in stages if stage[1] is not None]
        parts.append((f"numbers_{len(parts)}", Pipeline(kept), [at[name][0] for name in group]))
    if told := [at[name][0] for name in names if of[name].missing_indicator]:
        parts.append(("missing", MissingIndicator(features="all"), told))
    return parts


def _imputer(chosen: Preprocessing) -> Any:
    from sklearn.impute import SimpleImputer

    strategy: dict[str, Any] = {"strategy": chosen.impute}
    if chosen.impute == "zero":
        strategy = {"strategy": "constant", "fill_value": 0.0}
    return SimpleImputer(**strategy, keep_empty_features=True)  # a fold may hold no value of a column


def _scaler(chosen: Preprocessing, *, scale: bool) -> Any | None:
    from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

    if not scale or chosen.scale is False:
        return None
    return {"minmax": MinMaxScaler, "robust": RobustScaler}.get(str(chosen.scale), StandardScaler)()


def _encoder(
    group: Sequence[str], frame: pd.DataFrame, chosen: Preprocessing, *, scale: bool, task: Task, seed: int
) -> Any:
    """Return what turns the categories of a group into numbers."""
    import numpy as np
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OrdinalEncoder

    from keelway.train.preprocess.coded import CodedOneHot

    seen = [frame[name] for name in group]
    if chosen.encode == "one_hot":
        levels = [known_levels(values, rare_level=chosen.rare_level) for values in seen]
        return CodedOneHot(categories=levels, handle_unknown="ignore", sparse_output=False, dtype=np.float32)
    levels = [known_levels(values, rare_level=chosen.rare_level, at_most=MAX_LEVELS) for values in seen]
    stages: list[tuple[str, Any]]
    if chosen.encode == "target":
        stages = _target_stages(levels, task=task, seed=seed)
    else:
        unknown: dict[str, Any] = {"handle_unknown": "use_encoded_value", "unknown_value": -1}
        stages = [("ordinal", OrdinalEncoder(categories=levels, dtype=np.float32, **unknown))]
    if (scaler := _scaler(chosen, scale=scale)) is not None:
        stages.append(("scale", scaler))
    return Pipeline(stages)


def _target_stages(levels: list[list[str]], *, task: Task, seed: int) -> list[tuple[str, Any]]:
    """Return the stages of a target encoding, whose `fit_transform` encodes each row from other rows' outcomes."""
    from sklearn.model_selection import KFold
    from sklearn.preprocessing import TargetEncoder

    from keelway.train.stages import KnownLevels, To32Bits

    folds = KFold(CROSS_FITS, shuffle=True, random_state=seed)
    encoder = TargetEncoder(target_type=TARGET_TYPES[task], cv=folds)
    return [("known", KnownLevels(levels)), ("target", encoder), ("narrow", To32Bits())]


def _text(chosen: Preprocessing) -> Any:
    from keelway.train.stages import TextColumns

    return TextColumns(chosen.text, chosen.text_columns)


def _alike(names: Sequence[str], choice_of: Callable[[str], object]) -> list[list[str]]:
    """Return names in groups of equal choices, in the order in which each choice comes first."""
    groups: dict[object, list[str]] = {}
    for name in names:
        groups.setdefault(choice_of(name), []).append(name)
    return list(groups.values())
