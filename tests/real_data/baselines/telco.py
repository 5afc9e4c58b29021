"""Which customers of a telephone company left in the last month? One snapshot of 7,043 customers."""

from __future__ import annotations

from typing import Any

from keelway import Dataset, Evaluation, Label, Model, PredefinedSplit, Project, feature_set

from .usual import BOOSTING, FIFTHS, LOGISTIC, fifths, searched

customers = Dataset(
    "customers", contract="contracts/customers.odcs.yaml", source="raw/customers/*.csv", event_time="",
    keys=("customerID",),
)  # fmt: skip


@feature_set(entity="customerID", sources=[customers])
def facts(customers: Any, as_of: Any) -> Any:
    """Return all that is known of a customer, and a fifth by the customer's number."""
    from keelway.features.blocks import hash_bucket

    return customers.mutate(part=hash_bucket(customers.customerID, FIFTHS).cast("int64").cast("string"))


@Label.define(entity="customerID", source=customers)
def churned(customers: Any, as_of: Any) -> Any:
    """Who has left."""
    return customers.select("customerID", churned=customers.Churn == "Yes")


telco = Model(
    "telco",
    features=[facts],
    label=churned,
    cuts=None,
    split=PredefinedSplit(column="part", test="0"),
    estimators=[LOGISTIC, BOOSTING],
    evaluation=Evaluation(sensitive=("gender",), bootstrap=100),
)
project = Project("telco", models=searched(*fifths(telco)), policies="policies/")
