"""Check that the exported model answers as the trained one, also where data is missing, new or extreme."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from keelway.errors import RefusedError
from keelway.features import FeatureColumn
from keelway.register.onnx_model import OnnxModel
from keelway.register.records import Parity
from keelway.train import frame_of

UNSEEN = "never seen \u2603"
EXTREMES = (0.0, -1.0, 1e-30, -1e6, 1e6)
MUTANTS = 200  # rows that are changed in each way


def check_parity(
    pipeline: Any,
    data: bytes,
    features: Sequence[FeatureColumn],
    columns: Mapping[str, Sequence[Any]],
    *,
    tolerance: float,
) -> Parity:
    """Return how well both forms agree on given rows and on changed copies of them.

    Raises:
        RefusedError: They differ by more than the tolerance; the message names the worst row.
    """
    tested = _with_changes(columns, features)
    frame = frame_of(tested, features)
    expected = pipeline.predict_proba(frame)[:, 1].tolist()
    found = OnnxModel(data, features).probabilities(tested)
    differences = [abs(a - b) for a, b in zip(expected, found, strict=True)]
    worst = max(
        range(len(differences)), key=lambda place: (differences[place] != differences[place], differences[place])
    )
    if not differences[worst] <= tolerance:  # NaN loses
        row = {name: values[worst] for name, values in tested.items()}
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
        nulls_tested=all(None in tested[each.name] or "" in tested[each.name] for each in features),
        unseen_tested=all(UNSEEN in tested[each.name] for each in features if each.kind == "categorical"),
    )


def _with_changes(columns: Mapping[str, Sequence[Any]], features: Sequence[FeatureColumn]) -> dict[str, list[Any]]:
    """Return rows, and copies with nulls, unseen categories and extremes; the same rows give the same copies."""
    count = len(next(iter(columns.values())))
    names = [each.name for each in features]
    rows = [dict(zip(names, values, strict=True)) for values in zip(*(columns[name] for name in names), strict=True)]
    draw = random.Random(count)  # noqa: S311  (a choice of test rows, no secret)
    changed = []
    for number in range(MUTANTS * 3):
        row = dict(rows[draw.randrange(count)])
        for each in draw.sample(list(features), draw.randint(1, len(features))):
            row[each.name] = _changed(each, number % 3, draw)
        changed.append(row)
    return {name: [row[name] for row in (*rows, *changed)] for name in names}


def _changed(feature: FeatureColumn, way: int, draw: random.Random) -> float | str | None:
    if feature.kind == "categorical":
        return "" if way == 0 else UNSEEN
    return None if way == 0 else draw.choice(EXTREMES)
