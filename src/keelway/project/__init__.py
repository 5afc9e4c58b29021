"""What a user declares, as pure data: datasets, features, labels, models, monitors; and loading it from a repository."""

from typing import TYPE_CHECKING

from keelway.core import open_door

if TYPE_CHECKING:
    from keelway.project.analysis import STANDARD_GUARDRAILS, Analysis, FigureKind, Guardrail, Metric
    from keelway.project.business import BusinessMetric
    from keelway.project.card import Card
    from keelway.project.cuts import Cuts
    from keelway.project.dataset import Dataset
    from keelway.project.ensemble import Combination, Ensemble
    from keelway.project.estimator import Estimator
    from keelway.project.evaluation import Costs, Evaluation, Favourable
    from keelway.project.fallback import FallbackPlan
    from keelway.project.feature_set import FeatureSet, feature_set
    from keelway.project.label import Label, LabelValue
    from keelway.project.load import load_project, project_digest
    from keelway.project.model import Model
    from keelway.project.monitor import ContingencyPlan, Monitor
    from keelway.project.preprocessing import ColumnPreprocessing, Preprocessing
    from keelway.project.project import Project
    from keelway.project.risk import AnnexIII, DataClass, Exemption, Prohibited, Risk, Transparency
    from keelway.project.rollout import Rollout, RolloutStrategy, Stage
    from keelway.project.search import Pruner, Sampler, Search
    from keelway.project.space import Choice, Range
    from keelway.project.split import PredefinedSplit, RandomSplit, Splitting, TimeSplit, split_columns
    from keelway.project.task import LABEL_FIGURES, LABEL_KINDS, Task

__all__ = [
    "LABEL_FIGURES",
    "LABEL_KINDS",
    "STANDARD_GUARDRAILS",
    "Analysis",
    "AnnexIII",
    "BusinessMetric",
    "Card",
    "Choice",
    "ColumnPreprocessing",
    "Combination",
    "ContingencyPlan",
    "Costs",
    "Cuts",
    "DataClass",
    "Dataset",
    "Ensemble",
    "Estimator",
    "Evaluation",
    "Exemption",
    "FallbackPlan",
    "Favourable",
    "FeatureSet",
    "FigureKind",
    "Guardrail",
    "Label",
    "LabelValue",
    "Metric",
    "Model",
    "Monitor",
    "PredefinedSplit",
    "Preprocessing",
    "Prohibited",
    "Project",
    "Pruner",
    "RandomSplit",
    "Range",
    "Risk",
    "Rollout",
    "RolloutStrategy",
    "Sampler",
    "Search",
    "Splitting",
    "Stage",
    "Task",
    "TimeSplit",
    "Transparency",
    "feature_set",
    "load_project",
    "project_digest",
    "split_columns",
]

open_door(__name__)
