"""Comparing models on the same rows: versions, the champion, runs, on test rows or on data that has matured since."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from keelway.app.contenders import Contender, contenders
from keelway.app.contest_rows import SharedRows, shared_rows
from keelway.app.files import written
from keelway.app.wire import Workspace
from keelway.core import Digest, digest_of, short, time_text
from keelway.errors import DataError, UsageError

if TYPE_CHECKING:
    from keelway.app.lab import Lab
    from keelway.evaluate import Contest, Correction
    from keelway.project import Model

Corrected = Literal["holm", "bh", "none"]
CORRECTIONS: dict[Corrected, Correction] = {"holm": "holm", "bh": "benjamini-hochberg", "none": "none"}
NO_MARGIN = (
    "No margin is given for {metric}, so that any difference that is shown counts. Say what matters: --margin, or "
    "Evaluation(smallest_difference=...)."
)


@dataclass(frozen=True, slots=True)
class ComparedModel:
    """One model of a comparison.

    Attributes:
        given: What it was called in the question.
        kind: Whether a version answered, in the form that is served, or a training, with its pipeline.
        record: The record that stands for it.
        learned_until: The newest cut that it learned from.
    """

    name: str
    given: str
    kind: Literal["version", "training"]
    record: Digest
    estimator: str
    learned_until: datetime
    train_rows: int
    seed: int


@dataclass(frozen=True, slots=True)
class ModelsCompared:
    """Models on the same rows.

    Attributes:
        entity: What a row is about.
        label: What is predicted.
        source: Where the rows come from, in words.
        snapshots: The snapshots they were computed from, by dataset.
        rows_digest: Digest over entities, moments and labels of the rows.
        models: The baseline first.
        warnings: What a reader must know.
        contest: Figures, differences and verdicts.
    """

    entity: str
    label: str
    source: str
    snapshots: dict[str, Digest]
    rows_digest: Digest
    models: tuple[ComparedModel, ...]
    warnings: tuple[str, ...]
    contest: Contest


@dataclass(frozen=True)
class Comparing:
    """A comparison with the rows it was made of, from which pages and plots are drawn."""

    found: ModelsCompared
    truth: Sequence[Any]
    predictions: Mapping[str, Any]

    def plots(self) -> dict[str, str]:
        """Return the plots as SVG, by name."""
        from keelway.evaluate import contest_plots

        return contest_plots(self.found.contest, self.truth, self.predictions)

    def page(self) -> str:
        """Return the comparison as one HTML page."""
        from keelway.evaluate import contest_page

        found = self.found
        snapshots = ", ".join(f"{name} {short(digest)}" for name, digest in sorted(found.snapshots.items()))
        return contest_page(
            found.contest,
            about=[
                ("Rows are of", found.source),
                ("Entity and label", f"{found.entity}, {found.label}"),
                ("Snapshots", snapshots),
                ("Digest of the rows", found.rows_digest),
            ],
            told={each.name: _told(each) for each in found.models},
            warnings=found.warnings,
            plots=self.plots(),
        )

    def write_page(self, path: Path) -> Path:
        """Write the page.

        Raises:
            StorageError: It cannot be written.
        """
        return written(path, self.page())

    def write_plots(self, folder: Path) -> list[Path]:
        """Write the plots, each as a file named by what it shows.

        Raises:
            StorageError: One cannot be written.
        """
        return [
            written(folder / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}.svg", svg) for name, svg in self.plots().items()
        ]


class CompareRoom:
    """Use cases of those who choose between models."""

    def __init__(self, workspace: Workspace, lab: Lab) -> None:
        self._at = workspace
        self._lab = lab

    def models(
        self,
        names: Sequence[str],
        *,
        metrics: Sequence[str] = (),
        margins: Sequence[str] = (),
        correction: Corrected = "holm",
        as_of: datetime | None = None,
        snapshots: Sequence[str] = (),
        seed: int = 0,
    ) -> Comparing:
        """Compare models with the first of them, on rows that none of them learned from; nothing is stored.

        Args:
            names: `MODEL:NUMBER`, `MODEL` (its newest version), `MODEL@ENVIRONMENT`, `champion`, a run, or
                `RUN/ESTIMATOR`.
            metrics: What is measured, the first decides; what the model declares without.
            margins: The smallest difference worth having: `0.005` for the first metric, `METRIC=0.005` for another;
                what the model declares without.
            correction: How p-values are corrected for the number of comparisons.
            as_of: A cut whose labels have matured by now; the newest test cut without.
            snapshots: `DATASET=VERSION` where the newest version is not meant.
            seed: Decides the bootstrap's draws.

        Raises:
            MissingRecordError: Nothing is called that.
            UsageError: Fewer than two models are named, one twice, or a margin cannot be read.
            DataError: The models do not share entity, label, horizon, task and classes, or there are no rows that they
                could be compared on.
            TrainingError: A metric is unknown, or cannot be measured on these rows.
        """
        if len(names) < 2:
            raise UsageError("There is nothing to compare", expected="two models or more", found=str(len(names)))
        found = contenders(names, at=self._at, champion=self._lab.champion)
        _check_alike(found)
        self._at.progress("the rows that all of them are compared on")
        rows = shared_rows(found, as_of=as_of, snapshots=snapshots, at=self._at)
        model = self._at.project.model(rows.table.model)
        chosen = tuple(metrics) or model.metrics
        self._at.progress(f"{rows.rows.num_rows:,} rows, answered by {len(found)} models")
        predictions = {each.name: rows.answers(each) for each in found}
        self._at.progress("differences and intervals of " + ", ".join(chosen))
        contest = _contest(
            rows, predictions, found[0], model,
            metrics=chosen, margins=_margins(margins, chosen, model), correction=CORRECTIONS[correction], seed=seed,
        )  # fmt: skip
        return Comparing(_answer(names, found, rows, contest), rows.rows["label"].to_pylist(), predictions)


def _contest(
    rows: SharedRows,
    predictions: Mapping[str, Any],
    first: Contender,
    model: Model,
    *,
    metrics: Sequence[str],
    margins: Mapping[str, float],
    correction: Correction,
    seed: int,
) -> Contest:
    from keelway.evaluate import contest

    declared = model.evaluation
    entities = rows.rows["entity"].to_pylist()
    parting = [
        name for name in dict.fromkeys((*declared.slices, *declared.sensitive)) if name in rows.rows.column_names
    ]
    return contest(
        rows.rows["label"].to_pylist(),
        predictions,
        task=first.trained.task,
        metrics=metrics,
        classes=first.trained.classes,
        groups=entities if len(set(entities)) < len(entities) else None,
        margins=margins,
        correction=correction,
        columns={name: rows.rows[name].to_pylist() for name in parting},
        min_support=declared.min_support,
        seed=seed,
        resamples=declared.bootstrap,
    )


def _answer(names: Sequence[str], found: Sequence[Contender], rows: SharedRows, contest: Contest) -> ModelsCompared:
    told = rows.rows.select(["entity", "as_of", "label"])
    told_before = [warning for each in found for warning in each.trained.warnings]
    without = () if contest.margins[contest.metrics[0]] else (NO_MARGIN.format(metric=contest.metrics[0]),)
    return ModelsCompared(
        entity=rows.table.entity,
        label=rows.table.label or "",
        source=rows.source,
        snapshots=dict(rows.table.snapshots),
        rows_digest=digest_of([told[name].to_pylist() for name in told.column_names]),
        models=tuple(_compared(name, each) for name, each in zip(names, found, strict=True)),
        warnings=tuple(dict.fromkeys((*rows.warnings, *told_before, *without))),
        contest=contest,
    )


def _compared(given: str, each: Contender) -> ComparedModel:
    return ComparedModel(
        name=each.name,
        given=given,
        kind="training" if each.version is None else "version",
        record=each.record,
        estimator=each.trained.estimator,
        learned_until=max(each.trained.train_as_ofs),
        train_rows=each.trained.train_rows,
        seed=each.trained.seed,
    )


def _told(each: ComparedModel) -> list[tuple[str, str]]:
    """Return what a model is, as the page shows it."""
    return [
        ("Asked for as", each.given),
        ("What answered", {"version": "the exported model", "training": "the trained pipeline"}[each.kind]),
        ("Estimator", each.estimator),
        ("Learned from", f"{each.train_rows:,} rows, until {time_text(each.learned_until)}"),
        ("Seed", str(each.seed)),
        ("Record", short(each.record)),
    ]


def _check_alike(found: Sequence[Contender]) -> None:
    """Refuse models that do not predict the same thing of the same things."""
    first = _predicts(found[0])
    for each in found[1:]:
        other = _predicts(each)
        differing = [name for name in first if first[name] != other[name]]
        if differing:
            raise DataError(
                f"{found[0].name} and {each.name} do not predict the same",
                expected="; ".join(f"{name} {first[name]}" for name in differing),
                found="; ".join(f"{name} {other[name]}" for name in differing),
                fix="Compare models that share entity, label, horizon, task and classes.",
            )


def _predicts(each: Contender) -> dict[str, str]:
    return {
        "entity": each.table.entity,
        "label": each.table.label or "none",
        "horizon": f"{each.table.horizon_s} s",
        "task": each.trained.task,
        "classes": ", ".join(each.trained.classes) or "none",
    }


def _margins(given: Sequence[str], metrics: Sequence[str], model: Model) -> dict[str, float]:
    """Return the smallest difference worth having, by metric.

    Raises:
        UsageError: A text is no margin, or of a metric that is not measured.
    """
    found = {model.metrics[0]: model.evaluation.smallest_difference}
    for text in given:
        name, equals, number = text.rpartition("=")
        name = name if equals else metrics[0]
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not 0 <= value < math.inf or name not in metrics:
            raise UsageError(
                "A margin cannot be read",
                expected=f"a number of 0 or more, or METRIC=NUMBER with one of {', '.join(metrics)}",
                found=repr(text),
            )
        found[name] = value
    return found
