"""What serving processes say of themselves: by which deployment each of them answers, since when, and what is wrong.

    presence = Presence("web-1/127.0.0.1:8080/0", "churn", environment, state=state, clock=clock)
    presence.say(deployment, problem)   # every second; kept when it tells something new, else every five minutes
    presence.close()                    # it answers no more

A process that is killed says nothing. Its successor in the same place takes its name; where there is none, it is told as
not heard of, and after `FORGOTTEN_AFTER` not at all.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from keelway.core import Clock, Environment, sortable_id, time_text
from keelway.deploy import Deployment, ObservedReplica
from keelway.errors import KeelwayError
from keelway.ledger import StateStore, Transaction

SAID_EVERY = timedelta(minutes=5)
TROUBLE_EVERY = timedelta(seconds=30)
"""A problem that goes on may change its words, such as a size, all the time; so often they are kept."""
HEARD_WITHIN = timedelta(minutes=11)
"""Two times that a process may miss, and what two clocks may differ."""
FORGOTTEN_AFTER = timedelta(hours=6)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReplicaReport:
    """What one serving process said of itself at one moment.

    Attributes:
        replica: Where it answers; a process that is started again in the same place has the same name.
        process: Unique for ever, and larger than those of its predecessors.
        deployment: The number of the deployment that it answers by.
        since: Since when it does.
        problem: Why something else than the state asks for answers, or what is not as it should be; else empty.
        ended: Whether it answers no more.
    """

    model: str
    environment: Environment
    replica: str
    process: str
    deployment: int
    since: datetime
    problem: str
    at: datetime
    ended: bool = False


class Presence:
    """Keeps what one process says of one model; while the state cannot be written, it is said again and again."""

    def __init__(self, replica: str, model: str, environment: Environment, *, state: StateStore, clock: Clock) -> None:
        self._replica, self._model, self._environment = replica, model, environment
        self._state, self._clock = state, clock
        self._process = sortable_id()
        self._said: ReplicaReport | None = None
        self._since = clock.now()
        self._number: int | None = None
        self._is_quiet = False

    def say(self, deployment: Deployment, problem: str) -> None:
        """Say by which deployment this process answers now, and what is wrong."""
        now = self._clock.now()
        if deployment.number != self._number:
            self._number, self._since = deployment.number, now
        report = ReplicaReport(
            self._model, self._environment, self._replica, self._process, deployment.number, self._since, problem, now
        )
        if self._is_due(report):
            self._keep(report)

    def close(self) -> None:
        """Say that this process answers no more, if it ever did."""
        if self._said is not None:
            self._keep(replace(self._said, at=self._clock.now(), ended=True))

    def _is_due(self, report: ReplicaReport) -> bool:
        said = self._said
        if said is None or (said.deployment, bool(said.problem)) != (report.deployment, bool(report.problem)):
            return True
        return report.at - said.at >= (SAID_EVERY if said.problem == report.problem else TROUBLE_EVERY)

    def _keep(self, report: ReplicaReport) -> None:
        place = f"{self._environment}/{self._model}"
        try:
            with self._state.transaction() as tx:
                tx.insert(f"{place}/{sortable_id()}", report, parent=place, at=report.at)
        except KeelwayError as error:
            if not self._is_quiet:
                _log.warning("The state is not told by which deployment %s is answered: %s", self._model, error)
            self._is_quiet = True
            return
        self._said, self._is_quiet = report, False


def present_replicas(model: str, environment: str, *, now: datetime, tx: Transaction) -> tuple[ObservedReplica, ...]:
    """Return the processes that answer for a model, by their own last words."""
    place = f"{environment}/{model}"
    newest: dict[str, ReplicaReport] = {}
    for report in tx.between(ReplicaReport, parent=place, since=now - FORGOTTEN_AFTER):
        known = newest.get(report.replica)
        if known is None or report.process >= known.process:
            newest[report.replica] = report
    return tuple(_observed(newest[name], now) for name in sorted(newest) if not newest[name].ended)


def _observed(report: ReplicaReport, now: datetime) -> ObservedReplica:
    unheard = f"not heard of since {time_text(report.at)}" if now - report.at > HEARD_WITHIN else ""
    problem = "; ".join(part for part in (unheard, report.problem) if part)
    return ObservedReplica(report.replica, report.deployment, report.since, problem)
