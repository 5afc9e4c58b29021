"""The standard plans: the lifecycle's own steps, put together for what a project declares.

The plan that trains a model:

    snapshot:DATASET ... -> cuts -> features -> tune:ESTIMATOR -> train:ESTIMATOR -> evaluate:ESTIMATOR ... -> compare -> register

Only estimators whose parameters are searched for have a step `tune`.

What looks at the outside world (new files, the present time) is a step of its own that is never cached; every step
after it depends on recorded inputs alone, so that a second run over the same data repeats nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keelway.errors import UsageError
from keelway.flow.plan import Plan, Step
from keelway.project import Ensemble

if TYPE_CHECKING:
    from keelway.core import Scalar, VersionName
    from keelway.project import Model, Project

SOURCE_RETRIES = 2  # an object store may be away for a moment


def train_plan(model: Model, project: Project, *, champion: VersionName | None = None) -> Plan:
    """Return the plan that takes a model from raw files to a registered version.

    Args:
        model: What is trained.
        project: The project that declares it.
        champion: The version that the new one is compared with.

    Raises:
        ProjectError: The project does not declare the model.
    """
    name = project.model(model.name).name
    estimators = [estimator.name for estimator in model.estimators]
    members = {each.name: each.members for each in model.estimators if isinstance(each, Ensemble)}
    steps = [
        *_table(model, name),
        *(_tune(name, estimator) for estimator in model.searched),
        *(_train(name, estimator, members.get(estimator, ()), model.searched) for estimator in estimators),
        *(_evaluate(name, estimator, champion) for estimator in estimators),
        Step("compare", "compare", {"scorecards": tuple(f"evaluate:{each}" for each in estimators)}, {"model": name}),
        Step("register", "register", {"ranking": "compare"}, {"model": name}),
    ]
    return Plan(f"train:{name}", tuple(steps))


def tune_plan(
    model: Model, project: Project, *, estimators: Sequence[str] = (), trials: int = 0, timeout_s: float = 0.0
) -> Plan:
    """Return the plan that takes a model from raw files to the best parameters of its estimators.

    Args:
        model: Whose estimators are searched.
        project: The project that declares it.
        estimators: Only these; all that can be searched without.
        trials: How many trials; 0 for as many as the model declares.
        timeout_s: For how many seconds; 0 for as long as the model declares.

    Raises:
        ProjectError: The project does not declare the model.
        UsageError: The model declares no search, or nothing to search for one of the estimators.
    """
    name = project.model(model.name).name
    strange = [each for each in estimators if each not in model.searched]
    if strange or not model.searched:
        raise UsageError(
            f"Model {name!r} declares no search" + (f" for {', '.join(strange)}" if strange else ""),
            expected=", ".join(model.searched) or "Model(search=Search(...)) and an estimator with a space",
            found=", ".join(strange) or "none",
            fix="Declare Model(search=Search(...)) and Estimator(space={...}).",
        )
    searched = (_tune(name, each, trials, timeout_s) for each in estimators or model.searched)
    return Plan(f"tune:{name}", (*_table(model, name), *searched))


def _table(model: Model, name: str) -> list[Step]:
    """Return the steps up to the feature table."""
    datasets = [dataset.name for dataset in model.datasets]
    snapshots = tuple(f"snapshot:{dataset}" for dataset in datasets)
    return [
        *(_snapshot(dataset) for dataset in datasets),
        Step("cuts", "cuts", {"snapshots": snapshots}, {"model": name}),
        Step("features", "features", {"snapshots": snapshots, "cuts": "cuts"}, {"model": name}),
    ]


def _snapshot(dataset: str) -> Step:
    return Step(f"snapshot:{dataset}", "snapshot", parameters={"dataset": dataset}, retries=SOURCE_RETRIES)


def _tune(model: str, estimator: str, trials: int = 0, timeout_s: float = 0.0) -> Step:
    given: dict[str, Scalar] = {"model": model, "estimator": estimator, "trials": trials, "timeout_s": timeout_s}
    return Step(f"tune:{estimator}", "tune", {"table": "features"}, given)


def _train(model: str, estimator: str, members: tuple[str, ...], searched: tuple[str, ...]) -> Step:
    """Return the step that trains; the members of an ensemble are trained before it."""
    needs: dict[str, str | tuple[str, ...]] = {"table": "features"}
    if members:
        needs["members"] = tuple(f"train:{member}" for member in members)
    if tunings := tuple(f"tune:{each}" for each in (estimator, *members) if each in searched):
        needs["tunings"] = tunings
    return Step(f"train:{estimator}", "train", needs, {"model": model, "estimator": estimator})


def _evaluate(model: str, estimator: str, champion: VersionName | None) -> Step:
    needs: dict[str, str | tuple[str, ...]] = {"trained": f"train:{estimator}", "table": "features"}
    return Step(f"evaluate:{estimator}", "evaluate", needs, {"model": model, "champion": champion or ""})
