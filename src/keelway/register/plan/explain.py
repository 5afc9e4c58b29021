"""Why a plan gave an answer: what each declared feature added to the sums that the answer is made of.

    explainer = PlanExplainer(read_plan(data))
    explainer.explain([[12.5, "gold"]])[0].contributions     # one row a feature, one column an output

Base and contributions add up to the margin, the number that the last link turns into the answer: the log-odds of a
probability, or the answer itself where there is no link. Where an answer is no such sum (the mean of several calibrated
probabilities, say), no explainer is made, and the reason is told.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from keelway.errors import ServingError
from keelway.register.plan.records import PlanCalibration, PlanMember, PlanModel, ScoringPlan
from keelway.register.plan.rows import RowColumns
from keelway.register.plan.scorer import RowSums
from keelway.register.plan.shapley_linear import LinearShares
from keelway.register.plan.shapley_trees import TreeShares
from keelway.register.plan.walk import WalkedTrees
from keelway.register.plan.weights import FoldedWeights
from keelway.register.row_lengths import check_row_lengths

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ExplanationMethod = Literal["linear-shap", "tree-shap", "permutation"]
MarginScale = Literal["log-odds", "softmax", "probability", "logarithm", "number"]
"""What the answer is made of the margin by: the logistic function, a softmax, nothing, the exponential, nothing."""

TOLERANCE = 1e-6
"""How far base and contributions may be from the margin, in units of it, or of 1 where it is smaller."""


@dataclass(frozen=True, slots=True)
class RowExplanation:
    """What made one answer.

    Attributes:
        margin: What base and contributions add up to, one an output.
        base: The margin that is expected of no row in particular.
        contributions: What each declared feature adds, of shape (features, outputs).
        errors: The standard error of each contribution, where they were drawn; else None.
    """

    margin: NDArray[np.float64]
    base: NDArray[np.float64]
    contributions: NDArray[np.float64]
    errors: NDArray[np.float64] | None = None


class _Shares(Protocol):
    base: NDArray[np.float64]

    def of(self, rows: RowColumns) -> NDArray[np.float64]: ...


class PlanExplainer:
    """Explains the answers of a plan exactly; pure, so it may be used from several threads.

    Raises:
        NotImplementedError: The answer is no sum of what features add, or the plan lacks what explaining needs.
    """

    def __init__(self, plan: ScoringPlan) -> None:
        self._width = len(plan.head.features)
        self._parts = [(*_computed(part.model, part.member, plan), part.weights) for part in _parts(plan)]
        self._offset, self.scale = _outside(plan)
        kinds = {model.kind for member in plan.head.members for model in member.models}
        self.method: ExplanationMethod = "linear-shap" if kinds == {"linear"} else "tree-shap"

    def explain(self, rows: Sequence[Sequence[Any]]) -> list[RowExplanation]:
        """Return what made the answer to each row.

        Raises:
            ServingError: A row is no row of the model, or its contributions do not add up.
        """
        import numpy as np

        check_row_lengths(rows, self._width)
        try:
            columns = RowColumns(rows)
            base, margins = self._offset, self._offset[None]
            contributions = np.zeros((columns.count, self._width, len(base)))
            for shares, sums, weights in self._parts:
                base = base + shares.base @ weights
                contributions += shares.of(columns) @ weights
                margins = margins + sums.many(columns) @ weights
        except (TypeError, ValueError, ArithmeticError, struct.error) as error:
            raise ServingError(
                "Features cannot be read", expected="numbers, texts and nulls", found=type(error).__name__
            ) from error
        told = [RowExplanation(margin, base, each) for margin, each in zip(margins, contributions, strict=True)]
        for each in told:
            _must_add_up(each)
        return told


def _must_add_up(told: RowExplanation) -> None:
    import numpy as np

    away = np.abs(told.base + told.contributions.sum(axis=0) - told.margin)
    if not (away <= TOLERANCE * np.maximum(1.0, np.abs(told.margin))).all():  # NaN loses
        raise ServingError(
            "An explanation does not add up to its answer",
            expected=f"a difference of at most {TOLERANCE:g}",
            found=f"{float(away.max()):.3g}",
        )


@dataclass(frozen=True, slots=True)
class _WeighedSums:
    """One estimator, and what each of its sums adds to each margin, of shape (sums, margins)."""

    model: PlanModel
    member: PlanMember
    weights: NDArray[np.float64]


def _parts(plan: ScoringPlan) -> list[_WeighedSums]:
    """Return the estimators whose weighted sums are the margin.

    Raises:
        NotImplementedError: There are several, and something that is no sum stands between them and the answer.
    """
    import numpy as np

    members, mixture = plan.head.members, plan.head.mixture
    if mixture is None and len(members[0].models) == 1:
        model = members[0].models[0]
        times = -_log_odds(model).slope if model.calibrations else 1.0
        return [_WeighedSums(model, members[0], np.eye(model.outputs) * (times * model.slope / model.divisor))]
    found = []
    for place, member in enumerate(members):
        for model in member.models:
            if model.link != "identity" or model.calibrations:
                raise NotImplementedError("its answer is a mean of probabilities, and no sum of what features add")
            inside = model.slope / model.divisor / len(member.models)
            found.append(_WeighedSums(model, member, inside * _outer(plan, place, model.outputs)))
    return found


def _outer(plan: ScoringPlan, place: int, outputs: int) -> NDArray[np.float64]:
    """Return what each answer of a member adds to each margin."""
    import numpy as np

    mixture = plan.head.mixture
    if mixture is None:
        return np.eye(outputs)
    if not mixture.coefficients:
        return np.eye(outputs) * mixture.weights[place]
    return np.array(mixture.coefficients)[:, place * outputs : (place + 1) * outputs].T


def _outside(plan: ScoringPlan) -> tuple[NDArray[np.float64], MarginScale]:
    """Return what is added to the margin beside the estimators, and what makes the answer of it."""
    import numpy as np

    head, model = plan.head, plan.head.members[0].models[0]
    none = np.zeros(model.outputs)
    plain: MarginScale = "number" if head.task == "regression" else "probability"
    if head.mixture is not None:
        if not head.mixture.coefficients or head.task == "regression":
            return none + (head.mixture.intercepts or 0.0), plain
        return np.array(head.mixture.intercepts), "softmax" if len(none) > 1 else "log-odds"
    if model.calibrations:
        return none - _log_odds(model).shift, "log-odds"
    scales: dict[str, MarginScale] = {"identity": plain, "sigmoid": "log-odds", "softmax": "softmax"}
    return none, scales.get(model.link, "logarithm")


def _log_odds(model: PlanModel) -> PlanCalibration:
    """Return the calibration of a model, whose log-odds are `-(slope * sum + shift)`.

    Raises:
        NotImplementedError: It bends the sums.
    """
    (*_, step) = model.calibrations
    if model.outputs > 1 or step.x or model.link != "identity":
        raise NotImplementedError("its calibration bends the sum of what features add")
    return step


def _computed(model: PlanModel, member: PlanMember, plan: ScoringPlan) -> tuple[_Shares, RowSums]:
    """Return what features add to the sums of an estimator, and the sums."""
    if model.kind == "linear":
        return LinearShares(model, member, plan), FoldedWeights(model, member, plan)
    return TreeShares(model, member, plan), WalkedTrees(model, member, plan)
