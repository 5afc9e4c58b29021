"""Preprocessing: what is done to features before an estimator sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from keelway.errors import ProjectError
from keelway.project.choice import check_choice

Imputation = Literal["median", "mean", "zero"]
Selection = Literal["variance", "l1"]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What is done to features before an estimator sees them.

    Attributes:
        impute: What takes the place of a missing number.
        scale: Whether numbers are brought to mean 0 and deviation 1.
        rare_level: A category seen less often than this in training becomes "rare".
        select: How useless columns are dropped: not at all, by variance, or by an L1 penalty.
    """

    impute: Imputation = "median"
    scale: bool = True
    rare_level: int = 20
    select: Selection | None = None

    def __post_init__(self) -> None:
        check_choice(self.impute, get_args(Imputation), what="way to impute")
        check_choice(self.select, (None, *get_args(Selection)), what="way to select columns")
        if self.rare_level < 1:
            raise ProjectError("Wrong rare_level", expected="a count of one or more", found=str(self.rare_level))
