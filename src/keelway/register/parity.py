"""Check that the exported forms of a model answer as the trained one, also where data is missing, new or extreme."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keelway.errors import RefusedError
from keelway.features import FeatureColumn
from keelway.register.onnx_model import OnnxModel
from keelway.register.plan import PlanScorer, ScoringPlan
from keelway.register.records import Parity
from keelway.train import frame_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNSEEN = "never seen \u2603"
STRANGE = (0.0, -1.0, 1e-30)
EXTREMES = (-1e6, 1e6)
MUTANTS = 200  # rows that are changed in each way
ALONE = 300  # rows that are also answered alone
CHANGES = ("missing", "unusual", "extreme")
EXACT = 1e-12
"""How far two computations in 64 bits may be apart: they may add in another order."""


def check_parity(
    pipeline: Any,
    data: bytes,
    features: Sequence[FeatureColumn],
    columns: Mapping[str, Sequence[Any]],
    *,
    tolerance: float,
) -> Parity:
    """Return how well the exported model agrees with the trained one, on given rows and on changed copies of them.

    Probabilities are compared as they are, of several classes the worst one. Two numbers of a regression are compared
    by their distance in units of the trained model's answer, or of the deviation of its answers where that is larger; where
    features are extreme, in units of its largest answer to such rows, because large terms of 32 bits cancel badly.

    Raises:
        RefusedError: They differ by more than the tolerance; the message names the worst row.
    """
    tested = _with_changes(columns, features)
    model = OnnxModel(data, features)
    answers = _Answers(model.predictions(tested), is_number=model.gives_numbers)
    differences = _differences(pipeline, tested, features, answers, count=len(_first(columns)))
    _must_be_small(
        differences, tested, features, len(_first(columns)), tolerance=tolerance, what="The exported model",
        fix="Choose another estimator, scale or bin the extreme feature, or declare a larger onnx_tolerance.",
    )  # fmt: skip
    return _parity(differences, tested, features, tolerance=tolerance)


def check_answers(
    pipeline: Any, features: Sequence[FeatureColumn], columns: Mapping[str, Sequence[Any]], *, is_number: bool
) -> Parity:
    """Return how well a model that is served as it was trained answers rows and changed copies of them: nothing differs.

    Raises:
        RefusedError: An answer is not finite, or the model fails on such rows.
    """
    import numpy as np

    tested = _with_changes(columns, features)
    frame = frame_of(tested, features)
    try:
        answers = pipeline.predict(frame) if is_number else pipeline.predict_proba(frame)
        strange = int((~np.isfinite(np.asarray(answers, dtype=np.float64))).sum())
    except (ValueError, TypeError, ArithmeticError) as error:
        raise RefusedError(
            "The model fails on rows with nulls, new categories or extremes",
            reasons=(type(error).__name__,),
            expected="an answer to each",
            fix="Declare preprocessing that fills what the estimator cannot take.",
        ) from error
    if strange:
        raise RefusedError(
            "The model gives answers that are not finite", reasons=(f"{strange} of {len(frame)}",), expected="numbers"
        )
    return _parity([0.0] * len(frame), tested, features, tolerance=0.0)


def check_plan(pipeline: Any, plan: ScoringPlan, columns: Mapping[str, Sequence[Any]], *, tolerance: float) -> Parity:
    """Return how well a compiled plan agrees with the trained model, on rows as `check_parity` compares them.

    Where both compute in 64 bits they may differ by `EXACT`; by the tolerance where the trained model rounds on its way.
    Some rows are also answered alone, and have to have the same answer to the last bit.

    Raises:
        RefusedError: They differ by more; the message names the worst row.
    """
    import numpy as np

    features, scorer = plan.head.features, PlanScorer(plan)
    count = len(_first(columns))
    tested = _with_changes(columns, features, mutants=max(MUTANTS, count // 10))
    rows = list(zip(*(tested[each.name] for each in features), strict=True))
    found = scorer.predictions(rows)
    answers = _Answers(np.asarray(found, dtype=np.float64), is_number=plan.head.task == "regression")
    differences = _differences(pipeline, tested, features, answers, count=count)
    for place in range(0, len(rows), max(1, len(rows) // ALONE)):
        if scorer.predictions([rows[place]]) != [found[place]]:
            differences[place] = math.inf
    allowed = EXACT if plan.head.bits == 64 else tolerance
    _must_be_small(
        differences, tested, features, count, tolerance=allowed, what="The plan",
        fix="The exported model answers in its place.",
    )  # fmt: skip
    return _parity(differences, tested, features, tolerance=allowed)


@dataclass(frozen=True, slots=True)
class _Answers:
    """What a form answered to the tested rows: numbers, probabilities of one outcome, or of each class."""

    values: NDArray[np.float64]
    is_number: bool


def _must_be_small(
    differences: Sequence[float],
    tested: Mapping[str, Sequence[Any]],
    features: Sequence[FeatureColumn],
    count: int,
    *,
    tolerance: float,
    what: str,
    fix: str,
) -> None:
    worst = _worst(differences)
    if not differences[worst] <= tolerance:  # NaN loses
        place = f"row {worst}" if worst < count else _copy_in_words(worst - count, worst, tested, features)
        raise RefusedError(
            f"{what} differs from the trained one",
            reasons=(f"a difference of {differences[worst]:.3g} in {place}",),
            expected=f"at most {tolerance:g}",
            fix=fix,
        )


def _copy_in_words(
    number: int, place: int, tested: Mapping[str, Sequence[Any]], features: Sequence[FeatureColumn]
) -> str:
    """Return what was changed in a copy of a row; no value of the row is told: it may be a person's."""
    changed = [each.name for each in features if _is_changed(each, number % 3, tested[each.name][place])]
    return f"a copy of a row with {CHANGES[number % 3]} {', '.join(changed)}"


def _is_changed(feature: FeatureColumn, way: int, value: Any) -> bool:
    """Say whether a value looks as `_changed` makes it."""
    if feature.kind == "numeric":
        return value in ((None,), STRANGE, EXTREMES)[way]
    if feature.kind == "array":
        return value[0] in ((0.0,), STRANGE, EXTREMES)[way]
    return value == "" if way == 0 else feature.kind == "text" or value == UNSEEN


def _worst(differences: Sequence[float]) -> int:
    import numpy as np

    return int(np.argmax(differences))  # NaN is the largest of all


def _parity(
    differences: Sequence[float],
    tested: Mapping[str, Sequence[Any]],
    features: Sequence[FeatureColumn],
    *,
    tolerance: float,
) -> Parity:
    return Parity(
        rows=len(differences),
        max_difference=differences[_worst(differences)],
        tolerance=tolerance,
        nulls_tested=all(
            None in tested[each.name] or "" in tested[each.name] for each in features if each.kind != "array"
        ),
        unseen_tested=all(UNSEEN in tested[each.name] for each in features if each.kind == "categorical"),
    )


def _differences(
    pipeline: Any,
    tested: Mapping[str, Sequence[Any]],
    features: Sequence[FeatureColumn],
    answers: _Answers,
    *,
    count: int,
) -> list[float]:
    """Return how far the two forms are apart in each row; the first `count` rows are unchanged ones."""
    import numpy as np

    found = answers.values
    frame = frame_of(tested, features)
    if not answers.is_number:
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


def _with_changes(
    columns: Mapping[str, Sequence[Any]], features: Sequence[FeatureColumn], *, mutants: int = MUTANTS
) -> dict[str, list[Any]]:
    """Return rows, and copies with nulls, unseen categories and extremes; the same rows give the same copies."""
    import numpy as np

    shape = (len(features), mutants * 3)
    draw = np.random.default_rng(len(_first(columns)))
    copied = draw.integers(len(_first(columns)), size=shape[1]).tolist()
    order = draw.random(shape).argsort(axis=0).argsort(axis=0)
    chosen = (order < draw.integers(1, shape[0], size=shape[1], endpoint=True)).tolist()
    odd = draw.integers(len(STRANGE) * len(EXTREMES), size=shape).tolist()
    return {
        each.name: [
            *columns[each.name],
            *(
                _changed(each, number % 3, which, columns[each.name][row]) if change else columns[each.name][row]
                for number, (row, change, which) in enumerate(zip(copied, chosen[place], odd[place], strict=True))
            ),
        ]
        for place, each in enumerate(features)
    }


def _changed(feature: FeatureColumn, way: int, which: int, value: Any) -> Any:
    """Return a value that is missing (way 0), unusual (1) or extreme (2); of several such ones, which."""
    if feature.kind == "text":
        return ("", f"{value} {UNSEEN}", f"{value} " * 20)[way]
    if feature.kind == "categorical":
        return "" if way == 0 else UNSEEN
    strange, extreme = STRANGE[which % len(STRANGE)], EXTREMES[which % len(EXTREMES)]
    if feature.kind == "array":
        return [(0.0, strange, extreme)[way]] * feature.length
    return (None, strange, extreme)[way]


def _first(columns: Mapping[str, Sequence[Any]]) -> Sequence[Any]:
    return next(iter(columns.values()))
