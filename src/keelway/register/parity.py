"""Check that the exported model answers as the trained one, also where data is missing, new or extreme."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keelway.errors import RefusedError
from keelway.features import FeatureColumn
from keelway.register.onnx_model import OnnxModel
from keelway.register.records import Parity
from keelway.train import frame_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNSEEN = "never seen \u2603"
STRANGE = (0.0, -1.0, 1e-30)
EXTREMES = (-1e6, 1e6)
MUTANTS = 200  # rows that are changed in each way
SHOWN = 60  # characters of a value in a message


def check_parity(
    pipeline: Any,
    data: bytes,
    features: Sequence[FeatureColumn],
    columns: Mapping[str, Sequence[Any]],
    *,
    tolerance: float,
) -> Parity:
    """Return how well both forms agree on given rows and on changed copies of them.

    Probabilities are compared as they are, of several classes the worst one. Two numbers of a regression are compared
    by their distance in units of the trained model's answer, or of the deviation of its answers where that is larger; where
    features are extreme, in units of its largest answer to such rows, because large terms of 32 bits cancel badly.

    Raises:
        RefusedError: They differ by more than the tolerance; the message names the worst row.
    """
    tested = _with_changes(columns, features)
    differences = _differences(pipeline, tested, OnnxModel(data, features), count=len(_first(columns)))
    worst = max(
        range(len(differences)), key=lambda place: (differences[place] != differences[place], differences[place])
    )
    if not differences[worst] <= tolerance:  # NaN loses
        row = {name: _short(values[worst]) for name, values in tested.items()}
        raise RefusedError(
            "The exported model differs from the trained one",
            reasons=(f"a difference of {differences[worst]:.3g} in row {worst}: {row}",),
            expected=f"at most {tolerance:g}",
            fix="Choose another estimator, scale or bin the extreme feature, or declare a larger onnx_tolerance.",
        )
    return Parity(
        rows=len(differences),
        max_difference=differences[worst],
        tolerance=tolerance,
        nulls_tested=all(
            any(value in (None, "") for value in tested[each.name]) for each in features if each.kind != "array"
        ),
        unseen_tested=all(UNSEEN in tested[each.name] for each in features if each.kind == "categorical"),
    )


def _differences(pipeline: Any, tested: Mapping[str, Sequence[Any]], model: OnnxModel, *, count: int) -> list[float]:
    """Return how far the two forms are apart in each row; the first `count` rows are unchanged ones."""
    import numpy as np

    found = model.predictions(tested)
    frame = frame_of(tested, model.features)
    if not model.gives_numbers:
        trained = np.asarray(pipeline.predict_proba(frame), dtype=np.float64)
        apart = np.abs(trained - (np.column_stack([1 - found, found]) if found.ndim == 1 else found)).max(axis=1)
    else:
        trained = np.asarray(pipeline.predict(frame), dtype=np.float64)
        apart = np.abs(trained - found) / _units(trained, count)
    told: list[float] = apart.tolist()
    return told


def _units(trained: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return what a difference is measured in, for each answer of a regression."""
    import numpy as np

    units: NDArray[np.float64] = np.maximum(np.abs(trained), np.std(trained[:count]) or 1.0)
    extreme = slice(count + 2, None, 3)
    units[extreme] = units[extreme].max(initial=1.0)
    return units


def _with_changes(columns: Mapping[str, Sequence[Any]], features: Sequence[FeatureColumn]) -> dict[str, list[Any]]:
    """Return rows, and copies with nulls, unseen categories and extremes; the same rows give the same copies."""
    count = len(_first(columns))
    names = [each.name for each in features]
    rows = [dict(zip(names, values, strict=True)) for values in zip(*(columns[name] for name in names), strict=True)]
    draw = random.Random(count)  # noqa: S311  (a choice of test rows, no secret)
    changed = []
    for number in range(MUTANTS * 3):
        row = dict(rows[draw.randrange(count)])
        for each in draw.sample(list(features), draw.randint(1, len(features))):
            row[each.name] = _changed(each, number % 3, draw, row[each.name])
        changed.append(row)
    return {name: [row[name] for row in (*rows, *changed)] for name in names}


def _changed(feature: FeatureColumn, way: int, draw: random.Random, value: Any) -> Any:
    """Return a value that is missing (way 0), new (1) or extreme (2)."""
    if feature.kind == "text":
        return ("", f"{value} {UNSEEN}", f"{value} " * 20)[way]
    if feature.kind == "categorical":
        return "" if way == 0 else UNSEEN
    if feature.kind == "array":
        return [(0.0, draw.choice(STRANGE), draw.choice(EXTREMES))[way]] * feature.length
    return (None, draw.choice(STRANGE), draw.choice(EXTREMES))[way]


def _first(columns: Mapping[str, Sequence[Any]]) -> Sequence[Any]:
    return next(iter(columns.values()))


def _short(value: Any) -> Any:
    """Return a value as a message may show it."""
    return value if value is None or isinstance(value, (int, float)) else str(value)[:SHOWN]
