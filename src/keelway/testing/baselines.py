"""A project over a well-known data set, used as anybody would use it: contracts drafted, files taken in, models trained.

>>> project = BaselineProject.make(folder, "telco", sources=..., lay_out=...)     # doctest: +SKIP
>>> project.scorecards("telco_0")["logistic"].metrics["roc_auc"]                  # doctest: +SKIP
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.app import App, make_tenant_key, read_settings
from keelway.contract import CheckedBatch, draft_contract
from keelway.core import parse_json
from keelway.errors import MissingRecordError
from keelway.evaluate import Fairness, Interval, Scorecard, fairness_of
from keelway.features import FeatureTable, rows_of
from keelway.ledger import SigningKey, write_atomically
from keelway.snapshot import newest
from keelway.train import held_out_rows, training_rows

if TYPE_CHECKING:
    import pyarrow as pa

    from keelway.project import Dataset

SETTINGS = """\
[project]
name = "{name}"
module = "{package}.{name}"
source = "src"
actor = "user:ana"

[engines]
tracking = ""
workers = 1

[signing]
name = "{name}.keelway"

[environments.prod]
policy = "policies"

[principals."user:ana"]
roles = ["data-scientist"]
"""
"""One step at a time, so that what is measured does not depend on who else is at work; without MLflow, which costs time."""


@dataclass(frozen=True, slots=True)
class BaselineProject:
    """A project in a folder of its own, with its raw files.

    Attributes:
        app: Its use cases.
    """

    app: App

    @classmethod
    def make(
        cls,
        root: Path,
        name: str,
        *,
        sources: Path,
        lay_out: Callable[[Path], None],
        amend: Mapping[str, Callable[[str], str]],
    ) -> BaselineProject:
        """Write a project, its raw files and the contracts that are drafted from them.

        Args:
            root: The new folder.
            name: The module that declares the project.
            sources: The package that it is a module of.
            lay_out: Writes the raw files, and a contract where one is written by hand.
            amend: Dataset to how a person changes the text of the draft.
        """
        shutil.copytree(sources, root / "src" / sources.name, ignore=shutil.ignore_patterns("__pycache__"))
        (root / "keelway.toml").write_text(SETTINGS.format(name=name, package=sources.name), "utf8")
        settings = read_settings(root)
        key = SigningKey.generate(settings.signing.name)
        key.save(root / settings.signing.key.removeprefix("file:"))
        write_atomically(root / settings.signing.public_key, key.public.pem().encode())
        make_tenant_key(root, settings)
        lay_out(root)
        project = cls(App.open(root))
        for dataset in project.app.workspace.project.datasets:
            if not (root / dataset.contract).exists():
                project.draft(dataset, amend=amend.get(dataset.name, str))
        return project

    def draft(self, dataset: Dataset, *, amend: Callable[[str], str]) -> None:
        """Draft the contract of a dataset from its raw files, and amend it."""
        root = self.app.workspace.root
        path = root / dataset.contract
        path.parent.mkdir(parents=True, exist_ok=True)
        drafted = draft_contract(sorted(root.glob(dataset.source)), dataset=dataset.name)
        path.write_text(amend(drafted.text), "utf8")

    def scorecards(self, model: str) -> dict[str, Scorecard]:
        """Train a model as `keelway run` does and return its scorecards by estimator."""
        view = self.app.lab.run(model)
        with self.app.workspace.state.snapshot() as tx:
            return {
                name.removeprefix("evaluate:"): tx.by_digest(Scorecard, finished.output)
                for name, finished in view.steps.items()
                if name.startswith("evaluate:") and finished is not None
            }

    def batch(self, dataset: str) -> CheckedBatch:
        """Return how the newest batch of a dataset came in.

        Raises:
            MissingRecordError: Nothing came in yet.
        """
        with self.app.workspace.state.snapshot() as tx:
            held = newest(dataset, tx)
            if held is None:
                raise MissingRecordError("Nothing came in yet", expected=f"a snapshot of {dataset}", found="none")
            return tx.by_digest(CheckedBatch, held.checked)

    def rows(self, card: Scorecard) -> tuple[pa.Table, pa.Table]:
        """Return the rows that a model learnt from and those that it was tested on."""
        at = self.app.workspace
        with at.state.snapshot() as tx:
            table = tx.by_digest(FeatureTable, card.feature_table)
        every, model = rows_of(table, at.artifacts), at.project.model(card.model)
        return training_rows(every, model, table), held_out_rows(every, model, table)

    def fairness(self, cards: Sequence[Scorecard], column: str) -> Fairness:
        """Return how decisions fall on the groups of a column, over the test rows of several scorecards together."""
        labels: list[float] = []
        given: list[float] = []
        groups: list[str] = []
        for card in cards:
            kept = parse_json(self.app.workspace.artifacts.get(card.predictions))
            labels += kept["labels"]
            given += kept["predictions"]
            groups += self.rows(card)[1][column].to_pylist()
        return fairness_of(labels, given, groups, column=column)


def mean_of_parts(figures: Sequence[Interval]) -> Interval:
    """Return the mean of figures that were measured on rows that do not overlap.

    Its half-width is the root of the sum of the squared half-widths, divided by how many there are: the figures' errors
    are taken as independent, although their training rows overlap. One figure alone stays as it is.

    >>> mean_of_parts([Interval(0.75, 0.5, 1.0, 0.95, "x"), Interval(0.25, 0.0, 0.5, 0.95, "x")]).value
    0.5
    """
    count = len(figures)
    if count == 1:
        return figures[0]
    value = math.fsum(each.value for each in figures) / count
    half = math.sqrt(math.fsum(((each.high - each.low) / 2) ** 2 for each in figures)) / count
    return Interval(value, value - half, value + half, figures[0].level, f"mean of {count}, each {figures[0].method}")
