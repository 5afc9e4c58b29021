"""Who earns more than 50,000 dollars? The census of 1994 with its official 16,281 test rows."""

from __future__ import annotations

from typing import Any

from keelway import Dataset, Evaluation, Label, Model, PredefinedSplit, Project, feature_set

from .usual import BOOSTING, LOGISTIC, searched

people = Dataset(
    "people", contract="contracts/people.odcs.yaml", source="raw/people/*.csv", event_time="", keys=("row",)
)


@feature_set(entity="row", sources=[people])
def census(people: Any, as_of: Any) -> Any:
    """Return what was answered; `fnlwgt` says how many people a row stands for, not what it is like."""
    return people.drop("fnlwgt")


@Label.define(entity="row", source=people)
def rich(people: Any, as_of: Any) -> Any:
    """Return who earns more; the labels of the test file end with a full stop."""
    return people.select("row", rich=people.income.startswith(">50K"))


adult = Model(
    "adult",
    features=[census],
    label=rich,
    cuts=None,
    split=PredefinedSplit(column="part", test="test", folds=3),
    estimators=[LOGISTIC, BOOSTING],
    evaluation=Evaluation(sensitive=("sex",), bootstrap=100),
)
project = Project("adult", models=searched(adult), policies="policies/")
