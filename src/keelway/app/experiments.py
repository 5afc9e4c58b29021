"""Experiments for those who decide what they are for: planned before they begin, told while they run and when they are over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from keelway.app.experiment_figures import measured_figures
from keelway.app.files import written
from keelway.app.wire import Workspace
from keelway.core import Action, Decision, PrincipalId, VersionName, canonical_json, digest_of, plain
from keelway.errors import MissingRecordError, UsageError

if TYPE_CHECKING:
    from keelway.core import Digest
    from keelway.deploy import Deployment, RolloutLook, RolloutStart
    from keelway.ledger import Transaction
    from keelway.report import ExperimentRecords, ExperimentReport, PlannedExperiment, PlanWish

MOVES = (Action.DEPLOY, Action.ROLLBACK)


@dataclass(frozen=True, slots=True)
class ExperimentLine:
    """One rollout in short.

    Attributes:
        outcome: What the newest look said of each treatment, by version.
    """

    rollout: str
    strategy: str
    control: VersionName
    treatments: tuple[VersionName, ...]
    state: str
    began: datetime
    principal: PrincipalId
    looks: int
    outcome: dict[VersionName, str]


class ExperimentRoom:
    """Use cases of those who want to know what a version is worth."""

    def __init__(self, workspace: Workspace) -> None:
        self._at = workspace

    def plan(self, wish: PlanWish, model: str, environment: str, *, over: timedelta) -> PlannedExperiment:
        """Return how long an experiment takes, from what is given, what was measured and what the model declares.

        Args:
            wish: What is asked; an empty metric is the model's label.
            model: Whose requests and outcomes are read.
            environment: Where they were answered.
            over: How far back is read.

        Raises:
            UsageError: A number is neither given nor measured, or out of range.
        """
        from dataclasses import replace

        from keelway.report import planned_experiment

        declared = self._at.project.model(model)
        self._at.environment(environment)
        asked = wish if wish.metric else replace(wish, metric=declared.label.name)
        found = measured_figures(declared, environment, asked, over=over, at=self._at)
        return planned_experiment(asked, found.numbers, kind=found.kind, warnings=found.warnings)

    def listed(self, model: str, environment: str) -> list[ExperimentLine]:
        """Return the rollouts of a model in an environment, newest first."""
        from keelway.deploy import looks_of, rollout_state, rollouts_of

        self._known(model, environment)
        with self._at.state.snapshot() as tx:
            return [
                _line(start, looks_of(start, tx), rollout_state(start, tx))
                for start in rollouts_of(model, environment, tx)
            ]

    def report(self, model: str, environment: str, *, rollout: str = "") -> ExperimentReport:
        """Return the report of a rollout, by default of the newest one.

        Raises:
            MissingRecordError: There is none, or none of that name.
        """
        from keelway.deploy import rollouts_of
        from keelway.report import experiment_report

        self._known(model, environment)
        with self._at.state.snapshot() as tx:
            begun = rollouts_of(model, environment, tx)
            chosen = next((start for start in begun if rollout in ("", start.rollout)), None)
            if chosen is None:
                raise MissingRecordError(
                    f"There is no rollout {rollout} of {model} in {environment}".replace("  ", " "),
                    expected=", ".join(start.rollout for start in begun) or "a rollout that has begun",
                    found=rollout or "none",
                    fix=f"List them: keelway experiment list {model} --env {environment}",
                )
            records = _records(chosen, tx)
        return experiment_report(records, project=self._at.settings.project.name, now=self._at.now())

    def write(self, report: ExperimentReport, path: Path) -> Path:
        """Write a report as an HTML page or as JSON, by what the file is called; the same report gives the same bytes.

        Raises:
            UsageError: The file is called neither.
            StorageError: It cannot be written.
        """
        from keelway.report import experiment_page

        if path.suffix.lower() in (".html", ".htm"):
            return written(path, experiment_page(report))
        if path.suffix.lower() == ".json":
            return written(path, json.dumps(plain(report), indent=2, sort_keys=True, ensure_ascii=False) + "\n")
        raise UsageError("A report is HTML or JSON", expected="NAME.html or NAME.json", found=path.name)

    def _known(self, model: str, environment: str) -> None:
        """Refuse a model or an environment that there is not."""
        self._at.project.model(model)
        self._at.environment(environment)


def _line(start: RolloutStart, looks: list[RolloutLook], state: str) -> ExperimentLine:
    newest = {arm.version: str(arm.verdict.outcome) for look in looks for arm in look.arms}
    return ExperimentLine(
        rollout=start.rollout,
        strategy=start.plan.strategy,
        control=start.control,
        treatments=start.treatments,
        state=state,
        began=start.at,
        principal=start.principal,
        looks=len(looks),
        outcome=newest,
    )


def _records(start: RolloutStart, tx: Transaction) -> ExperimentRecords:
    from keelway.deploy import deployments_of, looks_of, rollout_state, turns_of
    from keelway.report import ExperimentRecords

    looks, turns, deployments = looks_of(start, tx), turns_of(start, tx), deployments_of(start, tx)
    state = rollout_state(start, tx)
    mine = {digest_of(record) for record in [start, *looks, *turns, *deployments]}
    over = state not in ("running", "paused")
    ends = [start.at, *(each.at for each in looks), *(each.at for each in turns), *(each.at for each in deployments)]
    decisions = tuple(_decisions(start, mine, max(ends) if over else None, tx))
    last = _following(start, [decision for _, decision in decisions], mine, tx)
    return ExperimentRecords(
        start=start,
        looks=tuple(looks),
        turns=tuple(turns),
        deployments=(*deployments, *last),
        decisions=decisions,
        state=state,
    )


def _following(
    start: RolloutStart, decisions: list[Decision], mine: set[Digest], tx: Transaction
) -> Iterator[Deployment]:
    """Yield the deployment that gave all traffic to the winner, or to the control."""
    from keelway.deploy import Deployment, pointer_of

    pointer = pointer_of(start.model, start.environment)
    for decision in decisions:
        for move in decision.moves:
            if move.name == pointer and move.after not in mine:
                yield tx.by_digest(Deployment, move.after)


def _decisions(
    start: RolloutStart, mine: set[Digest], last: datetime | None, tx: Transaction
) -> Iterator[tuple[int, Decision]]:
    """Yield the decisions that rest on records of a rollout, and those that were refused while it ran."""
    from keelway.ledger import decision_in

    place = b'"environment":' + canonical_json(start.environment)
    for index, data in tx.log.leaves():
        if place not in data:
            continue
        decision = decision_in(data, index)
        named = {*decision.evidence.values(), *(move.after for move in decision.moves)}
        meant = decision.action in MOVES and decision.subject == start.model and not decision.allowed
        if named & mine or (meant and start.at <= decision.at and (last is None or decision.at <= last)):
            yield index, decision
