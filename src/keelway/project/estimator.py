"""Estimator: a learning method that competes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from keelway.core import Scalar, checked_name
from keelway.errors import ProjectError

_IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


@dataclass(frozen=True, slots=True)
class Estimator:
    """A learning method by import path, so that naming it imports nothing.

    Attributes:
        name: What scorecards call it.
        factory: Import path of its class, such as `sklearn.linear_model.LogisticRegression`.
        parameters: What the class is called with.
    """

    name: str
    factory: str
    parameters: dict[str, Scalar] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checked_name(self.name, what="estimator")
        if not _IMPORT_PATH.fullmatch(self.factory):
            raise ProjectError(
                f"Estimator {self.name!r} cannot be imported",
                expected="an import path such as sklearn.linear_model.LogisticRegression",
                found=repr(self.factory),
            )
