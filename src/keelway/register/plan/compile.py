"""Compile a fitted pipeline, or an ensemble of them, into a plan; what no plan can say is told in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from keelway.features import FeatureColumn
from keelway.project import Task
from keelway.register.plan.linear import Weighed, weighed_columns
from keelway.register.plan.records import (
    FORMAT,
    PlanCalibration,
    PlanHead,
    PlanMember,
    PlanMixture,
    PlanModel,
    ScoringPlan,
)
from keelway.register.plan.sources import PlanSources
from keelway.register.plan.trees import Grown, grown_trees

if TYPE_CHECKING:
    from numpy.typing import NDArray


def compile_plan(
    pipeline: Any, features: Sequence[FeatureColumn], *, task: Task, classes: Sequence[str] = ()
) -> ScoringPlan:
    """Return the plan of a fitted pipeline or ensemble; the same pipeline gives the same plan.

    Args:
        classes: The names of a multiclass label in the order of the probabilities.

    Raises:
        NotImplementedError: It does something that a plan cannot say; the message tells what.
    """
    draft = _Draft(tuple(features), task, tuple(classes))
    whole = getattr(pipeline, "manifest", None)
    parts = [draft.member(each) for each in (pipeline.members if whole is not None else [pipeline])]
    mixture = None
    if whole is not None and len(parts) > 1:
        stacked = whole.method == "stacking"
        mixture = PlanMixture(() if stacked else whole.weights, whole.coefficients, whole.intercepts)
    elif whole is not None:
        raise NotImplementedError("an ensemble of a single member is answered by ONNX")
    head = PlanHead(FORMAT, task, draft.classes, draft.features, tuple(parts), mixture, draft.bits)
    return ScoringPlan(head, draft.arrays)


class _Draft:
    """The arrays of a plan while its members are compiled."""

    def __init__(self, features: tuple[FeatureColumn, ...], task: Task, classes: tuple[str, ...]) -> None:
        self.features, self.task, self.classes = features, task, classes
        self.arrays: dict[str, NDArray[Any]] = {}
        self.bits: Literal[32, 64] = 64
        self._members = 0

    def member(self, pipeline: Any) -> PlanMember:
        """Return one pipeline as a member."""
        prefix = f"member{self._members}."
        self._members += 1
        steps = dict(pipeline.steps)
        if not steps.keys() <= {"prepare", "select", "estimate"}:
            raise NotImplementedError(f"stages {', '.join(steps)} are answered by ONNX")
        sources = PlanSources(steps["prepare"], self.features, tables=prefix)
        if "select" in steps:
            sources.keep(steps["select"].kept_)
        if any(_is_scaled(each.slope, each.shift) for each in sources.numbers.values()):
            self.bits = 32
        self.arrays.update(sources.tables)
        models = self._models(steps["estimate"], prefix)
        if self.bits == 32 and any(each.kind == "trees" for each in models) and _any_scaled(sources):
            raise NotImplementedError("trees on scaled numbers are answered by ONNX")
        numbers = tuple(sources.numbers[place] for place in sorted(sources.numbers))
        return PlanMember(sources.width, numbers, tuple(sources.levels), models)

    def _models(self, estimator: Any, prefix: str) -> tuple[PlanModel, ...]:
        fitted = getattr(estimator, "calibrated_classifiers_", None)
        if fitted is None:
            return (self._model(estimator, f"{prefix}model0.", margins=False),)
        return tuple(self._calibrated(each, f"{prefix}model{place}.") for place, each in enumerate(fitted))

    def _calibrated(self, fitted: Any, prefix: str) -> PlanModel:
        model = self._model(fitted.estimator, prefix, margins=True)
        steps = tuple(_calibration(each) for each in fitted.calibrators)
        if len(steps) != model.outputs or list(fitted.classes) != list(fitted.estimator.classes_):
            raise NotImplementedError("a calibration of other classes than the estimator's is answered by ONNX")
        return replace(model, calibrations=steps)

    def _model(self, estimator: Any, prefix: str, *, margins: bool) -> PlanModel:
        found: Weighed | Grown | None = weighed_columns(estimator, task=self.task, margins=margins)
        if found is None:
            found = grown_trees(estimator, task=self.task, margins=margins)
        if found is None:
            raise NotImplementedError(f"{type(estimator).__name__} is answered by ONNX")
        if isinstance(found, Grown) and found.bits == 32:
            self.bits = 32
        model = found.model(prefix)
        outputs = len(self.classes) if self.task == "multiclass" else 1
        if model.outputs != outputs:
            raise NotImplementedError(f"{model.outputs} outputs for {outputs} are answered by ONNX")
        self.arrays.update(found.arrays(prefix))
        return model


def _is_scaled(slope: float, shift: float) -> bool:
    return (slope, shift) != (1.0, 0.0)


def _any_scaled(sources: PlanSources) -> bool:
    return any(_is_scaled(each.slope, each.shift) for each in sources.numbers.values())


def _calibration(calibrator: Any) -> PlanCalibration:
    if hasattr(calibrator, "a_"):
        return PlanCalibration(float(calibrator.a_), float(calibrator.b_))
    if not hasattr(calibrator, "X_thresholds_"):
        raise NotImplementedError(f"a calibration by {type(calibrator).__name__} is answered by ONNX")
    x, y = calibrator.X_thresholds_.tolist(), calibrator.y_thresholds_.tolist()
    return PlanCalibration(x=tuple(map(float, x)), y=tuple(map(float, y)))
