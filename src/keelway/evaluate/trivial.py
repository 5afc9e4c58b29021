"""The trivial rule: one feature's value alone, which a model has to beat.

It ranks the rows of a binary model, is itself the prediction of a number, and names the class of a multiclass model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keelway.errors import TrainingError
from keelway.evaluate.aspects import Columns
from keelway.evaluate.delong import auc_interval, compare_aucs
from keelway.evaluate.held_out import HeldOut
from keelway.evaluate.measure import measure
from keelway.evaluate.paired import compare_by
from keelway.evaluate.records import Comparison
from keelway.evaluate.uncertainty import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]


def trivial_figures(tested: HeldOut, columns: Columns) -> dict[str, Interval]:
    """Return the figure of the trivial rule, by the metric's name; empty where none is declared."""
    rule = tested.model.trivial_rule
    if not rule:
        return {}
    given = _given(rule, tested, columns)
    if tested.task == "binary":
        return {"roc_auc": auc_interval(tested.rows, given, groups=tested.groups)}
    metric = _metric(tested)
    return measure(
        tested.task,
        tested.truth,
        given,
        metrics=[metric],
        seed=tested.seed,
        classes=tested.classes,
        groups=tested.groups,
        resamples=tested.model.evaluation.bootstrap,
    )


def versus_trivial(tested: HeldOut, columns: Columns) -> Comparison | None:
    """Return the paired comparison with the trivial rule, or None where none is declared."""
    rule = tested.model.trivial_rule
    if not rule:
        return None
    given = _given(rule, tested, columns)
    if tested.task == "binary":
        return compare_aucs(tested.rows, tested.given, given, against=rule, groups=tested.groups)
    return compare_by(
        _metric(tested),
        tested.truth,
        tested.given,
        given,
        against=rule,
        task=tested.task,
        classes=tested.classes,
        groups=tested.groups,
        seed=tested.seed,
        resamples=tested.model.evaluation.bootstrap,
    )


def _metric(tested: HeldOut) -> str:
    """Return what the rule is measured by: it gives no probabilities, so classes are only counted right or wrong."""
    return "accuracy" if tested.task == "multiclass" else tested.primary


def _given(rule: str, tested: HeldOut, columns: Columns) -> Numbers:
    name = rule.removeprefix("-")
    values = columns.get(name)
    is_text = values is not None and any(isinstance(value, str) for value in values)
    if tested.task == "multiclass":
        return _named_classes(rule, values if is_text else None, tested.classes)
    return _numbers(rule, None if is_text else values, infinite=tested.task == "binary")


def _numbers(rule: str, values: Sequence[Any] | None, *, infinite: bool) -> Numbers:
    """Return a feature's values as scores; a leading `-` turns them round. Nulls rank last, or count as the mean."""
    import numpy as np

    if values is None:
        raise TrainingError(
            "The trivial rule names no number", expected="a numeric feature, perhaps with a leading '-'", found=rule
        )
    scores = np.asarray(values, dtype=np.float64) * (-1.0 if rule.startswith("-") else 1.0)
    known = scores[~np.isnan(scores)]
    return np.where(np.isnan(scores), -np.inf if infinite or not len(known) else known.mean(), scores)


def _named_classes(rule: str, values: Sequence[Any] | None, classes: Sequence[str]) -> Numbers:
    """Return certainty for the class that a feature names; a name that is no class is as good as the first one."""
    import numpy as np

    if values is None or not set(values) & set(classes):
        raise TrainingError(
            "The trivial rule names no class", expected="a feature whose values are names of classes", found=rule
        )
    place = {name: number for number, name in enumerate(classes)}
    return np.eye(len(classes))[[place.get(value, 0) for value in values]]
