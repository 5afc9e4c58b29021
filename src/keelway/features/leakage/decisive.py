"""A column that is worth as much as all others together, and without which they lose most of what they know.

A leak need not be perfect. The length of a phone call, which ends when the answer is known, ranks customers with 0.82:
any good feature might. What gives it away is that nothing else knows what it knows. Honest columns describe one thing
from several sides, so the others make up for the loss of any one of them.

For the best columns alone, a boosted model is cross-validated with all columns and without that one. It is decisive when

- what it is worth alone, `A(alone) - 0.5`, is at least nine tenths of what all others are worth together, and
- losing it brings back more than half of the error: `(A(all) - A(others)) / (1 - A(others)) > 0.5`.

For a regression R2 stands for the area, and 0 for 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keelway.features.leakage.alone import SingleScore, auc_of, numbers_of
from keelway.features.leakage.report import LeakageFinding
from keelway.features.names import LABEL
from keelway.features.records import FeatureColumn
from keelway.project import Task

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

WORTH_OF_OTHERS, ERROR_REMOVED = 0.9, 0.5
LEAST_OTHERS, LEAST_WORTH = 4, 0.1
"""With fewer other columns, or others that know next to nothing, one good column among them is no wonder."""
CANDIDATES, LEAST_ALONE = 2, 0.1
FOLDS = 3
LEAST_ROWS, MOST_ROWS = 200, 10_000
MOST_LEVELS = 200


def decisive(
    rows: pa.Table, features: Sequence[FeatureColumn], scores: Sequence[SingleScore], *, task: Task, seed: int
) -> list[LeakageFinding]:
    """Return the columns that are worth as much as all others together and that those cannot make up for."""
    import numpy as np
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships none

    floor = 0.0 if task == "regression" else 0.5
    usable = [feature for feature in features if feature.kind in ("numeric", "categorical")]
    best = [score for score in scores if score.score - floor >= LEAST_ALONE][:CANDIDATES]
    if rows.num_rows < LEAST_ROWS or len(usable) <= LEAST_OTHERS or not best:
        return []
    taken = np.sort(np.random.default_rng(seed).permutation(rows.num_rows)[:MOST_ROWS])
    rows = rows.take(taken)
    columns = {feature.name: _encoded(rows[feature.name], feature) for feature in usable}
    levels = {feature.name for feature in usable if feature.kind == "categorical"}
    found = []
    with threadpool_limits(1):  # models this small only wait for each other's threads
        everything = _cross_validated(columns, levels, rows, task=task, seed=seed)
        for score in best:
            if score.column in columns and everything > floor:
                others = {name: values for name, values in columns.items() if name != score.column}
                without = _cross_validated(others, levels, rows, task=task, seed=seed)
                found += _judged(score, everything - floor, without - floor, floor=floor)
    return found


def _judged(score: SingleScore, everything: float, without: float, *, floor: float) -> list[LeakageFinding]:
    removed = (everything - without) / max(1 - floor - without, 1e-9)
    if not (score.score - floor >= WORTH_OF_OTHERS * without and removed > ERROR_REMOVED):
        return []
    stops = without >= LEAST_WORTH
    text = (
        f"{score.column!r} alone scores {score.score:.3f}, all others together {without + floor:.3f}, and both "
        f"{everything + floor:.3f}: nothing else knows what it knows. Find out whether it is known before the outcome."
    )
    severity = "stop" if stops else "note"
    return [LeakageFinding("decisive", severity, score.column, removed, removed, text)]  # type: ignore[arg-type]


def _encoded(column: pa.ChunkedArray, feature: FeatureColumn) -> NDArray[np.float64]:
    """Return numbers, and levels as numbers by how frequent they are; the rare ones share the last."""
    import numpy as np

    if feature.kind == "numeric":
        return numbers_of(column)
    _, codes, counts = np.unique(np.asarray(column.to_pylist(), dtype=str), return_inverse=True, return_counts=True)
    ranks = np.empty(len(counts), dtype=np.float64)
    ranks[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    return np.minimum(ranks, MOST_LEVELS)[codes]


def _cross_validated(
    columns: dict[str, NDArray[np.float64]], levels: set[str], rows: pa.Table, *, task: Task, seed: int
) -> float:
    """Return the score of a boosted model on rows it was not fitted on, pooled over the folds."""
    import numpy as np
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict

    inputs = np.column_stack(list(columns.values()))
    if task == "regression":
        labels = rows[LABEL].to_numpy().astype(np.float64)
        folds = KFold(FOLDS, shuffle=True, random_state=seed)
        answers = cross_val_predict(_model(columns, levels, task, seed), inputs, labels, cv=folds)
        return max(0.0, 1 - float(((labels - answers) ** 2).sum() / ((labels - labels.mean()) ** 2).sum()))
    labels = np.asarray(rows[LABEL].to_pylist(), dtype=str)
    classes, counts = np.unique(labels, return_counts=True)
    kept = np.isin(labels, classes[counts >= FOLDS])
    if len(set(labels[kept])) < 2:
        return 0.5
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    model = _model(columns, levels, task, seed)
    answers = cross_val_predict(model, inputs[kept], labels[kept], cv=folds, method="predict_proba")
    areas = [
        auc_of((labels[kept] == each).astype(np.float64), answers[:, place])
        for place, each in enumerate(sorted(set(labels[kept])))
    ]
    return float(np.mean(areas))


def _model(columns: dict[str, NDArray[np.float64]], levels: set[str], task: Task, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
    categorical = [name in levels for name in columns]
    return kind(max_iter=50, max_leaf_nodes=15, categorical_features=categorical, random_state=seed)
