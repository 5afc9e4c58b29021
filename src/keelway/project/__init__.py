"""What a user declares, as pure data: datasets, features, labels, models, monitors; and loading it from a repository."""

from keelway.project.cuts import Cuts
from keelway.project.dataset import Dataset
from keelway.project.estimator import Estimator
from keelway.project.feature_set import FeatureSet, feature_set
from keelway.project.label import Label
from keelway.project.load import load_project, project_digest
from keelway.project.model import Model
from keelway.project.monitor import ContingencyPlan, Monitor
from keelway.project.preprocessing import Preprocessing
from keelway.project.project import Project

__all__ = [
    "ContingencyPlan",
    "Cuts",
    "Dataset",
    "Estimator",
    "FeatureSet",
    "Label",
    "Model",
    "Monitor",
    "Preprocessing",
    "Project",
    "feature_set",
    "load_project",
    "project_digest",
]
