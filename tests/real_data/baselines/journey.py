"""Which households of a retailer will buy nothing within 30 days? A year of 1,469,307 lines, a file a month."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from keelway import Cuts, Dataset, Evaluation, Label, Model, Project, TimeSplit, feature_set

from .usual import BOOSTING, LOGISTIC, searched

sales = Dataset(
    "sales", contract="contracts/sales.odcs.yaml", source="raw/sales/*.parquet", event_time="transaction_timestamp"
)


@feature_set(entity="household_id", sources=[sales])
def activity(sales: Any, as_of: Any) -> Any:
    """How recently, how often, for how much and how variedly a household bought."""
    from keelway.features.blocks import over_windows, recency, tenure, total, trend, window_distinct, window_sum

    at = sales.transaction_timestamp
    return sales.group_by("household_id").agg(
        recency_d=recency(at, as_of),
        tenure_d=tenure(at, as_of),
        baskets=sales.basket_id.nunique().cast("float64"),
        spent=total(sales.sales_value),
        products=sales.product_id.nunique().cast("float64"),
        saved=total(sales.retail_disc),
        **over_windows("baskets", window_distinct, sales.basket_id, at, as_of=as_of),
        **over_windows("spent", window_sum, sales.sales_value, at, as_of=as_of),
        trend=trend(at, as_of, days=30),
    )


@Label.define(entity="household_id", source=sales, horizon="30d", absent=1)
def churned(sales: Any, as_of: Any) -> Any:
    """Who buys within the horizon has not churned."""
    return sales.select("household_id").distinct().mutate(churned=0)


journey = Model(
    "journey",
    features=[activity],
    label=churned,
    cuts=Cuts(datetime(2017, 4, 1, tzinfo=UTC), last=datetime(2017, 12, 1, tzinfo=UTC)),
    split=TimeSplit(),
    estimators=[LOGISTIC, BOOSTING],
    trivial_rule="recency_d",
    evaluation=Evaluation(bootstrap=100),
)
project = Project("journey", models=searched(journey), policies="policies/")
