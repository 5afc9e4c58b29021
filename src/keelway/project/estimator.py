"""Estimator: a learning method that competes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, get_args

from keelway.core import Scalar, checked_name
from keelway.errors import ProjectError
from keelway.project.choice import check_choice
from keelway.project.space import Choice, Range

Calibration = Literal["sigmoid", "isotonic"]
ClassWeight = Literal["balanced"]
_IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


@dataclass(frozen=True, slots=True)
class Estimator:
    """A learning method by import path, so that naming it imports nothing.

    Attributes:
        name: What scorecards call it.
        factory: Import path of its class, such as `sklearn.linear_model.LogisticRegression`.
        parameters: What the class is called with.
        space: What a search may try, by parameter; a parameter that is also in `parameters` starts there.
        class_weight: `balanced` lets each class weigh as much as any other, however rare it is.
        calibrate: How its probabilities are brought in line with observed rates, on rows it has not learnt from.
    """

    name: str
    factory: str
    parameters: dict[str, Scalar] = field(default_factory=dict)
    space: dict[str, Range | Choice] = field(default_factory=dict)
    class_weight: ClassWeight | None = None
    calibrate: Calibration | None = None

    def __post_init__(self) -> None:
        checked_name(self.name, what="estimator")
        if not _IMPORT_PATH.fullmatch(self.factory):
            raise ProjectError(
                f"Estimator {self.name!r} cannot be imported",
                expected="an import path such as sklearn.linear_model.LogisticRegression",
                found=repr(self.factory),
            )
        check_choice(self.class_weight, (None, *get_args(ClassWeight)), what="weight of classes")
        check_choice(self.calibrate, (None, *get_args(Calibration)), what="way to calibrate")
        for name, each in self.space.items():
            if not isinstance(each, (Range, Choice)):
                raise ProjectError(
                    f"Estimator {self.name!r} cannot be searched over {name!r}",
                    expected="a Range or a Choice",
                    found=repr(each),
                )
        if self.class_weight is not None and "class_weight" in {*self.parameters, *self.space}:
            raise ProjectError(
                f"Estimator {self.name!r} declares its class weights twice",
                expected="class_weight as a field or as a parameter",
                found="both",
            )
