"""The plan of a fitted pipeline: everything that turns a row of features into an answer, as plain numbers and texts.

A plan reads rows as they come, each number or category once: `PlanNumber` and `PlanLevels` say what becomes of it in the
columns that an estimator sees, `PlanModel` what the estimator makes of them. A `PlanMember` is one pipeline; of an ensemble
there are several, and a `PlanMixture` that combines their answers. Large lists of numbers are arrays beside these records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from keelway.features import FeatureColumn
from keelway.project import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT: Literal["keelway.plan/1"] = "keelway.plan/1"
PlanLink = Literal["identity", "sigmoid", "softmax", "exponent"]
NOWHERE = -1
"""The place of a column that the estimator does not see."""


@dataclass(frozen=True, slots=True)
class PlanNumber:
    """What becomes of a number.

    Attributes:
        feature: Its place in a row.
        column: The column that holds `slope * number + shift`, computed from the number with 32 bits; or -1.
        missing: What the column holds where the number is missing.
        indicator: The column that holds 1 where it is missing and 0 elsewhere; or -1.
    """

    feature: int
    column: int
    slope: float
    shift: float
    missing: float
    indicator: int


@dataclass(frozen=True, slots=True)
class PlanLevels:
    """What becomes of a category.

    Attributes:
        feature: Its place in a row.
        columns: The columns that it fills.
        levels: The levels that are told apart.
        table: The array of shape (levels + 1, columns) with what a level puts there; the last row is for all others.
    """

    feature: int
    columns: tuple[int, ...]
    levels: tuple[str, ...]
    table: str


@dataclass(frozen=True, slots=True)
class PlanCalibration:
    """A sigmoid 1 / (1 + exp(slope * score + shift)), or lines between the points of `x` and `y` where these are given."""

    slope: float = 0.0
    shift: float = 0.0
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanModel:
    """What one fitted estimator makes of the columns: `link(slope * sums / divisor)`, calibrated where that was fitted.

    Attributes:
        kind: `linear` sums weighted columns, `trees` the leaves that a row ends in.
        arrays: The arrays' names begin with this. Linear: `weights` of shape (outputs, columns), `intercepts`, and the
            `means` of the columns over the rows that the plan was compared on. Trees: for each tree `sizes` (nodes) and
            `outputs` (which sum its leaves add to, 0 where a leaf has a value for each); for each node, of all trees one
            after the other, `feature`, `threshold` (a number up to it goes left), `left` and `right` (places in the tree, -1
            at a leaf), `values`, of shape (nodes, 1) or (nodes, outputs), and `cover`, how much of the training came by (0
            where the library does not say); and `base`, what each sum starts from. Only explanations need means and
            cover; plans that were made before these were kept have none.
        outputs: How many sums there are: one, or one a class.
        calibrations: One for each output, or none.
    """

    kind: Literal["linear", "trees"]
    arrays: str
    outputs: int
    link: PlanLink = "identity"
    slope: float = 1.0
    divisor: float = 1.0
    calibrations: tuple[PlanCalibration, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanMember:
    """One pipeline: its columns, and the estimators whose answers are averaged."""

    width: int
    numbers: tuple[PlanNumber, ...]
    levels: tuple[PlanLevels, ...]
    models: tuple[PlanModel, ...]


@dataclass(frozen=True, slots=True)
class PlanMixture:
    """How the answers of several members become one: weights in sum 1, or a linear model over them (stacking)."""

    weights: tuple[float, ...] = ()
    coefficients: tuple[tuple[float, ...], ...] = ()
    intercepts: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanHead:
    """Everything in a plan that is no array.

    Attributes:
        features: What a row holds, in order.
        classes: The names of a multiclass label in the order of the probabilities; empty otherwise.
        bits: 64 where the trained pipeline computes in 64 bits as the plan does, 32 where it rounds on its way.
    """

    format: Literal["keelway.plan/1"]
    task: Task
    classes: tuple[str, ...]
    features: tuple[FeatureColumn, ...]
    members: tuple[PlanMember, ...]
    mixture: PlanMixture | None
    bits: Literal[32, 64]


@dataclass(frozen=True, slots=True)
class ScoringPlan:
    """A compiled pipeline."""

    head: PlanHead
    arrays: Mapping[str, NDArray[Any]]
