"""Model: features, a label, the estimators that compete, the cut dates they learn from, and how rows are split."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from keelway.core import Digest, checked_name, digest_of, plain
from keelway.errors import ProjectError, UsageError
from keelway.project.business import BusinessMetric
from keelway.project.card import Card
from keelway.project.choice import check_choice
from keelway.project.cuts import Cuts
from keelway.project.dataset import Dataset
from keelway.project.ensemble import Ensemble
from keelway.project.estimator import Estimator
from keelway.project.evaluation import Evaluation
from keelway.project.fallback import FallbackPlan
from keelway.project.feature_set import FeatureSet
from keelway.project.label import Label
from keelway.project.preprocessing import Preprocessing
from keelway.project.risk import Risk
from keelway.project.rollout import Rollout
from keelway.project.search import Search
from keelway.project.split import RandomSplit, Splitting, TimeSplit, split_columns
from keelway.project.task import LABEL_FIGURES, LABEL_KINDS, Task

Overlap = Literal["never", "when_unavoidable"]
Serve = Literal["compiled", "python"]
USUAL_METRICS: dict[Task, tuple[str, ...]] = {
    "binary": ("roc_auc", "log_loss"),
    "multiclass": ("log_loss", "accuracy"),
    "regression": ("rmse", "mae"),
}


@dataclass(frozen=True, slots=True)
class Model:
    """What is to be learnt, from what, how, and what it must beat.

    Attributes:
        name: What versions are numbered under.
        features: Feature sets of one entity.
        label: What became of that entity.
        estimators: What competes, single estimators and ensembles of them; the first one is the baseline.
        cuts: The cut dates to learn from; None for one cut, the present, where the label has no horizon.
        task: What is predicted: a probability of 1, a probability for each class, or a number.
        split: Which rows test, and how the others are folded.
        preprocessing: What is done to features before an estimator sees them.
        metrics: What a scorecard measures; the first one decides. Empty takes what is usual for the task.
        trivial_rule: The feature that alone ranks entities; a leading minus turns the order round.
        overlap: Whether the horizons of training cuts may reach past the test cut.
        evaluation: What a scorecard looks at besides its metrics, and which difference matters.
        search: How parameters of estimators with a space are searched for before training; None trains as declared.
        onnx_tolerance: How far the exported model's probabilities may differ from the trained one's.
        card: What only people can say of it, for its model card; it changes nothing else.
        risk: What people answer about the harm it can do; None where nobody answered. It changes nothing else.
        serve: `compiled` answers requests by a plan or ONNX, and registers nothing that has neither; `python` by the fitted
            pipeline itself, in a process of its own.
        fallback: What people do when it cannot be used, at most one plan an environment. It changes nothing else.
        rollouts: How its versions come to answer, at most one an environment. It changes nothing else.
        business: What events say of those it answered for, by which rollouts may be judged. It changes nothing else.
    """

    name: str
    features: tuple[FeatureSet, ...] = field(kw_only=True)
    label: Label = field(kw_only=True)
    estimators: tuple[Estimator | Ensemble, ...] = field(kw_only=True)
    cuts: Cuts | None = field(kw_only=True)
    task: Task = field(default="binary", kw_only=True)
    split: Splitting = field(default_factory=TimeSplit, kw_only=True)
    preprocessing: Preprocessing = field(default_factory=Preprocessing, kw_only=True)
    metrics: tuple[str, ...] = field(default=(), kw_only=True)
    trivial_rule: str = field(default="", kw_only=True)
    overlap: Overlap = field(default="never", kw_only=True)
    evaluation: Evaluation = field(default_factory=Evaluation, kw_only=True)
    search: Search | None = field(default=None, kw_only=True)
    onnx_tolerance: float = field(default=1e-5, kw_only=True)
    serve: Serve = field(default="compiled", kw_only=True)
    card: Card = field(default_factory=Card, kw_only=True)
    risk: Risk | None = field(default=None, kw_only=True)
    fallback: tuple[FallbackPlan, ...] = field(default=(), kw_only=True)
    rollouts: tuple[Rollout, ...] = field(default=(), kw_only=True)
    business: tuple[BusinessMetric, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        checked_name(self.name, what="model")
        check_choice(self.task, get_args(Task), what="task")
        object.__setattr__(self, "metrics", tuple(self.metrics) or USUAL_METRICS[self.task])
        for name in ("features", "estimators", "metrics"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            if not getattr(self, name):
                raise ProjectError(f"Model {self.name!r} declares no {name}", expected="one or more")
        _check_unique([each.name for each in self.features], what=f"feature set of model {self.name!r}")
        _check_unique([each.name for each in self.estimators], what=f"estimator of model {self.name!r}")
        for name in ("fallback", "rollouts", "business"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        _check_unique([each.environment for each in self.fallback], what=f"fallback plan of model {self.name!r}")
        object.__setattr__(self, "rollouts", tuple(each.for_task(self.task) for each in self.rollouts))
        _check_unique([each.environment for each in self.rollouts], what=f"rollout of model {self.name!r}")
        _check_unique([each.name for each in self.business], what=f"business metric of model {self.name!r}")
        _check_unique(list(self.metrics), what=f"metric of model {self.name!r}")
        check_choice(self.overlap, get_args(Overlap), what="overlap")
        check_choice(self.serve, get_args(Serve), what="serve")
        if not 0 < self.onnx_tolerance < 1:
            raise ProjectError("Wrong onnx_tolerance", expected="between 0 and 1", found=str(self.onnx_tolerance))
        single = [each.name for each in self.estimators if isinstance(each, Estimator)]
        for each in self.estimators:
            if isinstance(each, Ensemble):
                each.check_members(single)
        _check_search(self)
        _check_entity(self)
        _check_absent(self)
        _check_split(self)
        _check_figures(self)

    @property
    def entity(self) -> str:
        """The column that names the entity."""
        return self.label.entity

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """Every dataset that the features and the label need, once, by name."""
        found = {source.name: source for each in self.features for source in each.sources}
        found[self.label.source.name] = self.label.source
        return tuple(found[name] for name in sorted(found))

    @property
    def searched(self) -> tuple[str, ...]:
        """The names of the estimators whose parameters are searched for."""
        if self.search is None:
            return ()
        return tuple(each.name for each in self.estimators if isinstance(each, Estimator) and each.space)

    def estimator(self, name: str) -> Estimator | Ensemble:
        """Return the estimator of that name. Raises UsageError where there is none."""
        for each in self.estimators:
            if each.name == name:
                return each
        raise UsageError(
            f"Model {self.name!r} has no estimator {name!r}", expected=", ".join(each.name for each in self.estimators)
        )

    def fallback_in(self, environment: str) -> FallbackPlan | None:
        """Return what people do when the model cannot be used in an environment, or None where nobody planned it."""
        return next((each for each in self.fallback if each.environment == environment), None)

    def rollout_for(self, environment: str) -> Rollout | None:
        """Return how versions come to answer in an environment, or None where nobody declared it."""
        return next((each for each in self.rollouts if each.environment == environment), None)

    def data_definition(self) -> Digest:
        """Return the digest of features, label and task: what a feature table depends on."""
        return digest_of(
            {
                "features": [each.definition() for each in self.features],
                "label": self.label.definition(),
                "task": self.task,
                "split_columns": list(split_columns(self.split)),
            }
        )

    def definition(self) -> Digest:
        """Return the digest of all that is declared here and changes versions, the text of every function included."""
        return digest_of(
            {
                "name": self.name,
                "data": self.data_definition(),
                "estimators": list(self.estimators),
                "cuts": None if self.cuts is None else self.cuts.declared(),
                "split": {"kind": type(self.split).__name__, **plain(self.split)},
                "preprocessing": self.preprocessing,
                "metrics": list(self.metrics),
                "trivial_rule": self.trivial_rule,
                "overlap": self.overlap,
                "evaluation": self.evaluation,
                "search": self.search,
                "onnx_tolerance": self.onnx_tolerance,
                **({} if self.serve == "compiled" else {"serve": self.serve}),
            }
        )


def _check_unique(names: list[str], *, what: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ProjectError(f"The same name for more than one {what}", expected="each name once", found=repr(name))


def _check_search(model: Model) -> None:
    """Refuse a search that has nothing to search."""
    if model.search is not None and not model.searched:
        raise ProjectError(
            f"Model {model.name!r} declares a search, and no estimator has anything to search",
            expected="an estimator with a space",
            found="none",
            fix="Declare Estimator(space={...}) with Range and Choice, or leave Model(search=...) out.",
        )


def _check_entity(model: Model) -> None:
    for each in model.features:
        if each.entity != model.label.entity:
            raise ProjectError(
                f"Feature set {each.name!r} and label {model.label.name!r} speak of different entities",
                expected=model.label.entity,
                found=each.entity,
            )
    by_name: dict[str, Dataset] = {}
    for source in (*(source for each in model.features for source in each.sources), model.label.source):
        if by_name.setdefault(source.name, source) != source:
            raise ProjectError(f"Two different datasets are called {source.name!r}", expected="one declaration of each")


def _check_absent(model: Model) -> None:
    """Refuse a value for absent entities that no label of the task can have."""
    absent = model.label.absent
    fits = {
        "binary": absent in (0, 1),
        "multiclass": isinstance(absent, (str, int)),
        "regression": isinstance(absent, (int, float)) and math.isfinite(absent),
    }
    if absent is not None and not fits[model.task]:
        expected = {"binary": "0, 1", "multiclass": "the name of a class", "regression": "a finite number"}[model.task]
        raise ProjectError(
            f"Label {model.label.name!r} has an unknown value for absent entities",
            expected=f"{expected} or None",
            found=repr(absent),
        )


def _check_split(model: Model) -> None:
    """Refuse cuts, horizon and split that do not go together."""
    timed = [source.name for source in model.datasets if not source.is_static]
    if model.cuts is None and model.label.horizon is not None:
        raise ProjectError(
            f"Model {model.name!r} needs cut dates, because label {model.label.name!r} has a horizon",
            expected="Cuts(...)",
            found="None",
        )
    if model.cuts is not None and model.label.horizon is None:
        raise ProjectError(
            f"Label {model.label.name!r} has no horizon, so that several cuts would show the same rows again",
            expected="cuts=None",
            found="cut dates",
            fix="Declare cuts=None, or give the label a horizon.",
        )
    if isinstance(model.split, TimeSplit) and model.cuts is None:
        raise ProjectError(
            f"Model {model.name!r} has one cut only, so that no later one can test",
            expected="RandomSplit(...) or PredefinedSplit(...)",
            found="TimeSplit",
            fix="Declare Model(split=...).",
        )
    if isinstance(model.split, RandomSplit) and timed and not model.split.despite_time:
        raise ProjectError(
            f"Model {model.name!r} would be tested on random rows, although its data has a time",
            expected="TimeSplit, which tests on what came later",
            found=f"RandomSplit over {', '.join(timed)}",
            fix="Declare split=TimeSplit(), or RandomSplit(despite_time=True) and be warned on the scorecard.",
        )


def _check_figures(model: Model) -> None:
    """Refuse a rollout that is judged by a figure of labels that the task has none of."""
    known = LABEL_FIGURES[model.task]
    for rollout in model.rollouts:
        strange = [each for each in rollout.analysis.figures if each.kind in LABEL_KINDS and each.kind not in known]
        if strange:
            raise ProjectError(
                f"The rollout of model {model.name!r} in {rollout.environment} is judged by figures that no {model.task} model has",
                expected=", ".join(known),
                found=", ".join(f"{each.name} of kind {each.kind}" for each in strange),
                fix=f"Declare such as Guardrail({known[-1]!r}, {known[-1]!r}) in the Analysis of that rollout.",
            )
