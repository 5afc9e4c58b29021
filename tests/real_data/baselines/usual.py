"""What the projects share: two ordinary estimators as scikit-learn makes them, how they are searched, and fifths."""

from __future__ import annotations

from dataclasses import replace

from keelway import Estimator, Model, PredefinedSplit, Range, Search

FIFTHS = 5
LOGISTIC = Estimator(
    "logistic",
    "sklearn.linear_model.LogisticRegression",
    {"C": 1.0, "max_iter": 3000},
    space={"C": Range(0.003, 30.0, log=True)},
)
BOOSTING = Estimator(
    "boosting",
    "sklearn.ensemble.HistGradientBoostingClassifier",
    {"learning_rate": 0.1, "max_iter": 100, "max_leaf_nodes": 31, "min_samples_leaf": 20},  # its own defaults
    space={
        "learning_rate": Range(0.02, 0.2, log=True),
        "max_iter": Range(40, 200, log=True),
        "max_leaf_nodes": Range(3, 31, log=True),
        "min_samples_leaf": Range(5, 80, log=True),
    },
)
SEARCH = Search(trials=12, patience=8)


def fifths(model: Model) -> tuple[Model, ...]:
    """Return a model five times, each tested on another fifth of the rows, which the column `part` names."""
    return tuple(
        replace(model, name=f"{model.name}_{part}", split=PredefinedSplit(column="part", test=str(part), folds=3))
        for part in range(FIFTHS)
    )


def searched(*models: Model) -> tuple[Model, ...]:
    """Return models as they are and, named `NAME_tuned`, with their parameters searched for."""
    return (*models, *(replace(each, name=f"{each.name}_tuned", search=SEARCH) for each in models))
