"""What a training costs beyond its fit: Adult's 32,561 training rows, learnt from with and without Keelway.

The floor is scikit-learn's own `fit` of the identical pipeline on the identical frame, which is in memory already. Ours
reads the stored feature table, checks rows and labels, profiles them, fits, stores the pipeline as bytes that hold no code,
and keeps the record. MLflow is told of a training that lasts beyond two seconds while it lasts, and of every training after
it, by its evaluation and from its record: what that takes is told by itself. Each repeat has a seed of its own, since the same training is never done
twice; both sides take turns, and the median is told. Without the data set, rows of the same shape are made up.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from _figures import Figure, report

from keelway.core import digest_of
from keelway.engines.local.tracker import NoTracker
from keelway.engines.mlflow import MlflowTracker
from keelway.features import FeatureTable, rows_of
from keelway.project import Dataset, Estimator, Label, Model, PredefinedSplit, feature_set
from keelway.testing.static import CODE, StaticWorld
from keelway.train import Tracker, TrainedModel, fit, labels_of, load_pipeline, training_rows
from keelway.train.frame import frame_of
from keelway.train.tracking import show_training

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("KEELWAY_DATA", ROOT.parent / "shared" / "data"))
COLUMNS = [
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education_num",
    "marital_status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital_gain",
    "capital_loss",
    "hours_per_week",
    "country",
    "income",
]
REPEATS = 5
AIM = "<= 1.05"
Clock = Callable[[], float]
PEOPLE = Dataset("people", contract="people.odcs.yaml", source="raw/*.csv", event_time="")


@feature_set(entity="row", sources=[PEOPLE])
def census(people: Any, as_of: Any) -> Any:
    """Return what was answered."""
    return people


@Label.define(entity="row", source=PEOPLE)
def rich(people: Any, as_of: Any) -> Any:
    """Return who earns more."""
    return people.select("row", rich=people.income.startswith(">50K"))


ESTIMATORS = (
    Estimator("logistic", "sklearn.linear_model.LogisticRegression", {"max_iter": 3000}),
    Estimator("boosting", "sklearn.ensemble.HistGradientBoostingClassifier"),
)
MODEL = Model(
    "adult", features=[census], label=rich, cuts=None, split=PredefinedSplit(column="part"), estimators=ESTIMATORS
)


def people(data: Path) -> dict[str, Any]:
    """Return the census by columns, each row with its part; missing texts are empty."""
    import pandas as pd

    parts = []
    for part in ("train", "test"):
        rows = pd.read_csv(
            data / f"D_adult_{part}.csv.gz", names=COLUMNS, skipinitialspace=True, na_values="?", keep_default_na=False
        )
        parts.append(rows.dropna(subset=["income"]).assign(part=part))
    whole = pd.concat(parts, ignore_index=True)
    texts = whole.select_dtypes(exclude="number").columns
    whole[texts] = whole[texts].fillna("")
    whole["row"] = [f"r{number:05}" for number in range(len(whole))]
    return {name: whole[name].tolist() for name in whole}


def seconds(work: Callable[[], Any], clock: Clock) -> float:
    """Return how long a piece of work takes."""
    gc.collect()
    begun = clock()
    work()
    return clock() - begun


def trained(world: StaticWorld, table: FeatureTable, estimator: Estimator, tracker: Tracker, seed: int) -> TrainedModel:
    """Train as the step of a plan does."""
    return fit(
        world.model, table, estimator=estimator, artifacts=world.artifacts, state=world.state, tracker=tracker,
        seed=seed, now=table.as_ofs[-1], code=CODE,
    )  # fmt: skip


def shown(world: StaticWorld, made: TrainedModel, tracker: Tracker) -> str:
    """Show a training in MLflow, as its evaluation does."""
    return show_training(digest_of(made), state=world.state, artifacts=world.artifacts, tracker=tracker)


def plain_fit(world: StaticWorld, table: FeatureTable, made: TrainedModel) -> Callable[[int], Any]:
    """Return what fits the same pipeline anew on rows in memory, with a seed."""
    import numpy as np
    from sklearn.base import clone

    learnt = training_rows(rows_of(table, world.artifacts), world.model, table)
    frame = frame_of({each.name: learnt[each.name] for each in made.features}, made.features)
    labels = labels_of(learnt)
    pipeline = load_pipeline(made.pipeline, artifacts=world.artifacts)

    def work(seed: int) -> Any:
        fresh = clone(pipeline)
        fresh[-1].set_params(random_state=seed)
        matrix = fresh[:-1].fit_transform(frame, labels).astype(np.float64)  # in 64 bits, as ours
        return fresh[-1].fit(matrix, labels)

    return work


def figures_of(
    world: StaticWorld, table: FeatureTable, estimator: Estimator, tracker: Tracker, clock: Clock
) -> list[Figure]:
    """Return the figures of one estimator."""
    warm = trained(world, table, estimator, tracker, seed=0)
    plain = plain_fit(world, table, warm)
    plain(0)
    times: dict[str, list[float]] = {"plain": [], "tracked": [], "untracked": [], "shown": []}
    for seed in range(1, REPEATS + 1):
        times["plain"].append(seconds(partial(plain, seed), clock))
        times["tracked"].append(seconds(partial(trained, world, table, estimator, tracker, seed), clock))
        known = trained(world, table, estimator, tracker, seed)  # done before: its record is read
        times["shown"].append(seconds(partial(shown, world, known, tracker), clock))
        quiet = partial(trained, world, table, estimator, NoTracker(), 1000 + seed)
        times["untracked"].append(seconds(quiet, clock))
    floor, ours, alone, after = (median(times[name]) for name in ("plain", "tracked", "untracked", "shown"))
    against = "plain scikit-learn fit"
    return [
        Figure(f"{estimator.name}, plain fit", floor * 1000, "ms"),
        Figure(f"{estimator.name}, with evidence and MLflow", ours * 1000, "ms", against, ours / floor, AIM),
        Figure(f"{estimator.name}, with evidence, no tracker", alone * 1000, "ms", against, alone / floor),
        Figure(f"{estimator.name}, shown whole in MLflow after it", after * 1000, "ms", against, after / floor),
    ]


def measure(folder: Path, clock: Clock) -> list[Figure]:
    """Return all figures."""
    if not (DATA / "D_adult_train.csv.gz").is_file():
        return [Figure("training overhead", None, f"no Adult at {DATA}; set KEELWAY_DATA")]
    world = StaticWorld(folder, MODEL, people(DATA))
    table = world.table()
    tracker = MlflowTracker(f"sqlite:///{folder / 'mlflow.db'}")
    figures = [each for estimator in ESTIMATORS for each in figures_of(world, table, estimator, tracker, clock)]
    world.state.close()
    return figures


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--cpu", action="store_true", help="processor time, for a machine that others use as well")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        clock = time.process_time if arguments.cpu else time.perf_counter
        report(measure(Path(folder), clock), arguments.json)


if __name__ == "__main__":
    main()
