"""Which customers of the CDNOW shop will not buy again within 180 days?

Everything is declared here: what the data is, what is computed from it, what is to be learnt, and what is watched.
A feature function is handed tables that hold only rows known before `as_of`, so it cannot see the future.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from keelway import (
    Analysis,
    ContingencyPlan,
    Cuts,
    Dataset,
    Estimator,
    Guardrail,
    Label,
    Model,
    Monitor,
    Preprocessing,
    Project,
    Risk,
    Rollout,
    feature_set,
)

transactions = Dataset(
    "transactions",
    contract="contracts/transactions.odcs.yaml",
    source="raw/transactions/**/*.csv",
    event_time="order_date",
    keys=("order_id",),
)


@feature_set(entity="customer_id", sources=[transactions])
def activity(transactions: Any, as_of: Any) -> Any:
    """How recently, how often and for how much a customer bought; one row a customer.

    Somebody who bought on one day only has no gap between orders, so `gap_d` and `overdue` are null for them. How long
    somebody has been a customer is left out: the shop knows one cohort only, so it would be the calendar in disguise,
    and a model that learnt it in summer would be lost in winter.
    """
    import ibis

    from keelway.features.blocks import days_since, ratio, trend, window_count, window_sum

    bought = transactions.order_date
    totals = transactions.group_by("customer_id").agg(
        recency_d=days_since(bought.max(), as_of),
        first_d=days_since(bought.min(), as_of),
        frequency=bought.nunique().cast("float64"),
        monetary=transactions.amount.sum(),
        units=transactions.units.sum().cast("float64"),
        largest_order=transactions.amount.max(),
        orders_30d=window_count(bought, as_of, days=30),
        orders_90d=window_count(bought, as_of, days=90),
        orders_180d=window_count(bought, as_of, days=180),
        spent_90d=window_sum(transactions.amount, bought, as_of, days=90),
        order_trend=trend(bought, as_of, days=60),
    )
    gap_d = ratio(totals.first_d - totals.recency_d, totals.frequency - 1)
    mean_order = ratio(totals.monetary, totals.frequency)
    return totals.mutate(
        gap_d=gap_d,
        overdue=ratio(totals.recency_d, gap_d),
        mean_order=mean_order,
        basket=ibis.cases(  # null for those who never paid anything
            (mean_order <= 0, ibis.null(str)),
            (mean_order < 15, "small"),
            (mean_order < 40, "middle"),
            else_="large",
        ),
    ).drop("first_d")


@Label.define(entity="customer_id", source=transactions, horizon="180d", absent=1)
def churned(transactions: Any, as_of: Any) -> Any:  # noqa: ARG001 - the window is cut already
    """Who buys within the horizon has not churned (0); everybody else has (1, declared as `absent`)."""
    return transactions.select("customer_id").distinct().mutate(churned=0)


churn = Model(
    "churn",
    features=[activity],
    label=churned,
    estimators=[
        Estimator("logistic", "sklearn.linear_model.LogisticRegression", {"C": 1.0, "max_iter": 1000}),
        Estimator(
            "boosting",
            "sklearn.ensemble.HistGradientBoostingClassifier",
            {"learning_rate": 0.05, "max_iter": 150, "max_leaf_nodes": 15, "min_samples_leaf": 100},
        ),
    ],
    cuts=Cuts(first=datetime(1997, 4, 1, tzinfo=UTC), every="month"),
    preprocessing=Preprocessing(impute="median", scale=True, rare_level=20, select="variance"),
    metrics=["log_loss", "roc_auc"],  # the first decides: a probability is asked for, not only a ranking
    trivial_rule="recency_d",
    risk=Risk(  # who confirms it: keelway risk assess churn --as user:olga
        owner="user:olga",
        prohibited=(),
        product_safety=False,
        annex_iii=(),
        profiles_persons=True,
        transparency=(),
        affected=("customers",),
        severity="limited",  # a letter too many, or a customer whom nobody writes to
        reversibility="easy",
        scale="thousands",
        data=("personal",),
        oversight="can_stop",
        oversight_how="Marketing reads the list before letters go out, and may send none.",
    ),
    rollouts=[  # a quarter of the customers first; the letters go out once a month, so there is no hurry
        Rollout.canary(
            "prod",
            steps=(25,),
            analysis=Analysis(
                guardrails=(
                    Guardrail("predictions", "distribution", margin=0.5),  # PSI: half a year more of data shows in it
                    Guardrail("error_rate", margin=0.1),  # the list is made in batches; few requests come one by one
                ),
                planned=400,
            ),
        )
    ],
    overlap="when_unavoidable",  # 15 months of data hold few windows of 180 days; scorecards say how much they share
)

project = Project(
    "churn",
    models=[churn],
    policies="policies/",
    monitors=[
        Monitor(
            "churn",
            psi_threshold=0.2,
            min_rows=500,
            auc_floor=0.70,
            min_outcomes=500,
            plan=ContingencyPlan("watch-and-renew", cooldown="30d"),
        )
    ],
)
