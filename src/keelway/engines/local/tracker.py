"""The tracker of a project that uses none, and the patience with one that is down."""

# ruff: noqa: ARG002  (the port names its arguments; nothing is done with them)

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelway.core import Digest, Scalar
from keelway.errors import EngineError

if TYPE_CHECKING:
    from keelway.train import Tracker
    from keelway.train.tracking import MetricPoint, TrackedRun

_LOG = logging.getLogger("keelway.runs")


class NoTracker:
    """Keeps nothing; every id and link is empty, and no alias is ever set."""

    keeps = False

    def announced_training(
        self,
        experiment: str,
        *,
        name: str,
        parameters: Mapping[str, Scalar],
        tags: Mapping[str, str],
        dataset_digest: Digest,
        signature_json: str,
    ) -> AbstractContextManager[None]:
        """Keep nothing."""
        return nullcontext()

    def record_training(
        self,
        experiment: str,
        *,
        name: str,
        parameters: Mapping[str, Scalar],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        dataset_digest: Digest,
        signature_json: str,
        artifacts: Mapping[str, Digest],
        example_json: str = "",
        files: Callable[[], Mapping[str, Path]] | None = None,
        seconds: float = 0.0,
    ) -> str:
        """Keep nothing."""
        return ""

    def mirror(
        self, run: TrackedRun, points: Sequence[MetricPoint], files: Mapping[str, Path], *, metrics: Mapping[str, float]
    ) -> str:
        """Keep nothing."""
        return ""

    def log_metrics(self, run: str, metrics: Mapping[str, float]) -> None:
        """Keep nothing."""

    def register_version(self, model: str, number: int, run: str, tags: Mapping[str, str]) -> str:
        """Keep nothing."""
        return ""

    def set_alias(self, model: str, alias: str, number: int) -> None:
        """Keep nothing."""

    def remove_alias(self, model: str, alias: str) -> None:
        """Keep nothing."""

    def alias_of(self, model: str, alias: str) -> int | None:
        """Return None: there are no aliases here."""
        return None


class PatientTracker:
    """Another tracker, whose failure no training waits for: a run that cannot be shown now is shown by the next sync.

    Versions and aliases are passed on as they are, and so are their failures.

    Args:
        inner: The tracker.
    """

    def __init__(self, inner: Tracker) -> None:
        self._inner = inner

    @property
    def keeps(self) -> bool:
        """Whether the tracker keeps anything."""
        return self._inner.keeps

    @property
    def strict(self) -> Tracker:
        """The tracker itself, which tells of its failures."""
        return self._inner

    def announced_training(self, experiment: str, **told: Any) -> AbstractContextManager[None]:
        """Show a training while it lasts."""
        return self._inner.announced_training(experiment, **told)

    def record_training(self, experiment: str, **told: Any) -> str:
        """Record a training, or return an empty id while the tracker fails."""
        try:
            return self._inner.record_training(experiment, **told)
        except EngineError as error:
            _LOG.warning(
                "a training of %s is kept, and waits to be mirrored (keelway runs sync): %s", experiment, error
            )
            return ""

    def mirror(
        self, run: TrackedRun, points: Sequence[MetricPoint], files: Mapping[str, Path], *, metrics: Mapping[str, float]
    ) -> str:
        """Show a run; whoever asks for that is told of a failure."""
        return self._inner.mirror(run, points, files, metrics=metrics)

    def log_metrics(self, run: str, metrics: Mapping[str, float]) -> None:
        """Add figures to a run; while the tracker fails they stay in the index alone."""
        try:
            self._inner.log_metrics(run, metrics)
        except EngineError as error:
            _LOG.warning("figures of run %s are kept, and not mirrored: %s", run, error)

    def register_version(self, model: str, number: int, run: str, tags: Mapping[str, str]) -> str:
        """Show a version."""
        return self._inner.register_version(model, number, run, tags)

    def set_alias(self, model: str, alias: str, number: int) -> None:
        """Let an alias show a version."""
        self._inner.set_alias(model, alias, number)

    def remove_alias(self, model: str, alias: str) -> None:
        """Let an alias show nothing."""
        self._inner.remove_alias(model, alias)

    def alias_of(self, model: str, alias: str) -> int | None:
        """Return what an alias shows."""
        return self._inner.alias_of(model, alias)


if TYPE_CHECKING:
    _: Tracker = NoTracker()
    _patient: Tracker = PatientTracker(NoTracker())
