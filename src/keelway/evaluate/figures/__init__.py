"""Metrics as functions of how often each row counts, so that a thousand draws cost one pass."""

from keelway.evaluate.figures.binary import average_precision_figure, binary_figures
from keelway.evaluate.figures.figure import Difference, Figure, Ranked, Sums, mean_figure
from keelway.evaluate.figures.multiclass import multiclass_figures
from keelway.evaluate.figures.ranking import list_figures, top_figures
from keelway.evaluate.figures.regression import regression_figures

__all__ = [
    "Difference",
    "Figure",
    "Ranked",
    "Sums",
    "average_precision_figure",
    "binary_figures",
    "list_figures",
    "mean_figure",
    "multiclass_figures",
    "regression_figures",
    "top_figures",
]
