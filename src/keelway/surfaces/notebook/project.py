"""The project as a notebook sees it: the use cases of `App`, with progress in the page, never older than the files.

project.lab.run("churn")
project.runs.list(metric="roc_auc", where="estimator = 'boosting'")
project.scorecard("churn:3")
project.features("churn").describe()
"""

from __future__ import annotations

import os
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelway.errors import MissingRecordError, ProjectError
from keelway.surfaces.notebook.display import NotebookProgress

if TYPE_CHECKING:
    import pandas as pd

    from keelway.app import App
    from keelway.evaluate import Scorecard
    from keelway.features import FeatureTable
    from keelway.ledger import Transaction


def open_project(folder: Path | str = "", *, actor: str = "") -> NotebookProject:
    """Return the project at or above a folder; `KEELWAY_PROJECT` or the present folder by default.

    Args:
        actor: Who acts (`user:NAME`); `KEELWAY_ACTOR` or the project's default where empty.
    """
    return NotebookProject(Path(folder or os.environ.get("KEELWAY_PROJECT") or "."), actor=actor)


class NotebookProject:
    """A project in a notebook. Besides what stands here it has every room of `keelway.App`: `lab`, `runs`, `gate`, ...

    It is opened anew at each use, so that an edited feature function or a new commit counts at once.
    """

    def __init__(self, folder: Path, *, actor: str = "") -> None:
        self.folder = folder
        self.actor = actor

    def exists(self) -> bool:
        """Say whether there is a project at or above the folder."""
        from keelway.app import find_root

        try:
            find_root(self.folder)
        except ProjectError:
            return False
        return True

    @property
    def app(self) -> App:
        """The project's use cases, opened now."""
        from keelway.app import App

        actor = self.actor or os.environ.get("KEELWAY_ACTOR", "")
        return App.open(self.folder, actor=actor, progress=NotebookProgress())

    def feature_table(self, model: str) -> FeatureTable:
        """Return the newest feature table that a model was trained with.

        Raises:
            MissingRecordError: There is none.
        """
        with self.app.workspace.state.snapshot() as tx:
            return self._newest_table(model, tx)

    def features(self, model: str) -> pd.DataFrame:
        """Return the rows of the newest feature table of a model: entity, cut date, features, and the label if any.

        Raises:
            MissingRecordError: There is none.
        """
        import pyarrow.parquet as pq

        at = self.app.workspace
        with at.state.snapshot() as tx:
            table = self._newest_table(model, tx)
        frame: pd.DataFrame = pq.read_table(at.artifacts.path_of(table.data)).to_pandas()
        return frame

    def scorecard(self, version: str) -> Scorecard:
        """Return the evaluation of a model version, such as `churn:3`, or of the newest one of a model.

        Raises:
            MissingRecordError: There is no such version.
        """
        from keelway.evaluate import Scorecard

        app = self.app
        found = app.gate.version(version)
        with app.workspace.state.snapshot() as tx:
            return tx.by_digest(Scorecard, found.scorecard)

    def __getattr__(self, name: str) -> Any:
        """Return a room of the project, opened now."""
        if name in _rooms():
            return getattr(self.app, name)
        raise AttributeError(f"a project has no {name!r}; it has {', '.join(dir(self))}")

    def __dir__(self) -> list[str]:
        """Return what there is to be typed."""
        own = [name for name in (*vars(type(self)), *vars(self)) if not name.startswith("_")]
        return sorted({*own, *_rooms()})

    def __repr__(self) -> str:
        return f"project {self._summary()['project']}" if self.exists() else f"no project at {self.folder}"

    def _repr_html_(self) -> str:
        from keelway.core import html_facts

        if not self.exists():
            return f"<p>{escape(repr(self))}</p>"
        return html_facts(self._summary().items())

    def _summary(self) -> dict[str, str]:
        at = self.app.workspace
        declared = at.project
        return {
            "project": declared.name,
            "models": ", ".join(model.name for model in declared.models) or "none",
            "datasets": ", ".join(dataset.name for dataset in declared.datasets) or "none",
            "environments": ", ".join(sorted(at.settings.environments)) or "none",
            "you act as": at.principal.id,
        }

    def _newest_table(self, model: str, tx: Transaction) -> FeatureTable:
        from keelway.features import FeatureTable

        found = [table for table in tx.newest(FeatureTable, parent=model) if table.purpose == "training"]
        if not found:
            raise MissingRecordError(
                f"There is no feature table of {model} yet", expected="a run of its plan", fix=f"keelway run {model}"
            )
        return found[0]


def _rooms() -> list[str]:
    from keelway.app import App

    return ["workspace", *(name for name, each in vars(App).items() if isinstance(each, cached_property))]
