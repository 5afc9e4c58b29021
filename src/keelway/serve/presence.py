"""What serving processes say of themselves: by which deployment each of them answers, since when, and what is wrong.

    presence = Presence("web-1/127.0.0.1:8080/0", "churn", environment, state=state, clock=clock)
    presence.say(deployment, problem)   # every second; kept when it tells something new, else every half hour
    presence.close()                    # it answers no more

Between its reports a process keeps a small heartbeat every minute. One that is killed keeps none. Its successor in the same
place takes its name; where there is none, it is told as silent once it missed a few, and after `FORGOTTEN_AFTER` not at all. A
process that cannot reach the state is silent too, though it answers: so nobody who is silent is told as gone.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from keelway.core import Clock, Environment, sortable_id, time_text
from keelway.deploy import Deployment, ObservedReplica
from keelway.errors import KeelwayError
from keelway.ledger import StateStore, Transaction

SAID_EVERY = timedelta(minutes=30)
TROUBLE_EVERY = timedelta(seconds=30)
"""A problem that goes on may change its words, such as a size, all the time; so often they are kept."""
BEAT_EVERY = timedelta(minutes=1)
"""Records stay for ever: a process leaves 1,440 a day for a model, some 0.6 MB of SQLite."""
MISSED = 3
"""So many times in a row a process may be not heard of before it is told as silent."""
CLOCKS_DIFFER = timedelta(seconds=30)
"""The clocks of two machines are taken for the same so far."""
FORGOTTEN_AFTER = timedelta(hours=6)
WITHOUT_BEATS_S = 300
"""So often processes reported before there were heartbeats."""

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
        every_s: So often it is heard of while it runs, by this or a heartbeat.
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
    every_s: int = WITHOUT_BEATS_S


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """That a serving process was still there at one moment, and what it said last still held."""

    process: str
    at: datetime


class Presence:
    """Keeps what one process says of one model; while the state cannot be written, it is said again and again."""

    def __init__(self, replica: str, model: str, environment: Environment, *, state: StateStore, clock: Clock) -> None:
        self._replica, self._model, self._environment = replica, model, environment
        self._state, self._clock = state, clock
        self._process = sortable_id()
        self._said: ReplicaReport | None = None
        self._since = self._heard = clock.now()
        self._number: int | None = None
        self._is_quiet = False

    def say(self, deployment: Deployment, problem: str) -> None:
        """Say by which deployment this process answers now, and what is wrong."""
        now = self._clock.now()
        if deployment.number != self._number:
            self._number, self._since = deployment.number, now
        report = ReplicaReport(
            self._model, self._environment, self._replica, self._process, deployment.number, self._since, problem, now,
            every_s=int(BEAT_EVERY.total_seconds()),
        )  # fmt: skip
        if self._is_due(report):
            if self._is_kept(report, now):
                self._said = report
        elif now - self._heard >= BEAT_EVERY:
            self._is_kept(Heartbeat(self._process, now), now)

    def close(self) -> None:
        """Say that this process answers no more, if it ever did."""
        if self._said is not None:
            now = self._clock.now()
            self._is_kept(replace(self._said, at=now, ended=True), now)

    def _is_due(self, report: ReplicaReport) -> bool:
        said = self._said
        if said is None or (said.deployment, bool(said.problem)) != (report.deployment, bool(report.problem)):
            return True
        return report.at - said.at >= (SAID_EVERY if said.problem == report.problem else TROUBLE_EVERY)

    def _is_kept(self, record: ReplicaReport | Heartbeat, now: datetime) -> bool:
        """Keep a record, and say whether the state took it."""
        place = f"{self._environment}/{self._model}"
        try:
            with self._state.transaction() as tx:
                tx.insert(f"{place}/{sortable_id()}", record, parent=place, at=now)
        except KeelwayError as error:
            if not self._is_quiet:
                _log.warning("The state is not told by which deployment %s is answered: %s", self._model, error)
            self._is_quiet = True
            return False
        self._heard, self._is_quiet = now, False
        return True


def present_replicas(model: str, environment: str, *, now: datetime, tx: Transaction) -> tuple[ObservedReplica, ...]:
    """Return the processes that answer for a model, by their own last words; those that are silent with since when."""
    place = f"{environment}/{model}"
    newest: dict[str, ReplicaReport] = {}
    for report in tx.between(ReplicaReport, parent=place, since=now - FORGOTTEN_AFTER):
        known = newest.get(report.replica)
        if known is None or report.process >= known.process:
            newest[report.replica] = report
    beats = _beats(place, now - _patience(BEAT_EVERY), None, tx)
    return tuple(
        _observed(newest[name], beats, now=now, place=place, tx=tx) for name in sorted(newest) if not newest[name].ended
    )


def _observed(
    report: ReplicaReport, beats: dict[str, datetime], *, now: datetime, place: str, tx: Transaction
) -> ObservedReplica:
    heard = max(report.at, beats.get(report.process, report.at))
    problem, silent_since = report.problem, None
    if now - heard > _patience(timedelta(seconds=report.every_s)):
        later = _beats(place, report.at, report.at + SAID_EVERY + BEAT_EVERY, tx)
        silent_since = max(heard, later.get(report.process, heard))
        unheard = f"silent since {time_text(silent_since)}: killed, or cut off from the state and still answering so"
        problem = "; ".join(part for part in (unheard, problem) if part)
    elif heard - now > CLOCKS_DIFFER:
        ahead = f"its clock is {(heard - now).total_seconds():.0f} s ahead of this one"
        problem = "; ".join(part for part in (ahead, problem) if part)
    return ObservedReplica(report.replica, report.deployment, report.since, problem, silent_since)


def _patience(every: timedelta) -> timedelta:
    """Return how long somebody who is heard of so often may be not heard of."""
    return MISSED * every + CLOCKS_DIFFER


def _beats(place: str, since: datetime, until: datetime | None, tx: Transaction) -> dict[str, datetime]:
    """Return the last heartbeat of each process in a time."""
    return {each.process: each.at for each in tx.between(Heartbeat, parent=place, since=since, until=until)}
