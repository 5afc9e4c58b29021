"""The step that searches: binds tuning to the metrics of evaluation, and trials to the index over runs."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from keelway.core import digest_of
from keelway.errors import UsageError
from keelway.flow.context import Context
from keelway.project import Estimator

if TYPE_CHECKING:
    from keelway.features import FeatureTable
    from keelway.project import Model
    from keelway.train.tuning import TrialOrigin, Tuning


def search_parameters(
    model: str, estimator: str, table: FeatureTable, *, trials: int, timeout_s: float, ctx: Context
) -> Tuning:
    """Return the best parameters of an estimator, as its model's search finds them.

    Args:
        model: The model's name.
        estimator: The estimator's name.
        table: The feature table.
        trials: How many trials; 0 for as many as are declared.
        timeout_s: For how many seconds; 0 for as long as is declared.
        ctx: Ports and facts.

    Raises:
        UsageError: The model declares no search, or the context keeps no studies.
        TrainingError: The metric is unknown, or nothing came of the search.
    """
    from keelway.evaluate import check_metrics, figure_value, greater_is_better
    from keelway.train.tuning import metric_of, record_trials, study_name, tune

    declared = ctx.project.model(model)
    searched = declared.estimator(estimator)
    if declared.search is None or ctx.studies is None or not isinstance(searched, Estimator):
        raise UsageError(
            f"The parameters of {estimator!r} cannot be searched for",
            expected="Model(search=Search(...)), a single estimator with a space, and a place for studies",
            found="no search" if declared.search is None else "no place" if ctx.studies is None else "an ensemble",
        )
    search = declared.search
    search = replace(search, trials=trials or search.trials, timeout_s=timeout_s or search.timeout_s)
    metric = metric_of(declared, search)
    check_metrics(replace(declared, metrics=(metric,)))
    study = study_name(declared, table, estimator=searched, search=search, seed=ctx.seed, code=ctx.code)
    try:
        return tune(
            declared,
            table,
            estimator=searched,
            search=search,
            score=partial(figure_value, metric, declared.task),
            larger_is_better=greater_is_better(metric),
            studies=ctx.studies,
            artifacts=ctx.artifacts,
            state=ctx.state,
            seed=ctx.seed,
            now=ctx.now,
            code=ctx.code,
            wall=ctx.wall,
            progress=ctx.progress,
        )
    finally:  # also of a search that was interrupted or found nothing
        origin = _origin(study, declared, searched, table, metric=metric, ctx=ctx)
        record_trials(ctx.studies.trials(study), origin, artifacts=ctx.artifacts, state=ctx.state)


def _origin(
    study: str, model: Model, estimator: Estimator, table: FeatureTable, *, metric: str, ctx: Context
) -> TrialOrigin:
    """Return what all trials of a study share."""
    from keelway.features import Profile
    from keelway.train import signature_text
    from keelway.train.tracking import typical_row
    from keelway.train.tuning import TrialOrigin

    with ctx.state.snapshot() as tx:
        profile = tx.by_digest(Profile, table.profile)
    return TrialOrigin(
        study=study,
        model=model.name,
        estimator=estimator.name,
        metric=metric,
        experiment=ctx.project.name,
        parent=ctx.run_id,
        principal=ctx.principal,
        seed=ctx.seed,
        code=ctx.code,
        dataset=digest_of(table),
        signature_json=signature_text(table.features, model.task),
        input_example_json=typical_row(table.features, profile),
    )
