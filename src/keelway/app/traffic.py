"""Moving traffic, answering it, and judging canaries."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from keelway.app.persons import Names, entity_names
from keelway.app.score_rows import stream_rows
from keelway.app.scoring_table import scoring_table
from keelway.app.serving import breaker_of, keeper_for, log_for, pin_rollback, router_for, shed_rule
from keelway.app.way_back import RollbackAnswer, gone_back, must_be_mover, traffic_back
from keelway.app.wire import Workspace
from keelway.core import Action, Environment, VersionName, split_version, time_text
from keelway.errors import KeelwayError, MissingRecordError, UsageError

if TYPE_CHECKING:
    from keelway.core import Prediction
    from keelway.deploy import Deployment, SmokeResult
    from keelway.register import ModelVersion
    from keelway.retrain import ArmEvidence
    from keelway.serve import (
        Breaker,
        BreakerState,
        JournalLog,
        Pin,
        RequestTally,
        Router,
        ScoreReport,
        ShedRule,
        TallyKeeper,
    )

SMOKE_ROWS = 50


@dataclass(frozen=True, slots=True)
class RolloutAnswer:
    """What was decided about a canary, and the traffic that follows."""

    verdict: Literal["advance", "back", "wait"]
    reasons: tuple[str, ...]
    stable: ArmEvidence
    canary: ArmEvidence
    deployment: Deployment


def _ignore(_count: int) -> None:
    """Take a number and do nothing."""


def _unheard(_upstream: str, _state: BreakerState) -> None:
    """Take a breaker's state and do nothing."""


class Traffic:
    """Use cases of those who run models."""

    def __init__(self, workspace: Workspace) -> None:
        self._at = workspace

    def deploy(self, version: str, environment: str, *, canary: int | None = None, comment: str = "") -> Deployment:
        """Send traffic to an admitted version: all of it, or a canary's percentage.

        Raises:
            RefusedError: The version is not admitted, fails its smoke test, or the principal may not deploy.
            NotImplementedError: The version is of a kind that is not served.
        """
        from keelway.deploy import current, deploy
        from keelway.serve import check_servable
        from keelway.train import TrainedModel

        at = self._at
        at.environment(environment)
        must_be_mover(environment, at=self._at, subject=version)
        chosen = self._version(version, environment)
        with at.state.snapshot() as tx:
            before = current(chosen.model, Environment(environment), tx)
            task = tx.by_digest(TrainedModel, chosen.trained).task
        check_servable(chosen.name, task, chosen.features)
        if canary is not None and before is None:
            raise UsageError(
                "A canary needs a version to stand beside",
                expected=f"a deployment of {chosen.model} in {environment}",
                found="none",
                fix=f"keelway deploy {chosen.name} --env {environment}",
            )
        stable = before.stable if before is not None and canary is not None else chosen.name
        return deploy(
            chosen.model,
            environment=Environment(environment),
            stable=stable,
            canary=chosen.name if canary is not None else None,
            percent=canary or 0,
            smoke=self._smoke,
            state=at.state,
            principal=at.principal.id,
            now=at.now(),
            comment=comment,
        )

    def rollout(self, model: str, environment: str, *, dry: bool = False, comment: str = "") -> RolloutAnswer:
        """Judge a canary by what both arms answered since it began; advance it, take it back, or wait.

        Only answers are logged, so failed requests do not count here; the server's metrics count them.

        Raises:
            UsageError: There is no canary.
        """
        from keelway.retrain import challenger_verdict

        before = self._current(model, environment)
        if before.canary is None:
            raise UsageError(
                f"{model} has no canary in {environment}",
                expected="a canary",
                found=f"all traffic at {before.stable}",
                fix=f"keelway deploy {model}:NUMBER --env {environment} --canary 10",
            )
        answers = [answer for answer in self._predictions(model, environment) if answer.event_time >= before.at]
        stable, canary = (self._arm(answers, name) for name in (before.stable, before.canary))
        verdict = challenger_verdict(stable, canary)
        after = before
        if not dry and verdict.verdict != "wait":
            must_be_mover(environment, at=self._at, subject=model)
            told = comment or "; ".join(verdict.reasons)
            if verdict.verdict == "advance":
                after = self._advanced(model, environment, comment=told)
            else:
                after = traffic_back(model, environment, comment=told, at=self._at)
        return RolloutAnswer(verdict.verdict, verdict.reasons, stable, canary, after)

    def rollback(self, model: str, environment: str, *, to: str = "", comment: str = "") -> RollbackAnswer:
        """Return to the version that served before, or to one that is named: the traffic, and the environment's pointer.

        Raises:
            UsageError: There is nothing to go back to.
            RefusedError: The version may not come back, or the principal may not move the environment; recorded.
        """
        must_be_mover(environment, at=self._at, action=Action.ROLLBACK, subject=model)
        return gone_back(model, environment, to=to, comment=comment, at=self._at)

    def pin_rollback(self, model: str, environment: str, *, to: str = "", comment: str = "") -> Pin:
        """Ask the servers of this machine to go back, while the state is down; recorded when it is back.

        Raises:
            MissingRecordError: Nothing to go back to is kept on this machine.
        """
        return pin_rollback(model, environment, to=to, comment=comment, at=self._at)

    def requests(self, model: str, *, as_of: datetime | None = None, limit: int = 0) -> list[dict[str, Any]]:
        """Return request bodies for `/predict`, one an entity, with its features at a moment (None: now)."""
        from keelway.features import columns_for_scoring, rows_of

        declared = self._at.project.model(model)
        moment = as_of or self._at.now()
        table = scoring_table(declared, as_of=moment, at=self._at)
        rows = rows_of(table, self._at.artifacts)
        rows = rows.slice(0, limit) if limit else rows
        columns = columns_for_scoring(rows, table.features)
        entities = rows["entity"].to_pylist()
        return [
            {
                "entity": entity,
                "as_of": time_text(moment),
                "features": {name: values[number] for name, values in columns.items()},
            }
            for number, entity in enumerate(entities)
        ]

    def router_and_log(
        self,
        model: str,
        environment: str,
        *,
        on_unlogged: Callable[[int], None] = _ignore,
        on_breaker: Callable[[str, BreakerState], None] = _unheard,
        records_pins: bool = True,
    ) -> tuple[Router, JournalLog]:
        """Load what is deployed, verified, with a prediction log beside it; the caller starts and closes both.

        Where state or store are down, it is the last known good that is kept on this machine.

        Args:
            on_breaker: Told whenever the breaker of a process that runs a Python model changes.
            records_pins: Whether this process records rollbacks asked for on this machine; of several, one does.

        Raises:
            IntegrityError: A version's bytes or signature are not as promised; nothing is served.
        """
        router = router_for(model, environment, at=self._at, records_pins=records_pins, on_breaker=on_breaker)
        return router, log_for(model, environment, at=self._at, on_unlogged=on_unlogged)

    def tally_keeper(self, model: str, environment: str, *, tally: RequestTally) -> TallyKeeper:
        """Return what keeps the requests that a server counts, as observations."""
        return keeper_for(model, environment, tally=tally, at=self._at)

    def shed_rule(self) -> ShedRule:
        """Return when a server refuses requests because of too much work."""
        return shed_rule(self._at)

    def breaker(self, names: tuple[str, ...], *, on_state: Callable[[str, BreakerState], None] = _unheard) -> Breaker:
        """Return a breaker around upstreams of a server, as the settings say."""
        return breaker_of(names, at=self._at, on_state=on_state)

    def entity_names(self, model: str) -> Names | None:
        """Return what gives the people that a model speaks of their tokens; None where its entities are no people."""
        return entity_names(self._at.project.model(model), at=self._at)

    def score(self, model: str, environment: str, *, as_of: datetime, limit: int = 0) -> ScoreReport:
        """Score every entity at one moment, by the arms that would answer its requests; log every prediction.

        Rows are read, scored and logged a part at a time, so memory does not grow with them.
        """
        from keelway.serve import score

        at = self._at
        router, log = self.router_and_log(model, environment)
        table = scoring_table(at.project.model(model), as_of=as_of, at=at)
        features = router.loaded.stable.scorer.features
        rows = stream_rows(table, features, as_of=as_of, artifacts=at.artifacts, limit=limit)
        log.start()
        try:
            return score(rows, router.loaded, as_of=as_of, log=log, now=at.now(), progress=at.progress)
        finally:
            log.close()

    def was_deployed(self, version: str, environment: str) -> bool:
        """Say whether a version ever got traffic in an environment."""
        from keelway.deploy import history

        model, _ = split_version(version)
        with self._at.state.snapshot() as tx:
            return any(version in each.traffic for each in history(model, Environment(environment), tx))

    def has_predictions(self, model: str, environment: str) -> bool:
        """Say whether any prediction was logged and sealed."""
        from keelway.serve import PredictionSegment

        with self._at.state.snapshot() as tx:
            return tx.count(PredictionSegment, parent=f"{environment}/{model}") > 0

    def newest_prediction(self, model: str, environment: str) -> str:
        """Return the id of the newest logged prediction.

        Raises:
            MissingRecordError: None was logged yet.
        """
        newest = max((answer.prediction_id for answer in self._predictions(model, environment)), default=None)
        if newest is None:
            raise MissingRecordError(f"No prediction of {model} in {environment} was logged yet")
        return newest

    def _advanced(self, model: str, environment: str, *, comment: str) -> Deployment:
        """Send more traffic to a canary."""
        from keelway.deploy import advance

        at = self._at
        return advance(
            model, environment=Environment(environment), smoke=self._smoke, state=at.state, principal=at.principal.id,
            now=at.now(), comment=comment,
        )  # fmt: skip

    def _smoke(self, version: ModelVersion) -> SmokeResult:
        """Ask a version for answers to rows it was trained on and to rows of nothing but nulls."""
        from keelway.core import digest_of
        from keelway.deploy import SmokeResult
        from keelway.features import FeatureTable, columns_for_scoring, rows_of
        from keelway.register import load_scorer

        at = self._at
        answers: list[float] = []
        reasons: tuple[str, ...] = ()
        try:
            scorer = load_scorer(version, artifacts=at.artifacts, public_key=at.signing.public_key)
            with at.state.snapshot() as tx:
                table = tx.by_digest(FeatureTable, version.feature_table)
            rows = rows_of(table, at.artifacts).slice(0, SMOKE_ROWS)
            columns = columns_for_scoring(rows, version.features)
            for feature in version.features:
                columns[feature.name].append(None if feature.kind == "numeric" else "")
            values = zip(*(columns[each.name] for each in version.features), strict=True)
            answers = scorer.predictions([list(row) for row in values])
        except KeelwayError as error:
            reasons = (str(error),)
        strange = sum(not (math.isfinite(answer) and 0 <= answer <= 1) for answer in answers)
        if strange:
            reasons = (*reasons, f"{strange} of {len(answers)} answers are no probability")
        return SmokeResult(version.name, digest_of(version), not reasons, len(answers), reasons)

    def _version(self, name: str, environment: str) -> ModelVersion:
        """Return a version by name; for a model's name, the one the door let in last."""
        from keelway.promote import environment_pointer
        from keelway.register import ModelVersion, version_named

        with self._at.state.snapshot() as tx:
            if ":" in name:
                return version_named(VersionName(name), tx=tx)
            pointer = tx.pointer(environment_pointer(environment, name))
            if pointer is None:
                raise MissingRecordError(
                    f"No version of {name} was let into {environment}",
                    expected="one",
                    found="none",
                    fix=f"keelway promote {name} --to {environment}",
                )
            return tx.by_digest(ModelVersion, pointer.target)

    def _current(self, model: str, environment: str) -> Deployment:
        from keelway.deploy import current

        self._at.environment(environment)
        with self._at.state.snapshot() as tx:
            found = current(model, Environment(environment), tx)
        if found is None:
            raise MissingRecordError(
                f"{model} is not deployed to {environment}",
                expected="a deployment",
                found="none",
                fix=f"keelway deploy {model} --env {environment}",
            )
        return found

    def _predictions(self, model: str, environment: str) -> list[Prediction]:
        from keelway.serve import predictions

        with self._at.state.snapshot() as tx:
            return list(predictions(tx, artifacts=self._at.artifacts, model=model, environment=environment))

    @staticmethod
    def _arm(answers: list[Prediction], version: VersionName) -> ArmEvidence:
        from keelway.retrain import arm_evidence

        return arm_evidence(answers, version=version)
