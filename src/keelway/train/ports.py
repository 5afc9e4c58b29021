"""What training asks of the world: a place that shows runs and versions to people who know an experiment tracker.

The tracker is a mirror. Nothing Keelway decides is read from it, so `NoTracker` (which keeps nothing) is a full answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from keelway.core import Digest, Scalar
from keelway.train.tracking.record import MetricPoint, TrackedRun


class Tracker(Protocol):
    """Shows training runs and model versions to people and tools that know an experiment tracker.

    Promises: `record_training` and `register_version` are idempotent by the tag `keelway.key`: called again with the same
    key they return what the first call made, so that a step can be repeated after a crash; so is `mirror` by the id of
    the run. A failure of the service raises `EngineError`, chained with the vendor's error. Safe to use from several threads.
    """

    @property
    def keeps(self) -> bool:
        """Whether anything is kept; where nothing is, nobody need read records to show them."""
        ...

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
        """Show a training while it lasts: as running once it has lasted a while, as failed with the reason where it fails.

        `record_training` with its key then completes that run. A training that is over soon is not held up: what the
        tracker has to do, it does beside the training, and that it fails is no failure of the training. The arguments
        are those of `record_training`.
        """
        ...

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
        """Record one finished training and return the run's id (empty where nothing is kept).

        Args:
            experiment: The experiment's name, made where it does not exist.
            name: The run's name, for people.
            parameters: What the training was given.
            metrics: Finite figures known at the end of training.
            tags: Texts to find the run by; `keelway.key` identifies the training.
            dataset_digest: The feature table's record.
            signature_json: Inputs and outputs as JSON, given by the caller; nothing is inferred.
            artifacts: Role to digest of what the training made.
            example_json: An example of the inputs, in the layout of a pandas frame that is split, or empty.
            files: Returns name to file of what it left; only asked where something is kept.
            seconds: How long it took.
        """
        ...

    def mirror(
        self, run: TrackedRun, points: Sequence[MetricPoint], files: Mapping[str, Path], *, metrics: Mapping[str, float]
    ) -> str:
        """Show a run that ended, whole, and return its id there (empty where nothing is kept).

        A run that was shown in part, because something died meanwhile, is completed and not shown twice.

        Args:
            run: The run.
            points: Every value of its figures, in order.
            files: Name to file of what it left.
            metrics: Figures that became known after its end.
        """
        ...

    def log_metrics(self, run: str, metrics: Mapping[str, float]) -> None:
        """Add finite figures to a run; an empty run id is ignored."""
        ...

    def register_version(self, model: str, number: int, run: str, tags: Mapping[str, str]) -> str:
        """Show a model version and return its link (empty where nothing is kept).

        The link names the registry's own number, which differs from `number` where the registry was used by others;
        the tag `keelway.version` holds ours.
        """
        ...

    def set_alias(self, model: str, alias: str, number: int) -> None:
        """Let an alias (an environment's name) show the version that Keelway calls `number`.

        Raises:
            MissingRecordError: The tracker holds no version of that number.
        """
        ...

    def remove_alias(self, model: str, alias: str) -> None:
        """Let an alias show nothing; one that is not there stays so."""
        ...

    def alias_of(self, model: str, alias: str) -> int | None:
        """Return the number, in Keelway's count, of the version an alias shows, or None where there is none."""
        ...
