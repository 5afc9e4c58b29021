"""The index over runs: the best ten of 100,000, against MLflow's search over 10,000, and what logging a figure costs.

Both stores hold the same made-up runs: ten figures and eight parameters each, in one of three models.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from _figures import Figure, report

from keelway.core import RunQuery
from keelway.engines.sql import SqlState
from keelway.train.tracking import parse_where

RUNS = 100_000
MLFLOW_RUNS = 10_000
POINTS = 100_000
AIM_MS = 100.0
REPEATS = 5
START = datetime(2026, 1, 1, tzinfo=UTC)
ESTIMATORS = ("logistic", "boosting", "forest")
WHERE = "auc > 0.8 and estimator = 'boosting'"
QUERIES = {
    "top 10 by a figure": RunQuery(metric="auc", limit=10),
    f"top 10 where {WHERE}": RunQuery(metric="auc", limit=10, where=parse_where(WHERE)),
    "top 10 where a parameter is rare": RunQuery(metric="auc", limit=10, where=parse_where("params.depth = 17")),
    "newest 20": RunQuery(limit=20),
}


def facts(number: int) -> tuple[str, dict[str, float], dict[str, int]]:
    """Return estimator, figures and parameters of a made-up run; always the same for a number."""
    draw = random.Random(number)
    figures = {"auc": draw.uniform(0.5, 0.95), **{f"figure_{each}": draw.random() for each in range(9)}}
    return ESTIMATORS[number % 3], figures, {"depth": draw.randrange(1000), **{f"p{each}": each for each in range(7)}}


def fill_index(path: Path, count: int) -> None:
    """Write runs into the tables of an index, past its own inserts, which are not what is measured here."""
    SqlState(f"sqlite:///{path}").close()
    with closing(sqlite3.connect(path)) as connection, connection:
        for number in range(1, count + 1):
            estimator, figures, parameters = facts(number)
            at = int((START + timedelta(seconds=number)).timestamp() * 1e6)
            connection.execute(
                "INSERT INTO runs VALUES (?,?,'script',?,?,?,'succeeded','user:ana',0,'',0,'',?,?,1.0,'sha256:0','')",
                (number, f"{number:032x}", f"run {number}", f"model{number % 3}", estimator, at, at),
            )
            connection.executemany(
                "INSERT INTO run_metrics VALUES (?,?,?,'')", [(number, *each) for each in figures.items()]
            )
            connection.executemany(
                "INSERT INTO run_parameters VALUES (?,?,?,?)",
                [(number, name, str(value), float(value)) for name, value in parameters.items()],
            )


def fill_mlflow(path: Path, count: int) -> Any:
    """Write the same runs into MLflow's tables by its own client, in batches, and return the client."""
    from keelway.engines.mlflow import MlflowTracker

    tracker = MlflowTracker(f"sqlite:///{path}")
    tracker.alias_of("nothing", "nowhere")
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{path}", f"sqlite:///{path}")
    client.create_experiment("bench")
    with closing(sqlite3.connect(path)) as connection, connection:
        for number in range(1, count + 1):
            estimator, figures, parameters = facts(number)
            name, at = f"{number:032x}", 1_767_225_600_000 + number
            connection.execute(
                "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status,"
                " start_time, end_time, source_version, lifecycle_stage, artifact_uri, experiment_id)"
                " VALUES (?,?,'LOCAL','','','ana','FINISHED',?,?,'','active','',1)",
                (name, name, at, at),
            )
            connection.executemany(
                "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?,?,?,0,0,?)",
                [(key, value, at, name) for key, value in figures.items()],
            )
            told = {**parameters, "estimator": estimator}
            connection.executemany(
                "INSERT INTO params (key, value, run_uuid) VALUES (?,?,?)",
                [(key, str(value), name) for key, value in told.items()],
            )
    return client


def milliseconds(work: Callable[[], object]) -> float:
    """Return the median time of some calls, after one that warms up."""
    work()
    spent = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        work()
        spent.append((time.perf_counter() - begun) * 1000)
    return median(spent)


def searches(folder: Path, figures: list[Figure]) -> None:
    path = folder / "state.db"
    fill_index(path, RUNS)
    state = SqlState(f"sqlite:///{path}")

    def ask(query: RunQuery) -> list[Any]:
        with state.snapshot() as tx:
            return tx.runs.search(query)

    ours = {name: milliseconds(lambda query=query: ask(query)) for name, query in QUERIES.items()}  # type: ignore[misc]
    theirs = mlflow_searches(folder)
    for name, value in ours.items():
        peer = theirs.get(name)
        figures.append(
            Figure(
                f"runs: {name}, of {RUNS:,}",
                value,
                "ms",
                ratio_to=f"MLflow's search of {MLFLOW_RUNS:,} ({peer:,.0f} ms)" if peer else "",
                ratio=peer / value if peer else None,
                aim=f"<= {AIM_MS:.0f} ms",
            )
        )
    state.close()


def mlflow_searches(folder: Path) -> dict[str, float]:
    """Return how long MLflow takes for the same questions; nothing where it is not installed."""
    try:
        client = fill_mlflow(folder / "mlflow.db", MLFLOW_RUNS)
    except ImportError:
        return {}

    def best(condition: str) -> object:
        return client.search_runs(["1"], condition, order_by=["metrics.auc DESC"], max_results=10)

    names = list(QUERIES)
    return {
        names[0]: milliseconds(lambda: best("")),
        names[1]: milliseconds(lambda: best("metrics.auc > 0.8 and params.estimator = 'boosting'")),
        names[2]: milliseconds(lambda: best("params.depth = '17'")),
        names[3]: milliseconds(lambda: client.search_runs(["1"], max_results=20)),
    }


def logging_costs(folder: Path, figures: list[Figure]) -> None:
    """Log figures to a run without a project; the mirror is off, it is not part of a call."""
    from keelway.app.settings import EngineSettings, PrincipalSettings, ProjectSettings, Settings, SigningSettings
    from keelway.app.tracking import open_run
    from keelway.app.wire import Workspace
    from keelway.core import SystemClock

    settings = Settings(
        project=ProjectSettings(name="bench", module="", actor="user:ana"),
        signing=SigningSettings(name="bench"),
        engines=EngineSettings(tracking=""),
        principals={"user:ana": PrincipalSettings(roles=("data-scientist",))},
    )
    at = Workspace(folder, settings, clock=SystemClock(), actor="user:ana")
    begun = time.perf_counter()
    run = open_run(at, "bench", kind="script")
    opened = time.perf_counter()
    for step in range(POINTS):
        run.log("loss", 0.5, step=step)
    logged = time.perf_counter()
    run.close()
    closed = time.perf_counter()
    rows: list[tuple[int, float]] = []
    floor = time.perf_counter()
    for step in range(POINTS):
        rows.append((step, time.time()))  # noqa: PERF401 - the floor is the call itself
    floor = time.perf_counter() - floor
    each = (logged - opened) / POINTS * 1e6
    figures += [
        Figure(
            "runs: log one figure", each, "us", "a list append with the time", each / (floor / POINTS * 1e6), "<= 10 us"
        ),
        Figure("runs: open the first run of a process", (opened - begun) * 1000, "ms"),
        Figure(f"runs: close a run of {POINTS:,} values", (closed - logged) * 1000, "ms"),
    ]
    at.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="keelway-bench-") as folder:
        searches(Path(folder), figures)
        logging_costs(Path(folder) / "project", figures)
    report(figures, arguments.json)


if __name__ == "__main__":
    main()
