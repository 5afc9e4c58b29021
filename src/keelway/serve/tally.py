"""How requests went, counted by arm and kept as observations: what error budgets and canary guardrails are judged by.

    tally = RequestTally(clock)
    tally.answered(version, 1, [0.0021])
    tally.requested(502)
    keeper = TallyKeeper("churn", environment, tally=tally, state=state, clock=clock)

Counting costs a microsecond and no memory that grows. The prediction log holds answers; this holds the requests that had
none as well. What is counted since the last keeping is lost with a process that is killed: figures, not evidence of a
single request.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from keelway.core import Clock, Digest, Environment, VersionName, sortable_id
from keelway.errors import KeelwayError
from keelway.ledger import StateStore, Transaction
from keelway.serve.loaded import LoadedDeployment, LoadedVersion
from keelway.serve.repeating import Repeating

KEEP_EVERY_S = 300.0
KEEP_TRIAL_EVERY_S = 60.0
"""While several arms answer: a rollout that goes wrong has to be seen soon."""
KEEP_FIRST_S = 5.0
"""When a trial, or a stage of one, has just begun: what goes wrong at once has to be seen at once."""
PART_OF_TRIAL = 0.1
"""Counts of a trial are kept each time it lasts so much longer, so that a look knows nearly all of it from few records."""
SHORTEST_S = 1e-5
GROWTH = 1.1
"""A latency is known to a tenth of itself."""
LARGEST_BIN = 200
SERVER_FAULT = 500
FIRST_READ = 256
"""Figures that are read at first; more where they do not reach back far enough."""

_log = logging.getLogger(__name__)


def latency_bin(seconds: float) -> int:
    """Return the bin of a latency: bin n ends at 10 microseconds times 1.1 to the n.

    >>> latency_bin(0.00001), latency_bin(0.001), latency_bin(1e9)
    (0, 49, 200)
    """
    if seconds <= SHORTEST_S:
        return 0
    return min(math.ceil(math.log(seconds / SHORTEST_S) / math.log(GROWTH)), LARGEST_BIN)


def latency_of(place: int) -> float:
    """Return the longest latency of a bin, in seconds."""
    return SHORTEST_S * GROWTH**place


@dataclass(frozen=True, slots=True)
class ArmRequests:
    """How one arm answered in a span of time.

    Attributes:
        answers: Rows that it answered.
        failed: Requests that it could not answer.
        bins: Latency bins that hold anything, rising; see `latency_bin`.
        counts: How many requests each of them holds.
        undefined: Those of the failed whose answer was NaN, infinite or no probability.
        dropped: Rows that a shadow never saw, because it or this process had too much to do.
        unclocked: Rows of batches that it answered: each is a request whose time nobody took.
        deployment: The digest of the deployment that assigned the requests, as the log names it; None where nobody kept it.
    """

    version: VersionName
    arm: str
    answers: int
    failed: int
    bins: tuple[int, ...]
    counts: tuple[int, ...]
    undefined: int = 0
    dropped: int = 0
    unclocked: int = 0
    deployment: Digest | None = None


@dataclass(frozen=True, slots=True)
class RequestFigures:
    """How the requests for a model went in a span of time, as one process counted them.

    Attributes:
        since: When counting began.
        until: When it was kept.
        requests: All predictions that were asked for by known callers, those that were refused among them.
        failed: Those that the server owed an answer to: status 500 and above, refused ones among them.
        shed: Those that were refused because of too much work.
        arms: By version, arm and deployment, for what reached one.
    """

    model: str
    environment: Environment
    since: datetime
    until: datetime
    requests: int
    failed: int
    shed: int
    arms: tuple[ArmRequests, ...]


@dataclass(slots=True)
class _Arm:
    answers: int = 0
    failed: int = 0
    undefined: int = 0
    dropped: int = 0
    unclocked: int = 0
    latencies: Counter[int] = field(default_factory=Counter)


_Place = tuple[VersionName, str, Digest | None]


class RequestTally:
    """Counts requests of one model since the last taking; safe to use from several threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._since = clock.now()
        self._requests = self._failed = self._shed = 0
        self._arms: dict[_Place, _Arm] = {}

    @property
    def arms(self) -> int:
        """How many arms answered since the last taking."""
        return len(self._arms)

    def answered(self, version: LoadedVersion, count: int, times: Sequence[float]) -> None:
        """Count rows that a version answered, and how long each of their requests took, in seconds."""
        with self._guard:
            arm = self._arm(version)
            arm.answers += count
            arm.latencies.update(map(latency_bin, times))

    def scored(self, version: LoadedVersion, count: int) -> None:
        """Count rows of a batch that a version answered, each as a request of its own that took no known time."""
        with self._guard:
            arm = self._arm(version)
            arm.answers += count
            arm.unclocked += count

    def failed(self, version: LoadedVersion, *, undefined: bool = False) -> None:
        """Count a request, or a part of a batch, that a version could not answer; a request is counted as requested too.

        Args:
            undefined: Whether it was because the answer was no number.
        """
        with self._guard:
            arm = self._arm(version)
            arm.failed += 1
            arm.undefined += undefined

    def dropped(self, version: LoadedVersion, count: int) -> None:
        """Count rows that a shadow never saw."""
        with self._guard:
            self._arm(version).dropped += count

    def requested(self, status: int, count: int = 1) -> None:
        """Count requests by the status of their replies."""
        with self._guard:
            self._requests += count
            self._failed += count * (status >= SERVER_FAULT)

    def shed(self) -> None:
        """Count a request that was refused because of too much work; it is counted as requested too."""
        with self._guard:
            self._shed += 1

    def take(self, model: str, environment: Environment) -> RequestFigures | None:
        """Return what was counted and begin anew; None where nothing was."""
        with self._guard:
            since, now, arms, requests = self._since, self._clock.now(), self._arms, self._requests
            failed, shed = self._failed, self._shed
            self._since, self._arms = now, {}
            self._requests = self._failed = self._shed = 0
        if not requests and not arms:
            return None
        told = tuple(_arm_record(*key, arm) for key, arm in sorted(arms.items(), key=lambda one: one[0][:2]))
        return RequestFigures(model, environment, since, now, requests, failed, shed, told)

    def _arm(self, version: LoadedVersion) -> _Arm:
        place = (version.version, version.arm, version.deployment)
        arm = self._arms.get(place)
        if arm is None:
            arm = self._arms[place] = _Arm()
        return arm


class TallyKeeper:
    """Keeps what a tally counted, every five minutes; while several arms answer, at first every 5 s and at last every minute.

    Another deployment begins a span, so that a look need not wait for one that its predecessor began. While the state cannot
    be written the figures wait, and are kept when it can.
    """

    def __init__(
        self, model: str, environment: Environment, *, tally: RequestTally, state: StateStore, clock: Clock
    ) -> None:
        self._model, self._environment = model, environment
        self._tally, self._state, self._clock = tally, state, clock
        self._waiting: list[RequestFigures] = []
        self._waited_s = self._standing_s = 0.0
        self._keeping = Repeating(self.turn, every_s=KEEP_FIRST_S, name="keelway-tally")

    def start(self) -> None:
        """Begin to keep in the background."""
        self._keeping.start()

    def close(self) -> None:
        """Keep the rest and stop."""
        self._keeping.close()
        self.keep()

    def switched(self, _loaded: LoadedDeployment) -> None:
        """Begin a span for another deployment; what its predecessor did is kept with the next turn."""
        self._cut()
        self._standing_s, self._waited_s = 0.0, KEEP_EVERY_S

    def turn(self) -> None:
        """Let `KEEP_FIRST_S` go by, and keep what was counted if it is time to."""
        self._waited_s += KEEP_FIRST_S
        self._standing_s += KEEP_FIRST_S
        trial_s = min(self._standing_s * PART_OF_TRIAL, KEEP_TRIAL_EVERY_S)
        if self._waited_s >= (trial_s if self._tally.arms > 1 else KEEP_EVERY_S):
            self._waited_s = 0.0
            self.keep()

    def keep(self) -> None:
        """Keep what was counted until now, unless the state cannot be written."""
        self._cut()
        try:
            while self._waiting:
                keep_figures(self._waiting[0], state=self._state)
                self._waiting.pop(0)
        except KeelwayError as error:
            _log.warning("Figures of requests wait to be kept: %s", error)

    def _cut(self) -> None:
        taken = self._tally.take(self._model, self._environment)
        if taken is not None:
            self._waiting.append(taken)


def keep_figures(figures: RequestFigures, *, state: StateStore) -> None:
    """Store figures of requests as an observation."""
    place = f"{figures.environment}/{figures.model}"
    with state.transaction() as tx:
        tx.insert(f"{place}/{sortable_id()}", figures, parent=place, at=figures.until)


def request_figures(model: str, environment: str, *, since: datetime, tx: Transaction) -> list[RequestFigures]:
    """Return the figures of a model's requests that were counted from a moment on, newest first."""
    place, most = f"{environment}/{model}", FIRST_READ
    while True:
        found = tx.newest(RequestFigures, parent=place, limit=most)
        if len(found) < most or found[-1].until < since:
            return [figures for figures in found if figures.since >= since]
        most *= 4


def together(
    figures: Iterable[RequestFigures],
    *,
    counts: Callable[[RequestFigures, ArmRequests], bool] = lambda _span, _arm: True,
) -> dict[tuple[VersionName, str], ArmRequests]:
    """Return what arms did over several spans and processes, by version and arm.

    Args:
        counts: Says what is added up, of each span and arm.
    """
    sums: dict[tuple[VersionName, str], _Arm] = {}
    for each in figures:
        for arm in each.arms:
            if not counts(each, arm):
                continue
            known = sums.setdefault((arm.version, arm.arm), _Arm())
            known.answers += arm.answers
            known.failed += arm.failed
            known.undefined += arm.undefined
            known.dropped += arm.dropped
            known.unclocked += arm.unclocked
            known.latencies.update(dict(zip(arm.bins, arm.counts, strict=True)))
    return {key: _arm_record(*key, None, arm) for key, arm in sums.items()}


def _arm_record(version: VersionName, arm: str, deployment: Digest | None, counted: _Arm) -> ArmRequests:
    bins = tuple(sorted(counted.latencies))
    counts = tuple(counted.latencies[each] for each in bins)
    return ArmRequests(
        version, arm, counted.answers, counted.failed, bins, counts, counted.undefined, counted.dropped,
        counted.unclocked, deployment,
    )  # fmt: skip
