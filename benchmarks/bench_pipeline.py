"""The whole training plan of the churn example: the first run, and the same run again, out of the cache.

The floor is what the same work costs without Keelway: pandas reads the files, scikit-learn fits the same two models.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from pathlib import Path

from _figures import Figure, report

from keelway import App
from keelway.core import SimulatedClock, parse_time
from keelway.surfaces.cli.start import equip
from keelway.template import copy_example, example_module

NOW = parse_time("1998-01-02")


def seconds(work: object) -> float:
    begun = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - begun


def plain_training(root: Path) -> None:
    """Read, aggregate for the same cut dates, and fit the same estimators, with nothing recorded."""
    import pandas as pd
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    files = sorted(root.glob("raw/transactions/**/*.csv"))
    frames = [pd.read_csv(file, dtype=str) for file in files]
    rows = pd.concat([frame.rename(columns={"cust_id": "customer_id"}) for frame in frames])
    rows["order_date"] = pd.to_datetime(rows["order_date"], errors="coerce")
    rows["amount"] = pd.to_numeric(rows["amount"], errors="coerce")
    rows = rows.dropna(subset=["order_date", "amount", "customer_id"])
    tables = []
    for cut in pd.date_range("1997-04-01", "1997-07-01", freq="MS"):
        past = rows[rows["order_date"] < cut]
        future = rows[(rows["order_date"] >= cut) & (rows["order_date"] < cut + pd.Timedelta(days=180))]
        table = past.groupby("customer_id").agg(
            last=("order_date", "max"), n=("order_date", "nunique"), sum=("amount", "sum")
        )
        table["recency"] = (cut - table.pop("last")).dt.days
        table["label"] = (~table.index.isin(future["customer_id"])).astype(int)
        tables.append(table)
    train = pd.concat(tables)
    columns, labels = train[["recency", "n", "sum"]], train["label"]
    LogisticRegression(max_iter=1000).fit(columns, labels)
    HistGradientBoostingClassifier(max_iter=150).fit(columns, labels)


def main() -> None:
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "churn"
        copy_example(root)
        equip(root)
        shop = example_module(root)
        shop.lay_out(shop.orders_path(), root, until=NOW)
        floor = seconds(lambda: plain_training(root))
        app = App.open(root, clock=SimulatedClock(NOW), actor="user:ana")
        ingest = seconds(app.data.ingest)
        first = seconds(lambda: app.lab.run("churn"))
        again = seconds(lambda: app.lab.run("churn"))
        refreshed = seconds(lambda: app.lab.run("churn", refresh=True))
        app.close()
    report(
        [
            Figure("ingest 365 files", ingest, "s"),
            Figure(
                "first run of the plan", first, "s", "plain pandas and scikit-learn, nothing recorded", first / floor
            ),
            Figure("run without cache, warm", refreshed, "s", "plain pandas and scikit-learn", refreshed / floor),
            Figure("cached re-run of the plan", again * 1000, "ms", "first run", again / first),
        ],
        "--json" in sys.argv,
    )


if __name__ == "__main__":
    main()
