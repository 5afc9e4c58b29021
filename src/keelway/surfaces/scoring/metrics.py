"""What a scoring server counts, for Prometheus: bound once for each version, so that counting costs a microsecond.

Several processes that share one port count together: their supervisor names a folder in PROMETHEUS_MULTIPROC_DIR, each
keeps its numbers there, and whichever is asked adds them up.
"""

from __future__ import annotations

import collections
import os
from bisect import bisect_left
from collections.abc import Callable, Sequence
from operator import attrgetter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from keelway.errors import OverloadedError, UnavailableError
from keelway.serve import Answer, LoadedVersion, RequestTally

BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0)
"""From a compiled plan, which takes a tenth of a millisecond, to the time after which a Python model is given up."""
EXPLAIN_BUCKETS_S = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0)
MOST_VERSIONS = 64
"""So many versions in their arms have counters of their own; of more, the one that is known longest begins anew."""
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
BREAKER_STATES = {"closed": 0, "half-open": 1, "open": 2}
_PLACE = ("model", "environment")
_ARM = (*_PLACE, "version", "arm")
_VERSION: Callable[[Answer], LoadedVersion] = attrgetter("version")


class MetricFamilies:
    """The counters and histograms that all models of a process share, in a registry of their own."""

    def __init__(self) -> None:
        into = self.registry = CollectorRegistry()
        status, version = (*_PLACE, "status"), (*_PLACE, "version")

        def counter(name: str, what: str, labels: Sequence[str] = _PLACE) -> Counter:
            return Counter(f"keelway_{name}", what, labels, registry=into)

        def times(
            name: str, what: str, labels: Sequence[str] = _PLACE, buckets: Sequence[float] = BUCKETS_S
        ) -> Histogram:
            return Histogram(f"keelway_{name}", what, labels, registry=into, buckets=buckets)

        self.answers = counter("predictions", "Predictions that were answered.", _ARM)
        told = "Time from the rows of a request to its logged answers, by who gave them."
        self.answer_seconds = times("answer_seconds", told, _ARM)
        self.seconds = times("request_seconds", "Time from the whole request to the answer.")
        self.requests = counter("requests", "Requests by status.", status)
        self.unlogged = counter("unlogged_predictions", "Answers that the log could not take.")
        self.shed = counter("shed_requests", "Requests refused because of too much work.")
        self.unavailable = counter("unavailable_requests", "Requests refused because something that they need is out.")
        self.explains = counter("explain_requests", "Requests for explanations by status.", status)
        told = "Time from the whole request to its explanations."
        self.explain_seconds = times("explain_seconds", told, buckets=EXPLAIN_BUCKETS_S)
        self.dropped = counter("shadow_dropped_rows", "Rows that a shadow never saw.", version)
        told = "Answers given in another version's place."
        self.fallbacks = counter("fallback_predictions", told, (*_PLACE, "fallback"))
        self.breakers = Gauge(
            "keelway_breaker_state", "0 closed, 1 half-open, 2 open.", (*_PLACE, "upstream"), registry=into,
            multiprocess_mode="livemax",
        )  # fmt: skip

    def text(self) -> bytes:
        """Return everything in the Prometheus text format, over all processes that share a folder."""
        if not os.environ.get(SHARED_FOLDER):
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]  # it has half its types
        return generate_latest(together)


class ScoringMetrics:
    """What one model in one environment counts.

    Args:
        families: Shared with the other models of the process; None makes new ones.
        tally: Counts the same for error budgets and guardrails; None where nobody keeps that.
    """

    def __init__(
        self,
        model: str,
        environment: str,
        families: MetricFamilies | None = None,
        *,
        tally: RequestTally | None = None,
    ) -> None:
        self.families = families or MetricFamilies()
        self._tally = tally
        self._named = (model, environment)
        self._seconds = _Times(self.families.seconds.labels(*self._named))
        self._unlogged = self.families.unlogged.labels(*self._named)
        self._shed = self.families.shed.labels(*self._named)
        self._unavailable = self.families.unavailable.labels(*self._named)
        self._statuses: dict[int, Counter] = {}
        self._versions: dict[tuple[str, str], _BoundVersion] = {}

    @property
    def registry(self) -> CollectorRegistry:
        """The registry that holds everything."""
        return self.families.registry

    def scored(self, requests: Sequence[tuple[Sequence[Answer], float]]) -> None:
        """Count the answers of some requests by who gave them, and how long each request took, in seconds."""
        rows, times = dict[int, int](), dict[int, list[float]]()  # by version, as the object that it is
        versions = dict[int, LoadedVersion]()
        for answers, seconds in requests:
            keys = map(id, map(_VERSION, answers))
            counts = collections.Counter(keys) if len(answers) > 1 else dict.fromkeys(keys, 1)
            for key, count in counts.items():
                rows[key] = rows.get(key, 0) + count
                times.setdefault(key, []).append(seconds)
                if key not in versions:
                    versions[key] = next(answer.version for answer in answers if id(answer.version) == key)
        for key, version in versions.items():
            self._scored(version, rows[key], times[key])

    def _scored(self, version: LoadedVersion, count: int, times: Sequence[float]) -> None:
        self._bound(version).scored(count, times)
        if self._tally is not None:
            self._tally.answered(version, count, times)

    def mirrored(self, version: LoadedVersion, count: int, seconds: float) -> None:
        """Count rows of one request that a shadow answered."""
        self._scored(version, count, [seconds])

    def failed(self, version: LoadedVersion, undefined: bool) -> None:
        """Count a request that a version could not answer, whether or not another one did in its place."""
        if self._tally is not None:
            self._tally.failed(version, undefined=undefined)

    def _bound(self, version: LoadedVersion) -> _BoundVersion:
        """Return the counters of a version in the arm that it has now."""
        name = (version.version, version.arm)
        bound = self._versions.get(name)
        if bound is None:
            if len(self._versions) >= MOST_VERSIONS:
                self._forget(next(iter(self._versions)))
            bound = self._versions[name] = _BoundVersion(self.families, (*self._named, *name), version.fallback)
        return bound

    def _forget(self, name: tuple[str, str]) -> None:
        """Let the counters of a version go; where processes count together, they stay in the folder that these share."""
        del self._versions[name]
        if not os.environ.get(SHARED_FOLDER):
            for family in (self.families.answers, self.families.answer_seconds):
                family.remove(*self._named, *name)

    def requested(self, status: int, times: Sequence[float]) -> None:
        """Count requests of one status and how long each took, in seconds."""
        bound = self._statuses.get(status)
        if bound is None:
            bound = self._statuses[status] = self.families.requests.labels(*self._named, str(status))
        bound.inc(len(times))
        self._seconds.observe(times)
        if self._tally is not None:
            self._tally.requested(status, len(times))

    def unlogged(self, count: int) -> None:
        """Count predictions that the log did not take."""
        self._unlogged.inc(count)

    def explained(self, status: int, seconds: float) -> None:
        """Count a request for explanations; it is no request for predictions, and no figure of a rollout."""
        self.families.explains.labels(*self._named, str(status)).inc()
        self.families.explain_seconds.labels(*self._named).observe(seconds)

    def dropped(self, version: LoadedVersion, count: int) -> None:
        """Count rows that a shadow never saw."""
        self.families.dropped.labels(*self._named, version.version).inc(count)
        if self._tally is not None:
            self._tally.dropped(version, count)

    def unavailable(self, error: UnavailableError) -> None:
        """Count a request that was not answered now: shed because of too much work, or because something is out."""
        if not isinstance(error, OverloadedError):
            self._unavailable.inc()
            return
        self._shed.inc()
        if self._tally is not None:
            self._tally.shed()

    def breaker(self, upstream: str, state: str) -> None:
        """Tell the state of a breaker."""
        self.families.breakers.labels(*self._named, upstream).set(BREAKER_STATES[state])

    def text(self) -> bytes:
        """Return everything in the Prometheus text format."""
        return self.families.text()


class _Times:
    """A histogram that takes several times at once, and finds the bucket of each by bisection.

    `Histogram.observe` takes one, tries one bucket after the other, and locks for each.
    """

    __slots__ = ("_add", "_buckets", "_ends")

    def __init__(self, child: Histogram) -> None:
        self._ends: list[float] = list(child._upper_bounds)
        self._add = child._sum.inc
        self._buckets = [bucket.inc for bucket in child._buckets]

    def observe(self, times: Sequence[float]) -> None:
        """Count times, in seconds."""
        self._add(sum(times))
        for place, count in collections.Counter([bisect_left(self._ends, each) for each in times]).items():
            self._buckets[place](count)


class _BoundVersion:
    """The children of one version in one arm."""

    __slots__ = ("_answers", "_fallback", "_seconds")

    def __init__(self, families: MetricFamilies, name: tuple[str, str, str, str], fallback: str) -> None:
        self._answers = families.answers.labels(*name)
        self._seconds = _Times(families.answer_seconds.labels(*name))
        self._fallback = families.fallbacks.labels(*name[:2], fallback) if fallback else None

    def scored(self, count: int, times: Sequence[float]) -> None:
        self._answers.inc(count)
        self._seconds.observe(times)
        if self._fallback is not None:
            self._fallback.inc(count)
