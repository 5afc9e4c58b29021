"""The standard plans: the lifecycle's own steps, put together for what a project declares.

The plan that trains a model:

    snapshot:DATASET ... -> cuts -> features -> train:ESTIMATOR -> evaluate:ESTIMATOR ... -> compare -> register

What looks at the outside world (new files, the present time) is a step of its own that is never cached; every step
after it depends on recorded inputs alone, so that a second run over the same data repeats nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keelway.flow.plan import Plan, Step

if TYPE_CHECKING:
    from keelway.core import VersionName
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
    datasets = [dataset.name for dataset in model.datasets]
    estimators = [estimator.name for estimator in model.estimators]
    snapshots = tuple(f"snapshot:{dataset}" for dataset in datasets)
    steps = [
        *(_snapshot(dataset) for dataset in datasets),
        Step("cuts", "cuts", {"snapshots": snapshots}, {"model": name}),
        Step("features", "features", {"snapshots": snapshots, "cuts": "cuts"}, {"model": name}),
        *(_train(name, estimator) for estimator in estimators),
        *(_evaluate(name, estimator, champion) for estimator in estimators),
        Step("compare", "compare", {"scorecards": tuple(f"evaluate:{each}" for each in estimators)}, {"model": name}),
        Step("register", "register", {"ranking": "compare"}, {"model": name}),
    ]
    return Plan(f"train:{name}", tuple(steps))


def _snapshot(dataset: str) -> Step:
    return Step(f"snapshot:{dataset}", "snapshot", parameters={"dataset": dataset}, retries=SOURCE_RETRIES)


def _train(model: str, estimator: str) -> Step:
    return Step(f"train:{estimator}", "train", {"table": "features"}, {"model": model, "estimator": estimator})


def _evaluate(model: str, estimator: str, champion: VersionName | None) -> Step:
    needs: dict[str, str | tuple[str, ...]] = {"trained": f"train:{estimator}", "table": "features"}
    return Step(f"evaluate:{estimator}", "evaluate", needs, {"model": model, "champion": champion or ""})
