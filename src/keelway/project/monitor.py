"""Monitor: what is watched in production, and what happens when it leaves its bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import timedelta

from keelway.core import checked_name, parse_duration
from keelway.errors import ProjectError
from keelway.project.task import Task

ACTIONS = ("alert", "retrain")
BOUNDS: dict[str, Task] = {"accuracy_floor": "multiclass", "mae_ceiling": "regression"}
"""Bounds of quality that have no default, by the only task that they are of."""


@dataclass(frozen=True, slots=True)
class ContingencyPlan:
    """What is done, in order, when something drifts or gets worse.

    Attributes:
        on_drift: Actions when the inputs leave the training distribution: `alert`, `retrain`.
        on_quality: Actions when matured outcomes show the model below its floor.
        cooldown: How long after a retraining the next one waits, such as `30d`.
    """

    name: str
    on_drift: tuple[str, ...] = field(default=("alert", "retrain"), kw_only=True)
    on_quality: tuple[str, ...] = field(default=("alert", "retrain"), kw_only=True)
    cooldown: str = field(default="30d", kw_only=True)

    def __post_init__(self) -> None:
        checked_name(self.name, what="contingency plan")
        parse_duration(self.cooldown)
        for moment in ("on_drift", "on_quality"):
            object.__setattr__(self, moment, tuple(getattr(self, moment)))
            for action in getattr(self, moment):
                if action not in ACTIONS:
                    raise ProjectError(
                        f"Contingency plan {self.name!r} names an unknown action in {moment}",
                        expected=", ".join(ACTIONS),
                        found=repr(action),
                    )

    @property
    def cooldown_time(self) -> timedelta:
        """The cooldown as a length of time."""
        return parse_duration(self.cooldown)


@dataclass(frozen=True, slots=True)
class Monitor:
    """What is watched about one model.

    Attributes:
        model: The model's name.
        psi_threshold: A feature whose population stability index is above this has drifted.
        min_rows: Fewer rows than this give no verdict on drift.
        auc_floor: ROC AUC on matured outcomes below which quality is lost; of a binary model only.
        accuracy_floor: Share of right answers on matured outcomes below which quality is lost; of a multiclass model only,
            whose quality is not judged without it.
        mae_ceiling: Mean absolute error on matured outcomes, in units of the label, above which quality is lost; of a
            regression model only, whose quality is not judged without it.
        min_outcomes: Fewer matured outcomes than this give no verdict on quality.
        plan: What is done then.
    """

    model: str
    psi_threshold: float = field(default=0.2, kw_only=True)
    min_rows: int = field(default=200, kw_only=True)
    auc_floor: float = field(default=0.7, kw_only=True)
    accuracy_floor: float | None = field(default=None, kw_only=True)
    mae_ceiling: float | None = field(default=None, kw_only=True)
    min_outcomes: int = field(default=200, kw_only=True)
    plan: ContingencyPlan = field(default=ContingencyPlan("standard"), kw_only=True)

    def __post_init__(self) -> None:
        checked_name(self.model, what="model")
        bounds = {
            "psi_threshold": self.psi_threshold > 0,
            "min_rows": self.min_rows >= 1,
            "auc_floor": 0 <= self.auc_floor <= 1,
            "accuracy_floor": self.accuracy_floor is None or 0 <= self.accuracy_floor <= 1,
            "mae_ceiling": self.mae_ceiling is None or 0 <= self.mae_ceiling < math.inf,
            "min_outcomes": self.min_outcomes >= 1,
        }
        for name, holds in bounds.items():
            if not holds:
                raise ProjectError(
                    f"The monitor of {self.model!r} has a wrong {name}",
                    expected="a positive number (auc_floor, accuracy_floor: 0 to 1)",
                    found=str(getattr(self, name)),
                )

    def check_task(self, task: Task) -> None:
        """Refuse a bound of quality that models with this task do not have.

        Raises:
            ProjectError: There is one.
        """
        strange = [name for name, its in BOUNDS.items() if its != task and getattr(self, name) is not None]
        if strange:
            fitting = {"binary": "auc_floor", "multiclass": "accuracy_floor", "regression": "mae_ceiling"}[task]
            raise ProjectError(
                f"The monitor of {self.model!r}, which is {task}, has a bound of another task",
                expected=fitting,
                found=", ".join(strange),
                fix=f"Declare Monitor({self.model!r}, {fitting}=...) instead.",
            )
