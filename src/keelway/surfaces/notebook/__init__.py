"""Keelway inside a notebook: `%load_ext keelway` gives a magic for every command, a project, and tables in the page.

    %load_ext keelway
    %keelway run churn
    project.runs.list(metric="roc_auc")

Only this package and the Jupyter engine import IPython.
"""

from keelway.surfaces.notebook.extension import load, unload
from keelway.surfaces.notebook.project import NotebookProject, open_project

__all__ = ["NotebookProject", "load", "open_project", "unload"]
