"""What a scoring server counts, for Prometheus: bound once for each version, so that counting costs a microsecond."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from keelway.serve import LoadedVersion

BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class ScoringMetrics:
    """Counters and histograms in a registry of their own."""

    def __init__(self, model: str, environment: str) -> None:
        self.registry = CollectorRegistry()
        labels = ("model", "environment", "version", "arm")
        self._named = (model, environment)
        self._answers = Counter(
            "keelway_predictions", "Predictions that were answered.", labels, registry=self.registry
        )
        self._seconds = Histogram(
            "keelway_request_seconds",
            "Time from the whole request to the answer.",
            ("model", "environment"),
            registry=self.registry,
            buckets=BUCKETS_S,
        ).labels(*self._named)
        self._requests = Counter(
            "keelway_requests", "Requests by status.", ("model", "environment", "status"), registry=self.registry
        )
        self._unlogged = Counter(
            "keelway_predictions_unlogged",
            "Predictions that were answered but could not be logged.",
            ("model", "environment"),
            registry=self.registry,
        ).labels(*self._named)
        self._bound: dict[tuple[str, str], Counter] = {}
        self._statuses: dict[int, Counter] = {}

    def answered(self, version: LoadedVersion, count: int) -> None:
        """Count predictions of a version."""
        name = (version.version, version.arm)
        bound = self._bound.get(name)
        if bound is None:
            bound = self._bound[name] = self._answers.labels(*self._named, *name)
        bound.inc(count)

    def requested(self, status: int, seconds: float) -> None:
        """Count a request and how long it took."""
        bound = self._statuses.get(status)
        if bound is None:
            bound = self._statuses[status] = self._requests.labels(*self._named, str(status))
        bound.inc()
        self._seconds.observe(seconds)

    def unlogged(self, count: int) -> None:
        """Count predictions that the log did not take."""
        self._unlogged.inc(count)

    def text(self) -> bytes:
        """Return everything in the Prometheus text format."""
        return generate_latest(self.registry)
