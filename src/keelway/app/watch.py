"""Closing the loop: outcomes, monitoring, retraining."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from keelway.app.lab import Lab
from keelway.app.persons import entity_names
from keelway.app.scoring_table import checked_paths, newest_snapshots, scoring_table
from keelway.app.wire import Workspace
from keelway.core import BusinessEvent, Environment, Outcome, RunId, VersionName, parse_time
from keelway.errors import DataError, MissingRecordError, UsageError

if TYPE_CHECKING:
    from keelway.core import Prediction
    from keelway.features import Profile
    from keelway.monitor import Alert, DriftReport, QualityReport
    from keelway.project import LabelValue, Model, Monitor, Task
    from keelway.register import ModelVersion
    from keelway.retrain import RetrainRequest

COLUMNS = ("entity", "as_of", "value")
Told = TypeVar("Told", Outcome, BusinessEvent)


@dataclass(frozen=True, slots=True)
class OutcomesRecorded:
    """How many outcomes were new, and how many were known before."""

    label: str
    recorded: int
    known: int


@dataclass(frozen=True, slots=True)
class EventsRecorded:
    """How many events of a stream were new, how many were known before, and how far the stream is complete."""

    stream: str
    recorded: int
    known: int
    complete_until: datetime | None


@dataclass(frozen=True, slots=True)
class MonitorReport:
    """What monitoring measured, the alerts it raised, and the retraining a contingency plan asks for."""

    drift: DriftReport
    quality: QualityReport
    alerts: tuple[Alert, ...]
    request: RetrainRequest | None


@dataclass(frozen=True, slots=True)
class Retrained:
    """The challenger that was trained, or none where nothing asked for one."""

    version: VersionName | None
    run_id: RunId | None
    because: tuple[str, ...]


class Watch:
    """Use cases of watching and renewing."""

    def __init__(self, workspace: Workspace, lab: Lab) -> None:
        self._at = workspace
        self._lab = lab

    def outcomes(
        self, model: str, *, file: Path | None = None, from_label: bool = False, as_of: datetime | None = None
    ) -> OutcomesRecorded:
        """Record outcomes from a CSV file, or compute them by the model's label from the newest snapshot.

        Args:
            file: CSV with the columns entity, as_of, value and, if it is not the end of the horizon, known_at. A class is
                one that a registered version answers with.
            from_label: Compute them instead, for the predictions as of `as_of` (None: as of every logged moment).

        Raises:
            DataError: The file is wrong, or contradicts what is known; nothing is written.
            UsageError: Neither or both sources are named.
        """
        from keelway.monitor import record_outcomes
        from keelway.register import ModelVersion

        if (file is None) is not from_label:
            raise UsageError(
                "Where do the outcomes come from?", expected="a file, or --from-label", found="neither, or both"
            )
        declared = self._at.project.model(model)
        classes = None
        if file and declared.task == "multiclass":
            with self._at.state.snapshot() as tx:
                classes = {name for each in tx.newest(ModelVersion, parent=model) for name in each.classes}
        told = _from_file(file, declared, classes) if file else None
        given = self._named(told, declared) if told else list(self._from_label(declared, as_of))
        batch = record_outcomes(
            given,
            task=declared.task,
            classes=classes,
            state=self._at.state,
            artifacts=self._at.artifacts,
            now=self._at.now(),
            actor=self._at.principal.id,
        )
        recorded = batch.count if batch else 0
        return OutcomesRecorded(declared.label.name, recorded, len(given) - recorded)

    def events(self, model: str, file: Path, stream: str, *, until: datetime | None = None) -> EventsRecorded:
        """Record business events of a stream from a file.

        Args:
            file: CSV or, with the ending `.jsonl`, one JSON object a line; see `app.events`.
            stream: One that a business metric of the model reads.
            until: Everything before this moment is recorded then; None takes the time of the newest event.

        Raises:
            DataError: The file is wrong, or contradicts what is known; nothing is written.
            UsageError: No business metric reads the stream.
        """
        from keelway.app.events import events_in
        from keelway.monitor import events_complete_until, record_events

        at, declared = self._at, self._at.project.model(model)
        streams = sorted({each.stream for each in declared.business})
        if stream not in streams:
            raise UsageError(
                f"No business metric of {model} reads {stream}",
                expected=", ".join(streams) or "a declared business metric",
                found=stream,
                fix=f"Declare Model({model!r}, business=(BusinessMetric(NAME, stream={stream!r}),)).",
            )
        given = self._named(events_in(file, stream, now=at.now()), declared)
        batch = record_events(
            given, stream, complete_until=until, state=at.state, artifacts=at.artifacts, now=at.now(),
            actor=at.principal.id,
        )  # fmt: skip
        with at.state.snapshot() as tx:
            reached = events_complete_until(tx, stream)
        recorded = batch.count if batch else 0
        return EventsRecorded(stream, recorded, len(given) - recorded, reached)

    def _named(self, told: Iterator[Told], model: Model) -> list[Told]:
        """Return outcomes or events under the tokens of the people they are about."""
        given, names = list(told), entity_names(model, at=self._at)
        if names is None:
            return given
        tokens = names([one.entity for one in given])
        return [replace(one, entity=token) for one, token in zip(given, tokens, strict=True)]

    def _from_label(self, model: Model, as_of: datetime | None) -> Iterator[Outcome]:
        from keelway.features import labels_for

        predictions = self._predictions(model.name)
        moments = [as_of] if as_of else sorted({answer.as_of for answer in predictions})
        snapshots = newest_snapshots(model, at=self._at)
        for moment in moments:
            entities = sorted({answer.entity for answer in predictions if answer.as_of == moment})
            yield from labels_for(
                model,
                snapshots,
                moment,
                entities=entities,
                paths_of=lambda snapshot: checked_paths(snapshot, at=self._at),
                now=self._at.now(),
            )

    def monitor(self, model: str, environment: str) -> MonitorReport:
        """Measure drift of today's inputs against training, and quality on matured labels; raise alerts."""
        from keelway.monitor import drift_report, monitor, quality_report, read_outcomes
        from keelway.register import ModelVersion
        from keelway.retrain import retrain_request

        at = self._at
        declared, watched = at.project.model(model), self._monitor(model)
        version = self._live(model, environment)
        reference, current = self._profiles(declared, version)
        drift = drift_report(
            current,
            reference,
            model=model,
            version=version.name,
            environment=environment,
            monitor=watched,
            now=at.now(),
        )
        with at.state.snapshot() as tx:
            outcomes = read_outcomes(tx, at.artifacts, declared.label.name)
            classes = {each.name: each.classes for each in tx.newest(ModelVersion, parent=model)}
        quality = quality_report(
            self._predictions(model),
            outcomes,
            model=model,
            environment=environment,
            label=declared.label.name,
            monitor=watched,
            task=declared.task,
            classes=classes,
            now=at.now(),
        )
        actor = at.principal.id
        alerts = monitor(drift=drift, quality=quality, profile=current, state=at.state, now=at.now(), actor=actor)
        request = retrain_request(
            alerts, plan=watched.plan, champion=version.name, state=at.state, now=at.now(), actor=actor
        )
        return MonitorReport(drift, quality, alerts, request)

    def retrain(self, model: str, environment: str, *, anyway: bool = False, seed: int = 0) -> Retrained:
        """Train a challenger when the newest request of a contingency plan has not been answered yet."""
        from keelway.retrain import open_retrain_request

        self._at.environment(environment)
        with self._at.state.snapshot() as tx:
            request = open_retrain_request(model, environment, tx=tx)
        if request is None and not anyway:
            return Retrained(None, None, ())
        view = self._lab.run(model, seed=seed)
        version = self._lab.version_made_by(view)
        because = request.because if request else ("somebody asked for it",)
        if request is not None:
            from keelway.retrain import answer_retrain_request

            answer_retrain_request(
                request,
                version=version.name,
                run_id=view.started.run_id,
                state=self._at.state,
                now=self._at.now(),
                actor=self._at.principal.id,
            )
        return Retrained(version.name, view.started.run_id, because)

    def _monitor(self, model: str) -> Monitor:
        for monitor in self._at.project.monitors:
            if monitor.model == model:
                return monitor
        raise MissingRecordError(
            f"Nothing watches {model}",
            expected="a Monitor of that model in the project",
            found=", ".join(monitor.model for monitor in self._at.project.monitors) or "none",
            fix=f"Add Monitor({model!r}, ...) to the project.",
        )

    def answered(self, model: str, environment: str) -> VersionName | None:
        """Return the newest version that was trained because a contingency plan asked for it, or None."""
        from keelway.retrain import RetrainAnswer

        with self._at.state.snapshot() as tx:
            found = tx.newest(RetrainAnswer, parent=f"{environment}/{model}", limit=1)
        return found[0].version if found else None

    def _live(self, model: str, environment: str) -> ModelVersion:
        """Return the version that answers: the stable one of the deployment, or what the door let in last."""
        from keelway.deploy import current
        from keelway.promote import environment_pointer
        from keelway.register import ModelVersion, version_named

        self._at.environment(environment)
        with self._at.state.snapshot() as tx:
            deployment = current(model, Environment(environment), tx)
            if deployment is not None:
                return version_named(deployment.stable, tx=tx)
            pointer = tx.pointer(environment_pointer(environment, model))
            if pointer is None:
                raise MissingRecordError(
                    f"No version of {model} is live in {environment}",
                    expected="one that the door let in",
                    found="none",
                    fix=f"keelway promote {model} --to {environment}",
                )
            return tx.by_digest(ModelVersion, pointer.target)

    def _profiles(self, model: Model, version: ModelVersion) -> tuple[Profile, Profile]:
        """Return the profile of the training rows, and that of today's inputs in the same bins."""
        from keelway.features import Profile, profile_of, rows_of

        with self._at.state.snapshot() as tx:
            reference = tx.by_digest(Profile, version.profile)
        table = scoring_table(model, as_of=self._at.now(), at=self._at)
        rows = rows_of(table, self._at.artifacts)
        return reference, profile_of(rows, version.features, reference)

    def _predictions(self, model: str) -> list[Prediction]:
        from keelway.serve import predictions

        with self._at.state.snapshot() as tx:
            return [
                answer
                for environment in self._at.settings.environments
                for answer in predictions(tx, artifacts=self._at.artifacts, model=model, environment=environment)
            ]


def _from_file(file: Path, model: Model, classes: Collection[str] | None) -> Iterator[Outcome]:
    """Read outcomes from a CSV file."""
    from keelway.monitor import wanted_of

    with file.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise DataError(
                f"{file} lacks columns",
                expected=", ".join(COLUMNS),
                found=", ".join(reader.fieldnames or ()) or "no header",
                fix=f"Add {', '.join(missing)}.",
            )
        for row in reader:
            value = _label_value(row["value"] or "", model.task)
            if wanted := wanted_of(value, model.task, classes):
                raise DataError(
                    f"{file}, line {reader.line_num}: the value is no outcome",
                    expected=wanted,
                    found=repr(row["value"]),
                    fix="Mend the file and record it again; nothing was written.",
                )
            as_of = parse_time(row["as_of"])
            end = as_of + (model.label.horizon or timedelta(0))
            known_at = parse_time(row["known_at"]) if row.get("known_at") else end
            yield Outcome(model.label.name, row["entity"], as_of, value, end, known_at)


def _label_value(text: str, task: Task) -> LabelValue:
    """Return what a file says of an outcome in the type of the task; a text that is no number stays one.

    >>> _label_value("1", "binary"), _label_value("1.5", "regression"), _label_value("1", "multiclass")
    (1, 1.5, '1')
    """
    if task == "multiclass":
        return text
    if task == "binary":
        return {"0": 0, "1": 1}.get(text, text)
    try:
        return float(text)
    except ValueError:
        return text
