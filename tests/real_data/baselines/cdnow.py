"""Which customers of a CD shop will buy nothing within 180 days? Orders of 18 months, a file a month."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from keelway import Cuts, Dataset, Evaluation, Label, Model, Project, TimeSplit, feature_set

from .usual import BOOSTING, LOGISTIC, searched

orders = Dataset(
    "orders", contract="contracts/orders.odcs.yaml", source="raw/orders/*.csv", event_time="ordered", keys=("row",)
)


@feature_set(entity="customer", sources=[orders])
def activity(orders: Any, as_of: Any) -> Any:
    """How recently, how often and for how much a customer bought."""
    from keelway.features.blocks import mean_gap, mean_of, ratio, recency, tenure, total, window_count, window_sum

    at = orders.ordered
    totals = orders.group_by("customer").agg(
        recency_d=recency(at, as_of),
        tenure_d=tenure(at, as_of),
        gap_d=mean_gap(at),
        frequency=at.nunique().cast("float64"),
        spent=total(orders.paid),
        mean_order=mean_of(orders.paid),
        discs=total(orders.discs),
        orders_90d=window_count(at, as_of, days=90),
        spent_90d=window_sum(orders.paid, at, as_of, days=90),
    )
    return totals.mutate(overdue=ratio(totals.recency_d, totals.gap_d)).drop("tenure_d")


@Label.define(entity="customer", source=orders, horizon="180d", absent=1)
def churned(orders: Any, as_of: Any) -> Any:
    """Who orders within the horizon has not churned."""
    return orders.select("customer").distinct().mutate(churned=0)


cdnow = Model(
    "cdnow",
    features=[activity],
    label=churned,
    cuts=Cuts(datetime(1997, 4, 1, tzinfo=UTC), last=datetime(1998, 1, 1, tzinfo=UTC)),
    split=TimeSplit(),
    estimators=[LOGISTIC, BOOSTING],
    trivial_rule="recency_d",
    overlap="when_unavoidable",  # of folds only: the test has clean cuts before it
    evaluation=Evaluation(bootstrap=100),
)
project = Project("cdnow", models=searched(cdnow), policies="policies/")
