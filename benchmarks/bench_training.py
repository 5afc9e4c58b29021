"""What a training costs beyond its fit: Adult's 32,561 training rows, learnt from with and without Keelway.

The floor is scikit-learn's own `fit` of the identical pipeline on the identical frame, which is in memory already; before
anything is timed, both must give the same probabilities to the last bit. Ours reads the stored feature table, checks rows and
labels, profiles them, fits, stores the pipeline as bytes that hold no code, and keeps the record. MLflow is told of a
training that lasts beyond two seconds while it lasts, and of every training after it, by its evaluation and from its record:
what that takes is told by itself.

A turn fits three times with one seed, in an order that is drawn: plainly, with evidence, and with evidence and MLflow. Told is
the median of the ratios within a turn, with its 95 % confidence interval (percentiles of 4,000 bootstrapped medians), by the
clock, by the processor time of the main thread, which is what the clock would say where another core is free for the work
beside the fit, and by that of the whole process. An aim is met when the whole interval is within it, not met when none of it
is, and nothing can be said otherwise. Without the data set nothing is measured.
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
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from _figures import Figure, report

from keelway.core import CodeState, digest_bytes, digest_of
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
SECONDS = 90.0
LEAST_TURNS = 9
RESAMPLES = 4000
MOST = 1.05
CLOCKS: dict[str, Callable[[], float]] = {
    "clock": time.perf_counter,
    "processor time of the main thread": time.thread_time,
    "processor time": time.process_time,
}
PLAIN, QUIET, TRACKED, SHOWN = (
    "plain fit",
    "with evidence",
    "with evidence and MLflow",
    "shown whole in MLflow after it",
)
Spent = dict[str, float]
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


def spent(work: Callable[[], Any]) -> Spent:
    """Return how many seconds a piece of work takes, by each clock."""
    gc.collect()
    begun = {name: clock() for name, clock in CLOCKS.items()}
    work()
    return {name: clock() - begun[name] for name, clock in CLOCKS.items()}


def trained(
    world: StaticWorld, table: FeatureTable, estimator: Estimator, tracker: Tracker, seed: int, code: CodeState = CODE
) -> TrainedModel:
    """Train as the step of a plan does."""
    return fit(
        world.model, table, estimator=estimator, artifacts=world.artifacts, state=world.state, tracker=tracker,
        seed=seed, now=table.as_ofs[-1], code=code,
    )  # fmt: skip


def shown(world: StaticWorld, made: TrainedModel, tracker: Tracker) -> str:
    """Show a training in MLflow, as its evaluation does."""
    return show_training(digest_of(made), state=world.state, artifacts=world.artifacts, tracker=tracker)


def plain_fit(world: StaticWorld, table: FeatureTable, made: TrainedModel) -> Callable[[int], Any]:
    """Return what fits the same pipeline anew on rows in memory, with a seed; it was compared with ours.

    Raises:
        SystemExit: It does not learn the same, so that there is nothing to compare.
    """
    import numpy as np
    from sklearn.base import clone

    learnt = training_rows(rows_of(table, world.artifacts), world.model, table)
    frame = frame_of({each.name: learnt[each.name] for each in made.features}, made.features)
    labels = labels_of(learnt)
    pipeline = load_pipeline(made.pipeline, artifacts=world.artifacts)

    def work(seed: int) -> Any:
        fresh = clone(pipeline)
        fresh[-1].set_params(random_state=seed)
        matrix = np.asarray(fresh[:-1].fit_transform(frame, labels), np.float64)  # in 64 bits, as ours
        return fresh[-1].fit(matrix, labels)

    prepared = np.asarray(pipeline[:-1].transform(frame), np.float64)
    if not np.array_equal(work(made.seed).predict_proba(prepared), pipeline.predict_proba(frame)):
        raise SystemExit(f"{made.estimator}: the plain fit learns something else")
    return work


def turns_of(
    world: StaticWorld, table: FeatureTable, estimator: Estimator, tracker: Tracker, *, for_s: float
) -> list[dict[str, Spent]]:
    """Return what each way took in each turn, for some seconds or a little more."""
    order, other = Random(0), replace(CODE, environment_digest=digest_bytes(b"another"))  # never done before, either
    plain = plain_fit(world, table, trained(world, table, estimator, tracker, 0))
    trained(world, table, estimator, NoTracker(), 0, other)
    turns: list[dict[str, Spent]] = []
    until = time.perf_counter() + for_s
    while len(turns) < LEAST_TURNS or time.perf_counter() < until:
        seed = len(turns) + 1
        ways: dict[str, Callable[[], Any]] = {
            PLAIN: partial(plain, seed),
            QUIET: partial(trained, world, table, estimator, NoTracker(), seed, other),
            TRACKED: partial(trained, world, table, estimator, tracker, seed),
        }
        turn = {way: spent(ways[way]) for way in order.sample(list(ways), len(ways))}
        known = trained(world, table, estimator, tracker, seed)  # done before: its record is read
        turns.append({**turn, SHOWN: spent(partial(shown, world, known, tracker))})
    return turns


def between(ratios: list[float]) -> tuple[float, float]:
    """Return the 95 % confidence interval of the median, as the percentiles of bootstrapped medians."""
    draw = Random(0)
    medians = sorted(median(draw.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    return medians[RESAMPLES * 25 // 1000], medians[RESAMPLES * 975 // 1000 - 1]


def verdict(low: float, high: float) -> str:
    """Say whether an aim is met by a ratio that lies between two numbers."""
    said = "met" if high <= MOST else "not met" if low > MOST else "cannot be said"
    return f"<= {MOST}: {said}"


def figures_of(estimator: Estimator, turns: list[dict[str, Spent]]) -> list[Figure]:
    """Return the figures of one estimator."""
    figures = []
    for clock in CLOCKS:
        took = {way: median(turn[way][clock] for turn in turns) * 1000 for way in turns[0]}
        label = f"{estimator.name}, {clock}, {len(turns)} turns"
        figures.append(Figure(f"{label}, {PLAIN}", took[PLAIN], "ms"))
        for way in (QUIET, TRACKED, SHOWN):
            ratios = [turn[way][clock] / turn[PLAIN][clock] for turn in turns]
            bounds = between(ratios)
            aim = "" if way is SHOWN else verdict(*bounds)
            figures.append(Figure(f"{label}, {way}", took[way], "ms", "plain fit", median(ratios), aim, bounds))
    return figures


def measure(folder: Path, *, for_s: float) -> list[Figure]:
    """Return all figures."""
    if not (DATA / "D_adult_train.csv.gz").is_file():
        return [Figure("training overhead", None, f"no Adult at {DATA}; set KEELWAY_DATA")]
    world = StaticWorld(folder, MODEL, people(DATA))
    table = world.table()
    tracker = MlflowTracker(f"sqlite:///{folder / 'mlflow.db'}")
    figures = [
        figure
        for estimator in ESTIMATORS
        for figure in figures_of(estimator, turns_of(world, table, estimator, tracker, for_s=for_s))
    ]
    world.state.close()
    return figures


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long turns are taken for each estimator")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        report(measure(Path(folder), for_s=arguments.seconds), arguments.json)


if __name__ == "__main__":
    main()
