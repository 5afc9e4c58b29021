"""Moving traffic at once or back, and answering it; what goes step by step is in `rollouts`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from keelway.app.candidate import chosen_version, smoke_test
from keelway.app.explaining import explainers_for
from keelway.app.log_files import compact_log
from keelway.app.persons import Names, entity_names
from keelway.app.score_rows import stream_rows
from keelway.app.scoring_table import scoring_table
from keelway.app.serving import batch_log_for, breaker_of, keeper_for, log_for, pin_rollback, router_for, shed_rule
from keelway.app.targets import EFFECTIVE_WITHIN_S, DeployAnswer, deployed, until_effective
from keelway.app.way_back import RollbackAnswer, gone_back, must_be_mover
from keelway.app.wire import Workspace
from keelway.core import Action, Environment, split_version, time_text
from keelway.errors import MissingRecordError

if TYPE_CHECKING:
    from keelway.serve import (
        Breaker,
        BreakerState,
        Explainers,
        JournalLog,
        LoadedDeployment,
        LogCompaction,
        Pin,
        RequestTally,
        Router,
        ScoreReport,
        ShedRule,
        TallyKeeper,
    )


def _ignore(_count: int) -> None:
    """Take a number and do nothing."""


def _unheard(_upstream: str, _state: BreakerState) -> None:
    """Take a breaker's state and do nothing."""


class Traffic:
    """Use cases of those who run models."""

    def __init__(self, workspace: Workspace) -> None:
        self._at = workspace

    def deploy(self, version: str, environment: str, *, wait_s: float = 0.0, comment: str = "") -> DeployAnswer:
        """Send all traffic to an admitted version, after a smoke test; a rollout that goes on there ends.

        Args:
            wait_s: So long it is waited for until everything answers so; servers load and warm a version first.

        Raises:
            RefusedError: The version is not admitted, fails its smoke test, or the principal may not deploy.
        """
        from keelway.deploy import deploy

        at = self._at
        at.environment(environment)
        must_be_mover(environment, at=at, subject=version)
        chosen = chosen_version(version, environment, at=at)
        deployment = deploy(
            chosen.model,
            environment=Environment(environment),
            stable=chosen.name,
            smoke=smoke_test(at),
            state=at.state,
            principal=at.principal.id,
            now=at.now(),
            comment=comment,
        )
        return deployed(deployment, at=at, wait_s=wait_s)

    def rollback(
        self, model: str, environment: str, *, to: str = "", wait_s: float = EFFECTIVE_WITHIN_S, comment: str = ""
    ) -> RollbackAnswer:
        """Return to the version that served before, or to one that is named: the traffic, and the environment's pointer.

        Args:
            wait_s: So long it is waited for until that is effective everywhere; the answer says what lags then.

        Raises:
            UsageError: There is nothing to go back to.
            RefusedError: The version may not come back, or the principal may not move the environment; recorded.
        """
        must_be_mover(environment, at=self._at, action=Action.ROLLBACK, subject=model)
        answer = gone_back(model, environment, to=to, comment=comment, at=self._at)
        return replace(answer, target=until_effective(model, environment, at=self._at, wait_s=wait_s))

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
        on_switch: Callable[[LoadedDeployment], None] = lambda _loaded: None,
        records_pins: bool = True,
        replica: str = "",
    ) -> tuple[Router, JournalLog]:
        """Load what is deployed, verified, with a prediction log beside it; the caller starts and closes both.

        Where state or store are down, it is the last known good that is kept on this machine.

        Args:
            on_breaker: Told whenever the breaker of a process that runs a Python model changes.
            on_switch: Told whenever another deployment begins to answer.
            records_pins: Whether this process records rollbacks asked for on this machine; of several, one does.
            replica: What this process is called in `rollout status`; empty for one that answers nobody.

        Raises:
            IntegrityError: A version's bytes or signature are not as promised; nothing is served.
        """
        router = router_for(
            model, environment, at=self._at, records_pins=records_pins, on_breaker=on_breaker, on_switch=on_switch,
            replica=replica,
        )  # fmt: skip
        return router, log_for(model, environment, at=self._at, on_unlogged=on_unlogged)

    def tally_keeper(self, model: str, environment: str, *, tally: RequestTally) -> TallyKeeper:
        """Return what keeps the requests that a server counts, as observations."""
        return keeper_for(model, environment, tally=tally, at=self._at)

    def explainers(self, model: str, environment: str) -> Explainers:
        """Return what explains the answers of a model's versions."""
        return explainers_for(model, environment, at=self._at)

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

        Rows are read, scored and logged a part at a time, so memory does not grow with them. A batch that was killed goes on
        where it stopped when it is scored again as of the same moment. How each arm did is kept beside what servers count,
        on the way and at the end, also of a batch that is stopped.
        """
        from keelway.serve import RequestTally, batch_name, score

        at = self._at
        loaded = router_for(model, environment, at=at, records_pins=False).loaded
        table = scoring_table(at.project.model(model), as_of=as_of, at=at)
        rows = stream_rows(table, loaded.stable.scorer.features, artifacts=at.artifacts, limit=limit)
        count = min(limit or table.rows, table.rows)
        at.progress(f"{count:,} rows to score; if this is stopped, it goes on with --as-of {time_text(as_of)}")
        name = batch_name(table.data, loaded.deployment, as_of=as_of)
        log = batch_log_for(model, environment, batch=name, at=at)
        tally = RequestTally(at.clock)
        keeper = keeper_for(model, environment, tally=tally, at=at)
        keeper.start()
        try:
            return score(
                rows, loaded, as_of=as_of, log=log, now=at.now(), tally=tally, of_rows=count, progress=at.progress
            )
        finally:
            keeper.close()

    def compact_log(
        self, model: str, environment: str, *, before: datetime | None = None, every: timedelta | None = None
    ) -> LogCompaction:
        """Move what servers sealed before a moment (None: this hour's beginning) into columnar files.

        Args:
            every: Leave it to whoever began to do so less than this ago, on any machine; None does it in any case.
        """
        return compact_log(model, environment, before=before, every=every, at=self._at)

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
        from keelway.serve import live_segments

        with self._at.state.snapshot() as tx:
            segments = live_segments(model, environment, tx)
        if not segments:
            raise MissingRecordError(f"No prediction of {model} in {environment} was logged yet")
        return max(segment.last_id for segment in segments)
