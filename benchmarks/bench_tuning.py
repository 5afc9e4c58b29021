"""What Keelway's search adds to a trial, against Optuna by itself with the same estimator, folds, metric and budget.

Both keep their study in a SQLite file and search the same space by TPE. The peer is what Optuna's documentation shows:
`study.optimize` on an `RDBStorage` with its defaults. Ours includes the record of every trial as a run.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from _figures import Figure, report

from keelway.project import Search
from keelway.testing.tuning import LOG_LOSS, SEARCHED, TuningWorld
from keelway.train import training_rows
from keelway.train.tuning import TrialOrigin, record_trials
from keelway.train.tuning.objective import Objective, objective_of

TRIALS = 40
REPEATS = 3
SEED = 7
SEARCH = Search(trials=TRIALS, pruner="none", metric="log_loss")


def constant(_truth: Any, _predictions: Any, _classes: Any) -> float:
    return 0.5


def bare_optuna(objective: Objective, database: Path) -> None:
    """Search as Optuna's documentation does."""
    import optuna

    def value(trial: Any) -> float:
        given = {
            "C": trial.suggest_float("C", 0.0001, 100.0, log=True),
            "fit_intercept": trial.suggest_categorical("fit_intercept", (True, False)),
        }
        total = 0.0
        for step, one in enumerate(objective.values(given), start=1):
            total += one
            trial.report(total / step, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return total / len(objective.folds)

    study = optuna.create_study(
        storage=f"sqlite:///{database}",
        sampler=optuna.samplers.TPESampler(seed=SEED),
        pruner=optuna.pruners.NopPruner(),
    )
    study.optimize(value, n_trials=TRIALS)


def seconds(work: Callable[[], object]) -> float:
    """Return how long a piece of work takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def whole(world: TuningWorld) -> None:
    """Search, and record the trials as runs, as `keelway tune` does."""
    tuning = world.tune(seed=SEED)
    at = world.inner
    origin = TrialOrigin(
        study=tuning.study, model="churn", estimator="logistic", metric="log_loss", experiment="bench", parent="",
        principal="user:bench", seed=SEED, code=tuning.code, dataset=tuning.feature_table,
    )  # fmt: skip
    record_trials(world.studies.trials(tuning.study), origin, artifacts=at.artifacts, state=at.state)


def objective_in(world: TuningWorld) -> Objective:
    """Return what both sides measure."""
    from keelway.features import rows_of

    at = world.inner
    rows = training_rows(rows_of(at.table, at.artifacts), at.model, at.table)
    return objective_of(rows, at.model, at.table, estimator=SEARCHED, score=LOG_LOSS, seed=SEED)


def fits_alone(objective: Objective) -> None:
    """Fit and measure as often as a search does, without any."""
    for number in range(TRIALS):
        list(objective.values({"C": 10.0 ** (number % 6 - 3), "fit_intercept": bool(number % 2)}))


def measure(folder: Path, rows: int) -> list[Figure]:
    """Return the figures, each the median of some repeats in turn."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    ours, bare, alone = [], [], []
    for repeat in range(REPEATS):
        place = folder / str(repeat)
        world = TuningWorld(place, rows=rows, search=SEARCH)
        objective = objective_in(world)
        list(objective.values({"C": 1.0}))  # scikit-learn is loaded by nobody's account
        alone.append(seconds(lambda at=objective: fits_alone(at)))
        bare.append(seconds(lambda at=objective, file=place / "bare.db": bare_optuna(at, file)))
        ours.append(seconds(lambda at=world: whole(at)))
        world.inner.state.close()
    fit = median(alone) / TRIALS * 1000
    peer, mine = (median(each) / TRIALS * 1000 for each in (bare, ours))
    name = f"{rows:,} rows"
    return [
        Figure(f"trial of three folds, {name}", mine, "ms", "bare Optuna on SQLite", mine / peer, "<= 1.1"),
        Figure(f"of which search, {name}", mine - fit, "ms", "bare Optuna on SQLite", (mine - fit) / (peer - fit)),
        Figure(f"fits and metric alone, {name}", fit, "ms"),
    ]


def finished(folder: Path) -> Figure:
    """Return what a search costs that is finished already."""
    world = TuningWorld(folder, search=replace(SEARCH, trials=3))
    world.tune(score=constant, seed=SEED)
    taken = median(seconds(lambda: world.tune(score=constant, seed=SEED)) for _ in range(20))
    world.inner.state.close()
    return Figure("a finished search, asked again", taken * 1000, "ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", type=int, default=3000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder) / "world", arguments.rows)
        report([*figures, finished(Path(folder) / "finished")], arguments.json)


if __name__ == "__main__":
    main()
