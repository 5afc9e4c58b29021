"""Can a model learn from these rows? Every reason against it is an error that says what to change; doubts are warnings.

Refused are: too few rows, labels that are all the same, a class with a single row, a class that only the test rows
have, and a feature without any value. Doubtful are a class that the test rows lack, and a category with so many levels
that it looks like an id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from keelway.errors import TrainingError
from keelway.features import FeatureColumn, counted_levels
from keelway.project import Model
from keelway.train.frame import labels_of, ordered
from keelway.train.preprocess.levels import MAX_COLUMNS, MAX_LEVELS

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

MIN_ROWS = 20
MIN_OF_CLASS = 2  # one row to learn from and one to validate on
SHOWN = 5


def suitable_labels(rows: pa.Table, model: Model) -> NDArray[Any]:
    """Return the labels of training rows that a model can learn from, as `labels_of` does.

    Raises:
        TrainingError: There are too few rows, or too few of a class; or every label is the same.
    """
    import numpy as np

    if rows.num_rows < MIN_ROWS:
        raise TrainingError(
            "There are too few rows to train on",
            expected=f"at least {MIN_ROWS} whose labels were known by the test cut",
            found=str(rows.num_rows),
            fix="Start `cuts` earlier, or check that the snapshot holds the expected period.",
        )
    labels = labels_of(rows, model.task)
    if len(np.unique(labels)) < 2:
        raise TrainingError(
            "Every training label is the same",
            expected="numbers that differ" if model.task == "regression" else "rows of two classes or more",
            found=f"{len(labels)} times {labels[0]}",
            fix="Check the label's function and its horizon.",
        )
    if model.task == "multiclass":
        _check_classes(labels)
    return labels


def check_features(rows: pa.Table, features: Sequence[FeatureColumn]) -> None:
    """Refuse rows without any feature, with one that has no value at all, or with two of one name.

    Raises:
        TrainingError: It is so.
    """
    import pyarrow.compute as pc

    if not features:
        raise TrainingError(
            "There is no feature to learn from",
            expected="one or more features",
            found="none",
            fix="Return one from a feature function; a column that splits or groups the rows is no feature.",
        )
    _check_names(features)
    for each in ordered(features):
        values = rows[each.name]
        if each.kind == "numeric":
            missing = values.null_count + (pc.sum(pc.is_nan(values)).as_py() or 0)
        elif each.kind == "categorical":
            missing = counted_levels(values).get("", 0)
        elif each.kind == "text":
            missing = pc.sum(pc.equal(pc.fill_null(values, ""), "")).as_py()
        else:
            missing = 0
        if missing == rows.num_rows:
            raise TrainingError(
                f"Feature {each.name!r} is {'null' if each.kind == 'numeric' else 'empty'} in every training row",
                expected="at least one value",
                found=f"{missing} {'nulls' if each.kind == 'numeric' else 'empty texts'}",
                fix="Remove the feature, or check the column it is made from.",
            )


def _check_names(features: Sequence[FeatureColumn]) -> None:
    """Refuse two columns of one name; an array stands in a column for each of its places, such as `ink[0]`."""
    names = [
        name
        for each in features
        for name in ([f"{each.name}[{place}]" for place in range(each.length)] if each.kind == "array" else [each.name])
    ]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise TrainingError(
            "Two features have one name",
            expected="each name once; an array `ink` takes `ink[0]`, `ink[1]` and so on",
            found=f"{_shown(twice)} twice",
            fix="Rename one of them in its feature function.",
        )


def class_warnings(labels: NDArray[Any], rows: pa.Table, test: NDArray[np.bool_], model: Model) -> tuple[str, ...]:
    """Return what is doubtful about classes in the test rows.

    Args:
        labels: Those of the training rows.
        rows: The rows of the feature table.
        test: For each row whether the model is tested on it.
        model: What is learnt.

    Raises:
        TrainingError: The test rows have a class that no training row has.
    """
    if model.task != "multiclass":
        return ()
    known, met = set(labels), set(labels_of(rows.filter(test), model.task))
    if met - known:
        raise TrainingError(
            "The test rows have classes that no training row has",
            expected=f"some of {_shown(sorted(known))}",
            found=_shown(sorted(met - known)),
            fix="Choose a split with rows of every class in both parts, or merge rare classes in the label's function.",
        )
    lacking = sorted(known - met)
    return (f"No test row is of class {_shown(lacking)}, so nothing is known of it.",) if lacking else ()


def level_warnings(rows: pa.Table, features: Sequence[FeatureColumn], model: Model) -> Iterator[str]:
    """Yield a sentence for each category that has more levels than a model can tell apart."""
    for each in features:
        if each.kind != "categorical":
            continue
        levels = len(counted_levels(rows[each.name]))
        told_apart = MAX_COLUMNS if model.preprocessing.of(each.name).encode == "one_hot" else MAX_LEVELS
        if levels > told_apart:
            likeness = (
                "It looks like an id" if 2 * levels > rows.num_rows else "It may be an id, or too fine a category"
            )
            yield (
                f"Category {each.name!r} has {levels:,} levels in {rows.num_rows:,} rows. {likeness}: all levels but the "
                f"{told_apart:,} most frequent ones count as rare."
            )


def _check_classes(labels: NDArray[Any]) -> None:
    counted = Counter(labels.tolist())
    small = sorted(name for name, count in counted.items() if count < MIN_OF_CLASS)
    if small:
        raise TrainingError(
            "A class has too few training rows",
            expected=f"at least {MIN_OF_CLASS} of each class",
            found=", ".join(f"{counted[name]} of {name!r}" for name in small[:SHOWN]),
            fix="Merge rare classes in the label's function, or leave their rows out there.",
        )


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(repr, names[:SHOWN])) + more
