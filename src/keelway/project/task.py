"""Task: what a model predicts, and which figures say how its answers turned out once labels have matured."""

from __future__ import annotations

from typing import Literal

Task = Literal["binary", "multiclass", "regression"]
LabelKind = Literal["log_loss", "brier", "roc_auc", "accuracy", "mse", "mae"]
LABEL_FIGURES: dict[Task, tuple[LabelKind, ...]] = {
    "binary": ("log_loss", "brier", "roc_auc"),
    "multiclass": ("log_loss", "brier", "accuracy"),
    "regression": ("mse", "mae"),
}
"""Figures of matured labels, by task. `brier` of several classes is the sum of the squared errors over all of them, 0 to 2."""
LABEL_KINDS: tuple[LabelKind, ...] = tuple(dict.fromkeys(kind for kinds in LABEL_FIGURES.values() for kind in kinds))
