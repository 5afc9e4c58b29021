"""Search for the best parameters of one estimator; resumes what was interrupted, and never does it twice.

    tuning = tune(model, table, estimator=model.estimator("logistic"), score=..., larger_is_better=True, studies=..., ...)
    trained = fit(model, table, estimator=..., tunings=[tuning], ...)

A study is named by what decides it. Killed at any moment, it loses the trial that was running, whose parameters
are tried first when the same search is called again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from keelway.core import ArtifactKind, ArtifactStore, CodeState, SystemClock, canonical_json, digest_of
from keelway.errors import TrainingError, UsageError
from keelway.features import FeatureTable, rows_of
from keelway.project import Estimator, Model, Search
from keelway.train.parts import training_rows
from keelway.train.tuning.key import metric_of, study_name, tuning_key
from keelway.train.tuning.objective import Objective, Score, objective_of
from keelway.train.tuning.ports import Studies, StudyTerms, within
from keelway.train.tuning.record import Ending, Tuning, TuningTrial
from keelway.train.tuning.stopping import best_of, considered
from keelway.train.tuning.worker import SearchJob, helpers

if TYPE_CHECKING:
    from datetime import datetime

    from keelway.core import Clock
    from keelway.ledger import StateStore

POLL_S = 0.5


def tune(
    model: Model,
    table: FeatureTable,
    *,
    estimator: Estimator,
    search: Search,
    score: Score,
    larger_is_better: bool,
    studies: Studies,
    artifacts: ArtifactStore,
    state: StateStore,
    seed: int,
    now: datetime,
    code: CodeState,
    wall: Clock | None = None,
    progress: Callable[[str], None] = lambda _line: None,
) -> Tuning:
    """Return the best parameters of an estimator over the folds of its training rows.

    Args:
        model: The model, whose split folds and whose preprocessing comes first.
        table: The feature table; its test rows are not looked at.
        estimator: What has parameters to search.
        search: How long and in which way.
        score: The metric.
        larger_is_better: Which way it points.
        studies: Keeps what was tried.
        artifacts: Holds the rows, and takes the history.
        state: Keeps the finished tuning.
        seed: The seed of everything random.
        now: The moment that the record is stored for.
        code: What is executed.
        wall: The clock on the wall, for the time limit; the machine's by default.
        progress: Takes a line after each trial.

    Raises:
        UsageError: The estimator declares nothing to search.
        TrainingError: The rows cannot be folded, or no trial came to an end; the message says why.
    """
    if not estimator.space:
        raise UsageError(
            f"Estimator {estimator.name!r} has nothing to search",
            expected="a space",
            found="none",
            fix="Declare Estimator(space={...}) with Range and Choice.",
        )
    study = study_name(model, table, estimator=estimator, search=search, seed=seed, code=code)
    key = tuning_key(study, search)
    with state.snapshot() as tx:
        known = tx.find(Tuning, key)
    if known is not None:
        return known
    rows = training_rows(rows_of(table, artifacts), model, table)
    objective = objective_of(rows, model, table, estimator=estimator, score=score, seed=seed)
    terms = _terms(study, objective, search, larger_is_better=larger_is_better, seed=seed)
    job = SearchJob(terms, search, metric_of(model, search), objective, studies, wall or SystemClock())
    counted, ending = _searched(job, progress)
    found = _found(job, counted, ending)
    history = artifacts.put(canonical_json(list(counted)), kind=ArtifactKind.REPORT, name=f"{study}.json")
    made = found(model=model.name, feature_table=digest_of(table), history=history.digest, code=code)
    with state.transaction() as tx:
        if (first := tx.find(Tuning, key)) is not None:  # somebody else was faster
            return first
        tx.insert(key, made, parent=model.name, at=now)
    return made


def _searched(job: SearchJob, progress: Callable[[str], None]) -> tuple[tuple[TuningTrial, ...], Ending]:
    """Search until there is enough, and return the trials that count and what ended the search."""
    count = job.search.workers - 1
    while True:
        with helpers(job, count, progress):
            job.work(progress)
        trials = job.studies.trials(job.terms.name)
        counted, ending = considered(trials, job.search, larger_is_better=job.terms.larger_is_better)
        if not any(trial.status == "running" for trial in counted):
            return counted, ending or "time"
        # Another process still tries something; should it die, that is tried again here.
        count = 0
        time.sleep(POLL_S)


def _found(job: SearchJob, counted: tuple[TuningTrial, ...], ending: Ending) -> Callable[..., Tuning]:
    """Return the record of a search, but for what it was made of.

    Raises:
        TrainingError: No trial is complete.
    """
    best = best_of(counted, larger_is_better=job.terms.larger_is_better)
    if best is None or best.value is None:
        raise _nothing_found(job.objective.estimator, counted)
    return partial(
        Tuning,
        estimator=job.objective.estimator.name,
        study=job.terms.name,
        search=job.search,
        metric=job.metric,
        larger_is_better=job.terms.larger_is_better,
        parameters=best.parameters,
        value=best.value,
        best_trial=best.number,
        folds=tuple(fold.name for fold in job.objective.folds),
        trials=len(counted),
        pruned=sum(trial.status == "pruned" for trial in counted),
        failed=sum(trial.status == "failed" for trial in counted),
        ended=ending,
        seed=job.terms.seed,
    )


def _terms(study: str, objective: Objective, search: Search, *, larger_is_better: bool, seed: int) -> StudyTerms:
    space = objective.estimator.space
    return StudyTerms(
        name=study,
        space=space,
        larger_is_better=larger_is_better,
        seed=seed,
        folds=len(objective.folds),
        sampler=search.sampler,
        pruner=search.pruner if len(objective.folds) > 1 else "none",
        start={
            name: value
            for name, value in objective.estimator.parameters.items()
            if name in space and within(value, space[name])
        },
        parallel=search.workers > 1,
    )


def _nothing_found(estimator: Estimator, trials: tuple[TuningTrial, ...]) -> TrainingError:
    errors = [trial.error for trial in trials if trial.error]
    return TrainingError(
        f"No trial of {estimator.name!r} came to an end",
        expected="parameters in the space that the estimator accepts",
        found=f"{len(trials)} trials" + (f", the last: {errors[-1]}" if errors else ""),
        fix="Narrow Estimator(space=...), or raise max_iter where it did not converge.",
    )
