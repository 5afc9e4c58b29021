"""Keelway takes a model from raw data to production, and can prove how it got there.

    from keelway import Cuts, Dataset, Estimator, Label, Model, Project, feature_set

The names below are imported when they are first used, so `import keelway` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keelway.app import App
    from keelway.app.tracking import autolog, run
    from keelway.errors import KeelwayError
    from keelway.flow import Context, Plan, Step, step
    from keelway.project import (
        Analysis,
        BusinessMetric,
        Card,
        Choice,
        ColumnPreprocessing,
        ContingencyPlan,
        Costs,
        Cuts,
        Dataset,
        Ensemble,
        Estimator,
        Evaluation,
        FallbackPlan,
        FeatureSet,
        Guardrail,
        Label,
        Metric,
        Model,
        Monitor,
        PredefinedSplit,
        Preprocessing,
        Project,
        RandomSplit,
        Range,
        Risk,
        Rollout,
        Search,
        TimeSplit,
        feature_set,
    )

__version__ = "0.1.0"

_HOMES = {
    "Analysis": "keelway.project",
    "App": "keelway.app",
    "BusinessMetric": "keelway.project",
    "Card": "keelway.project",
    "Choice": "keelway.project",
    "ColumnPreprocessing": "keelway.project",
    "Context": "keelway.flow",
    "ContingencyPlan": "keelway.project",
    "Costs": "keelway.project",
    "Cuts": "keelway.project",
    "Dataset": "keelway.project",
    "Ensemble": "keelway.project",
    "Estimator": "keelway.project",
    "Evaluation": "keelway.project",
    "FallbackPlan": "keelway.project",
    "FeatureSet": "keelway.project",
    "Guardrail": "keelway.project",
    "KeelwayError": "keelway.errors",
    "Label": "keelway.project",
    "Metric": "keelway.project",
    "Model": "keelway.project",
    "Monitor": "keelway.project",
    "Plan": "keelway.flow",
    "PredefinedSplit": "keelway.project",
    "Preprocessing": "keelway.project",
    "Project": "keelway.project",
    "RandomSplit": "keelway.project",
    "Range": "keelway.project",
    "Risk": "keelway.project",
    "Rollout": "keelway.project",
    "Search": "keelway.project",
    "Step": "keelway.flow",
    "TimeSplit": "keelway.project",
    "autolog": "keelway.app.tracking",
    "feature_set": "keelway.project",
    "run": "keelway.app.tracking",
    "step": "keelway.flow",
}

__all__ = [
    "Analysis",
    "App",
    "BusinessMetric",
    "Card",
    "Choice",
    "ColumnPreprocessing",
    "Context",
    "ContingencyPlan",
    "Costs",
    "Cuts",
    "Dataset",
    "Ensemble",
    "Estimator",
    "Evaluation",
    "FallbackPlan",
    "FeatureSet",
    "Guardrail",
    "KeelwayError",
    "Label",
    "Metric",
    "Model",
    "Monitor",
    "Plan",
    "PredefinedSplit",
    "Preprocessing",
    "Project",
    "RandomSplit",
    "Range",
    "Risk",
    "Rollout",
    "Search",
    "Step",
    "TimeSplit",
    "__version__",
    "autolog",
    "feature_set",
    "run",
    "step",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'keelway' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def load_ipython_extension(shell: object) -> None:
    """Make Keelway at home in a notebook: `%load_ext keelway`."""
    importlib.import_module("keelway.surfaces.notebook").load(shell)


def unload_ipython_extension(shell: object) -> None:
    """Take out what `%load_ext keelway` put in: `%unload_ext keelway`."""
    importlib.import_module("keelway.surfaces.notebook").unload(shell)


def __dir__() -> list[str]:
    """Return the public names."""
    return list(__all__)
