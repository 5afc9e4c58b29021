"""Which customers of an Iranian telephone company had left by the end of the year? 3,150 rows, 300 of them copies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from keelway import Dataset, Evaluation, FeatureSet, Label, Model, PredefinedSplit, Project, RandomSplit

from .usual import BOOSTING, FIFTHS, LOGISTIC, fifths, searched

as_it_came, once = (
    Dataset(name, contract=f"contracts/{name}.odcs.yaml", source="raw/customers/*.csv", event_time="", keys=("row",))
    for name in ("customers", "customers_once")
)


def nine_months(customers: Any, as_of: Any) -> Any:
    """Return all that is known of the first nine months."""
    return customers


def of_those_who_differ(customers_once: Any, as_of: Any) -> Any:
    """Return the same of the rows that are no copies, and a fifth by the row."""
    from keelway.features.blocks import hash_bucket

    return customers_once.mutate(part=hash_bucket(customers_once.row, FIFTHS).cast("int64").cast("string"))


def churned(customers: Any, as_of: Any) -> Any:
    """Who had left at the end of month 12."""
    return customers.select("row", churned=customers.Churn)


def churned_once(customers_once: Any, as_of: Any) -> Any:
    """The same of the rows that are no copies."""
    return customers_once.select("row", churned_once=customers_once.Churn)


iranian = Model(
    "iranian",
    features=[FeatureSet("nine_months", entity="row", sources=(once,), function=of_those_who_differ)],
    label=Label("churned_once", entity="row", source=once, horizon=None, function=churned_once),
    cuts=None,
    split=PredefinedSplit(column="part", test="0"),
    estimators=[LOGISTIC, BOOSTING],
    evaluation=Evaluation(bootstrap=100),
)
with_copies = replace(
    iranian,
    name="with_copies",
    features=(FeatureSet("nine_months", entity="row", sources=(as_it_came,), function=nine_months),),
    label=Label("churned", entity="row", source=as_it_came, horizon=None, function=churned),
    split=RandomSplit(),
)
project = Project("iranian", models=(*searched(*fifths(iranian)), with_copies), policies="policies/")
