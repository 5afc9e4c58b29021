"""Model: features, a label, the estimators that compete, and the cut dates they learn from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from keelway.core import Digest, checked_name, digest_of
from keelway.errors import ProjectError, UsageError
from keelway.project.choice import check_choice
from keelway.project.cuts import Cuts
from keelway.project.dataset import Dataset
from keelway.project.estimator import Estimator
from keelway.project.feature_set import FeatureSet
from keelway.project.label import Label
from keelway.project.preprocessing import Preprocessing

Overlap = Literal["never", "when_unavoidable"]


@dataclass(frozen=True, slots=True)
class Model:
    """What is to be learnt, from what, how, and what it must beat.

    Attributes:
        name: What versions are numbered under.
        features: Feature sets of one entity.
        label: What became of that entity.
        estimators: What competes; the first one is the baseline.
        cuts: The cut dates to learn from.
        preprocessing: What is done to features before an estimator sees them.
        metrics: What a scorecard measures; the first one decides.
        trivial_rule: The feature that alone ranks entities; a leading minus turns the order round.
        overlap: Whether the horizons of training cuts may reach past the test cut.
        onnx_tolerance: How far the exported model's probabilities may differ from the trained one's.
    """

    name: str
    features: tuple[FeatureSet, ...] = field(kw_only=True)
    label: Label = field(kw_only=True)
    estimators: tuple[Estimator, ...] = field(kw_only=True)
    cuts: Cuts = field(kw_only=True)
    preprocessing: Preprocessing = field(default_factory=Preprocessing, kw_only=True)
    metrics: tuple[str, ...] = field(default=("roc_auc", "log_loss"), kw_only=True)
    trivial_rule: str = field(default="", kw_only=True)
    overlap: Overlap = field(default="never", kw_only=True)
    onnx_tolerance: float = field(default=1e-5, kw_only=True)

    def __post_init__(self) -> None:
        checked_name(self.name, what="model")
        for name in ("features", "estimators", "metrics"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            if not getattr(self, name):
                raise ProjectError(f"Model {self.name!r} declares no {name}", expected="one or more")
        _check_unique([each.name for each in self.features], what=f"feature set of model {self.name!r}")
        _check_unique([each.name for each in self.estimators], what=f"estimator of model {self.name!r}")
        _check_unique(list(self.metrics), what=f"metric of model {self.name!r}")
        check_choice(self.overlap, get_args(Overlap), what="overlap")
        if not 0 < self.onnx_tolerance < 1:
            raise ProjectError("Wrong onnx_tolerance", expected="between 0 and 1", found=str(self.onnx_tolerance))
        _check_entity(self)

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

    def estimator(self, name: str) -> Estimator:
        """Return the estimator of that name. Raises UsageError where there is none."""
        for each in self.estimators:
            if each.name == name:
                return each
        raise UsageError(
            f"Model {self.name!r} has no estimator {name!r}", expected=", ".join(each.name for each in self.estimators)
        )

    def data_definition(self) -> Digest:
        """Return the digest of features and label: what a feature table depends on."""
        return digest_of({"features": [each.definition() for each in self.features], "label": self.label.definition()})

    def definition(self) -> Digest:
        """Return the digest of everything declared here, the text of every function included."""
        return digest_of(
            {
                "name": self.name,
                "data": self.data_definition(),
                "estimators": list(self.estimators),
                "first_cut": self.cuts.first,
                "last_cut": self.cuts.last,
                "every": self.cuts.every if isinstance(self.cuts.every, str) else self.cuts.every.total_seconds(),
                "preprocessing": self.preprocessing,
                "metrics": list(self.metrics),
                "trivial_rule": self.trivial_rule,
                "overlap": self.overlap,
                "onnx_tolerance": self.onnx_tolerance,
            }
        )


def _check_unique(names: list[str], *, what: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ProjectError(f"The same name for more than one {what}", expected="each name once", found=repr(name))


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
