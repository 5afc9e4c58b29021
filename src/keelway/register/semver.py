"""Proposes a semantic version from what changed since the version before, and says why.

| change | part |
|---|---|
| what is asked for or answered: columns, their kinds, the entity, the task, its classes | major |
| how it is computed: features, label, preprocessing, estimator, parameters | minor |
| the same again: other data, another seed, other code | patch |

Whoever calls a model has to change something for a major version, and nothing for the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from keelway.core import Digest
from keelway.features import FeatureColumn
from keelway.register.records import ModelVersion
from keelway.train import TrainedModel

FIRST = "1.0.0"
Level = Literal["first", "major", "minor", "patch"]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A semantic version and why it is this one.

    Attributes:
        level: The part that was raised.
        reason: What changed, in words.
    """

    semver: str
    level: Level
    reason: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """What decides about a semantic version.

    Attributes:
        entity: The column that names the entity.
        data: Digest of what is declared about features and label.
    """

    trained: TrainedModel
    entity: str
    data: Digest


def propose(newest: ModelVersion | None, before: Candidate | None, now: Candidate) -> Proposal:
    """Return the semantic version that a training gets as the next version.

    >>> propose(None, None, now)  # doctest: +SKIP
    Proposal(semver='1.0.0', level='first', reason='the first version')
    """
    if newest is None or before is None:
        return Proposal(FIRST, "first", "the first version")
    major, minor, patch = (int(part) for part in newest.semver.split("."))
    if reasons := list(_of_the_schema(before, now)):
        return Proposal(f"{major + 1}.0.0", "major", "; ".join(reasons))
    if before.trained.definition != now.trained.definition:
        return Proposal(f"{major}.{minor + 1}.0", "minor", "; ".join(_of_the_definition(before, now)))
    return Proposal(f"{major}.{minor}.{patch + 1}", "patch", _of_the_training(before.trained, now.trained))


def _of_the_schema(before: Candidate, now: Candidate) -> Iterator[str]:
    """Yield what callers notice."""
    if before.entity != now.entity:
        yield f"the entity is {now.entity}, no longer {before.entity}"
    if before.trained.task != now.trained.task:
        yield f"the task is {now.trained.task}, no longer {before.trained.task}"
    if before.trained.classes != now.trained.classes:
        yield "the classes are others"
    yield from _of_the_columns(before.trained.features, now.trained.features)


def _of_the_columns(before: tuple[FeatureColumn, ...], now: tuple[FeatureColumn, ...]) -> Iterator[str]:
    old, new = {each.name: each for each in before}, {each.name: each for each in now}
    changed = [name for name in old.keys() & new.keys() if old[name] != new[name]]
    told = {"columns added": new.keys() - old.keys(), "removed": old.keys() - new.keys(), "of another kind": changed}
    for what, names in told.items():
        if names:
            yield f"{what}: {', '.join(sorted(names))}"
    if before != now and not any(told.values()):
        yield "the columns come in another order"


def _of_the_definition(before: Candidate, now: Candidate) -> Iterator[str]:
    """Yield what was declared otherwise."""
    told = list(_declared(before, now))
    yield from told or ["the preprocessing is another one"]


def _declared(before: Candidate, now: Candidate) -> Iterator[str]:
    if before.data != now.data:
        yield "features or label are computed otherwise"
    if before.trained.factory != now.trained.factory:
        yield f"the estimator is {now.trained.factory.rpartition('.')[2]}, no longer {before.trained.estimator}"
    elif before.trained.parameters != now.trained.parameters:
        yield "the estimator has other parameters"


def _of_the_training(before: TrainedModel, now: TrainedModel) -> str:
    told = [
        what
        for what, differs in (
            ("on other data", before.feature_table != now.feature_table),
            (f"with seed {now.seed}, no longer {before.seed}", before.seed != now.seed),
            ("with other code", before.code.project_digest != now.code.project_digest),
            ("with other packages", before.code.environment_digest != now.code.environment_digest),
        )
        if differs
    ]
    return f"trained again {', '.join(told) or 'in the same way'}"
