"""Which loans of a German bank went bad? 1,000 rows without a time."""

from __future__ import annotations

from typing import Any

from keelway import Dataset, Evaluation, Label, Model, PredefinedSplit, Project, feature_set

from .usual import BOOSTING, FIFTHS, LOGISTIC, fifths, searched

loans = Dataset("loans", contract="contracts/loans.odcs.yaml", source="raw/loans/*.csv", event_time="", keys=("row",))


@feature_set(entity="row", sources=[loans])
def application(loans: Any, as_of: Any) -> Any:
    """Return what the applicant said, and a fifth by the row."""
    from keelway.features.blocks import hash_bucket

    return loans.mutate(part=hash_bucket(loans.row, FIFTHS).cast("int64").cast("string"))


@Label.define(entity="row", source=loans)
def bad(loans: Any, as_of: Any) -> Any:
    """Which loans went bad."""
    return loans.select("row", bad=loans.c21 == 2)


german = Model(
    "german",
    features=[application],
    label=bad,
    cuts=None,
    split=PredefinedSplit(column="part", test="0"),
    estimators=[LOGISTIC, BOOSTING],
    evaluation=Evaluation(bootstrap=100, favourable="negative"),
)
project = Project("german", models=searched(*fifths(german)), policies="policies/")
