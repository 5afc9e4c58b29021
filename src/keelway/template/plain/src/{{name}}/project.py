"""What {{name}} is made of: data, features, label, model, and what is watched."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from keelway import Cuts, Dataset, Estimator, Label, Model, Monitor, Project, Risk, feature_set

orders = Dataset(
    "orders",
    contract="contracts/orders.odcs.yaml",
    source="raw/orders/**/*.csv",
    event_time="order_date",
    keys=("order_id",),
)


@feature_set(entity="customer_id", sources=[orders])
def activity(orders: Any, as_of: Any) -> Any:
    """How recently, how often and for how much a customer bought; one row a customer, nothing from the future."""
    from keelway.features.blocks import days_since, window_count

    return orders.group_by("customer_id").agg(
        recency_d=days_since(orders.order_date.max(), as_of),
        frequency=orders.order_id.nunique().cast("float64"),
        monetary=orders.amount.sum(),
        orders_90d=window_count(orders.order_date, as_of, days=90),
    )


@Label.define(entity="customer_id", source=orders, horizon="90d", absent=1)
def churned(orders: Any, as_of: Any) -> Any:
    """Who orders within the horizon has not churned (0); everybody else has (1, declared as `absent`)."""
    return orders.select("customer_id").distinct().mutate(churned=0)


churn = Model(
    "churn",
    features=[activity],
    label=churned,
    estimators=[
        Estimator("logistic", "sklearn.linear_model.LogisticRegression", {"max_iter": 1000}),
        Estimator("boosting", "sklearn.ensemble.HistGradientBoostingClassifier", {"learning_rate": 0.05}),
    ],
    cuts=Cuts(first=datetime(2024, 1, 1, tzinfo=UTC), every="month"),  # the first day to learn from
    trivial_rule="recency_d",
    # Without rollouts, such as Rollout.canary("prod", steps=(5, 25, 50), hold="30m"), all traffic goes at once.
    risk=Risk(  # answer these for your own model; somebody else confirms them: keelway risk assess churn --as user:approver
        owner="user:approver",
        prohibited=(),
        product_safety=False,
        annex_iii=(),
        profiles_persons=True,
        transparency=(),
        affected=("customers",),
        severity="limited",
        reversibility="easy",
        scale="thousands",
        data=("personal",),
        oversight="can_stop",
        oversight_how="Who writes to customers reads the list before, and may write to nobody.",
    ),
)

project = Project("{{name}}", models=[churn], monitors=[Monitor("churn")])
