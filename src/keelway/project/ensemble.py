"""Ensemble: several estimators of a model that answer as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from keelway.core import checked_name
from keelway.errors import ProjectError
from keelway.project.choice import check_choice

Combination = Literal["voting", "stacking", "blending"]


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Several estimators of a model that answer as one; it competes under a name of its own.

    Attributes:
        name: What scorecards call it.
        members: Names of estimators of the same model, two or more.
        method: `voting` takes the mean of the answers; `blending` a mean with weights that are fitted on rows no
            member has learnt from; `stacking` fits a linear model on such answers.
    """

    name: str
    members: tuple[str, ...]
    method: Combination = "voting"

    def __post_init__(self) -> None:
        checked_name(self.name, what="ensemble")
        object.__setattr__(self, "members", tuple(self.members))
        check_choice(self.method, get_args(Combination), what="way to combine estimators")
        if len(self.members) < 2 or len(set(self.members)) != len(self.members):
            raise ProjectError(
                f"Ensemble {self.name!r} has the wrong members",
                expected="two or more estimators, each once",
                found=", ".join(self.members) or "none",
            )

    def check_members(self, estimators: Sequence[str]) -> None:
        """Refuse members that are not among the names of a model's single estimators.

        Raises:
            ProjectError: A member is unknown, or an ensemble itself.
        """
        if strange := [member for member in self.members if member not in estimators]:
            raise ProjectError(
                f"Ensemble {self.name!r} has members that the model does not declare",
                expected=f"names of single estimators: {', '.join(estimators)}",
                found=", ".join(strange),
            )
