"""Project: everything a team declares, in one object."""

from __future__ import annotations

from dataclasses import dataclass, field

from keelway.core import checked_name
from keelway.errors import ProjectError
from keelway.project.dataset import Dataset
from keelway.project.model import Model
from keelway.project.monitor import Monitor
from keelway.project.paths import checked_relative


@dataclass(frozen=True, slots=True)
class Project:
    """Everything a team declares.

    Attributes:
        models: The models, each name once.
        monitors: What is watched, at most one monitor a model.
        policies: Folder of the policy files, relative to the root of the project.

    Raises:
        ProjectError: A name is taken twice, a monitor watches an unknown model or by a bound of another task, or two
            datasets share a name.
    """

    name: str
    models: tuple[Model, ...] = field(kw_only=True)
    monitors: tuple[Monitor, ...] = field(default=(), kw_only=True)
    policies: str = field(default="policies/", kw_only=True)

    def __post_init__(self) -> None:
        checked_name(self.name, what="project")
        object.__setattr__(self, "models", tuple(self.models))
        object.__setattr__(self, "monitors", tuple(self.monitors))
        checked_relative(self.policies, what="policies folder")
        for what, names in (("model", self.models), ("monitor of model", self.monitors)):
            seen = [each.name if isinstance(each, Model) else each.model for each in names]
            twice = sorted({name for name in seen if seen.count(name) > 1})
            if twice:
                raise ProjectError(f"More than one {what} {twice[0]!r}", expected="each name once")
        for monitor in self.monitors:
            monitor.check_task(self.model(monitor.model).task)
        self._check_datasets()

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """Every dataset of the models, once, by name."""
        found = {dataset.name: dataset for model in self.models for dataset in model.datasets}
        return tuple(found[name] for name in sorted(found))

    def dataset(self, name: str) -> Dataset:
        """Return a dataset by name. Raises ProjectError where there is none."""
        for each in self.datasets:
            if each.name == name:
                return each
        raise self._unknown("dataset", name, [each.name for each in self.datasets])

    def model(self, name: str) -> Model:
        """Return a model by name. Raises ProjectError where there is none."""
        for each in self.models:
            if each.name == name:
                return each
        raise self._unknown("model", name, [each.name for each in self.models])

    def monitor(self, model: str) -> Monitor | None:
        """Return the monitor of a model, or None where it is not watched."""
        return next((each for each in self.monitors if each.model == model), None)

    def _check_datasets(self) -> None:
        for model in self.models:
            for dataset in model.datasets:
                if dataset != self.dataset(dataset.name):
                    raise ProjectError(
                        f"Two different datasets are called {dataset.name!r}", expected="one declaration of each"
                    )

    def _unknown(self, what: str, name: str, known: list[str]) -> ProjectError:
        return ProjectError(
            f"Project {self.name!r} has no {what} {name!r}", expected=", ".join(known) or f"a {what}", found=repr(name)
        )
