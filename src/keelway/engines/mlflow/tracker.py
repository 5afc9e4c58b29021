"""Mirror runs, versions and aliases into MLflow, through its client and without its inference or telemetry.

    tracker = MlflowTracker("sqlite:////var/lib/keelway/mlflow.db")

A new SQLite store takes MLflow a few seconds to create; it is opened at the first call, not before.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keelway.core import Digest, Scalar, migration_turn
from keelway.engines.mlflow.mirror import (
    KEY_TAG,
    MAX_TEXT,
    STATE_TAG,
    WHOLE,
    find_run,
    log_all,
    log_dataset,
    log_files,
    metrics_now,
    mirror_run,
)
from keelway.errors import EngineError, MissingExtraError, MissingRecordError
from keelway.train.tracking import requirements

if TYPE_CHECKING:
    from keelway.train import Tracker
    from keelway.train.tracking import MetricPoint, TrackedRun

NUMBER_TAG = "keelway.version"
SQLITE = "sqlite:///"
ANNOUNCE_AFTER_S = 2.0
_QUIET = ("alembic", "mlflow.store", "mlflow.tracking")
_turn = threading.RLock()
"""One thread of a process at a time opens a store and speaks to it."""
_LOG = logging.getLogger("keelway.runs")
_USUAL = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
"""What MLflow is told unless the environment says otherwise: no telemetry, no links among a command's answer, and to give a
server that is down up after seconds; by itself it tries for four minutes, at every call."""
_AWAY = re.compile(r"API request to (https?://[^/\s]+)\S* failed with exception \w*ConnectionPool")


@dataclass(frozen=True, slots=True)
class _Shown:
    """A training's run in MLflow, and whether it is shown whole already."""

    run_id: str
    whole: bool = False


class Announcement:
    """Shows a training as running in a thread beside it, unless it is over before.

    Args:
        begin: Shows it.
        after_s: How long to wait with that, in seconds.
    """

    def __init__(self, begin: Callable[[], _Shown], *, after_s: float) -> None:
        self._begin, self._after_s = begin, after_s
        self._shown: _Shown | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._wait, name="keelway-announce", daemon=True)
        self._thread.start()

    def end(self) -> _Shown | None:
        """Return the run of the training if it was shown; it is not, from now on."""
        self._over.set()
        self._thread.join()
        return self._shown

    def _wait(self) -> None:
        if self._over.wait(self._after_s):
            return
        try:
            self._shown = self._begin()
        except EngineError as error:
            _LOG.info("a training is not announced: %s", error)


class MlflowTracker:
    """A tracker on an MLflow store or server.

    Args:
        uri: MLflow's tracking URI, such as `sqlite:////path/mlflow.db` or `https://host`; also its registry's.
        artifact_root: Where MLflow believes artifacts to be; beside a SQLite file by default.
        announce_after_s: How long a training lasts before it is shown as running, in seconds.
    """

    keeps = True

    def __init__(
        self, uri: str, *, artifact_root: Path | None = None, announce_after_s: float = ANNOUNCE_AFTER_S
    ) -> None:
        self._uri = uri
        self._artifact_root = artifact_root
        self._opened: Any = None
        self._announce_after_s = announce_after_s
        self._announced: dict[str, _Shown] = {}

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
        """Record one finished training, or return the run that has its key."""
        key = tags.get(KEY_TAG, "")
        begun = self._announced.pop(key, None)
        with self._client() as client:
            run = begun or self._begun(
                client, experiment, name=name, parameters=parameters, tags=tags, dataset_digest=dataset_digest,
                signature_json=signature_json, seconds=seconds,
            )  # fmt: skip
            if run.whole:
                return run.run_id
            log_files(
                client,
                run.run_id,
                files() if files else {},
                signature_json=signature_json,
                example_json=example_json,
                requirements=requirements(),
            )
            made = {f"keelway.artifact.{role}": digest for role, digest in artifacts.items()}
            log_all(client, run.run_id, metrics=metrics_now(metrics), parameters={}, tags={**made, STATE_TAG: WHOLE})
            client.set_terminated(run.run_id, "FINISHED")
            return run.run_id

    @contextlib.contextmanager
    def announced_training(
        self,
        experiment: str,
        *,
        name: str,
        parameters: Mapping[str, Scalar],
        tags: Mapping[str, str],
        dataset_digest: Digest,
        signature_json: str,
    ) -> Iterator[None]:
        """Show a training as running from its third second on, in a thread beside it, and as failed where it fails."""

        def begin() -> _Shown:
            with _turn, translated():
                return self._begun(
                    self._opened, experiment, name=name, parameters=parameters, tags=tags,
                    dataset_digest=dataset_digest, signature_json=signature_json,
                )  # fmt: skip

        key = tags.get(KEY_TAG, "")
        announcement = Announcement(begin, after_s=self._announce_after_s) if self._reached() else None
        try:
            yield
        except BaseException as error:
            with contextlib.suppress(EngineError):  # that the training failed is what counts
                if announcement is not None and not (shown := announcement.end() or begin()).whole:
                    self._failed(shown.run_id, str(error) or type(error).__name__)
            raise
        if announcement is not None and (running := announcement.end()) is not None:
            self._announced[key] = running

    def _reached(self) -> bool:
        """Open the store; say whether it could be. A thread beside a training must not import."""
        try:
            with self._client():
                return True
        except EngineError as error:
            _LOG.info("trainings are not announced: %s", error)
            return False

    def _failed(self, run_id: str, reason: str) -> None:
        with self._client() as client:
            client.set_tag(run_id, "keelway.error", reason[:MAX_TEXT])
            client.set_terminated(run_id, "FAILED")

    def _begun(
        self,
        client: Any,
        experiment: str,
        *,
        name: str,
        parameters: Mapping[str, Scalar],
        tags: Mapping[str, str],
        dataset_digest: Digest,
        signature_json: str,
        seconds: float = 0.0,
    ) -> _Shown:
        """Return the run of a training with what is known at its beginning; one that has its key is taken up again."""
        place = self._experiment(client, experiment)
        if (known := find_run(client, place, tags[KEY_TAG]) if tags.get(KEY_TAG) else None) is not None:
            shown = _Shown(str(known.info.run_id), whole=known.data.tags.get(STATE_TAG) == WHOLE)
            if shown.whole:
                return shown
        else:
            told = {**tags, "keelway.dataset": dataset_digest, "keelway.signature": signature_json}
            told |= {STATE_TAG: "part"} if tags.get(KEY_TAG) else {}
            started = int((time.time() - seconds) * 1000)
            made = client.create_run(
                place, start_time=started, run_name=name, tags={each: value[:MAX_TEXT] for each, value in told.items()}
            )
            shown = _Shown(str(made.info.run_id))
        log_all(client, shown.run_id, metrics=(), parameters=parameters, tags={})
        log_dataset(client, shown.run_id, name="feature_table", digest=dataset_digest, signature_json=signature_json)
        return shown

    def mirror(
        self, run: TrackedRun, points: Sequence[MetricPoint], files: Mapping[str, Path], *, metrics: Mapping[str, float]
    ) -> str:
        """Show a run that ended, whole, and return its id; one that was shown in part is completed."""
        with self._client() as client:
            place = self._experiment(client, run.experiment)
            return mirror_run(client, place, run, points, files, metrics=metrics)

    def log_metrics(self, run: str, metrics: Mapping[str, float]) -> None:
        """Add figures to a run in one call."""
        if run:
            with self._client() as client:
                client.log_batch(run, metrics=metrics_now(metrics))

    def register_version(self, model: str, number: int, run: str, tags: Mapping[str, str]) -> str:
        """Show a version, linked to its run, or return the link of the one that has its key."""
        from_key = tags.get(KEY_TAG, "")
        with self._client() as client:
            self._make_model(client, model)
            for known in client.search_model_versions(f"name = '{model}'"):
                if from_key and known.tags.get(KEY_TAG) == from_key:
                    client.set_model_version_tag(model, known.version, NUMBER_TAG, str(number))
                    return f"models:/{model}/{known.version}"
            source = tags.get("keelway.onnx", f"{model}/{number}")
            made = client.create_model_version(
                model, source=f"keelway:/{source}", run_id=run or None, tags={**tags, NUMBER_TAG: str(number)}
            )
            return f"models:/{model}/{made.version}"

    def set_alias(self, model: str, alias: str, number: int) -> None:
        """Let an alias show a version."""
        with self._client() as client:
            for known in client.search_model_versions(f"name = '{model}'"):
                if known.tags.get(NUMBER_TAG) == str(number):
                    client.set_registered_model_alias(model, alias, known.version)
                    return
        raise MissingRecordError(f"MLflow holds no version {number} of {model}", fix="Register the version again.")

    def remove_alias(self, model: str, alias: str) -> None:
        """Let an alias show nothing."""
        with self._client() as client:
            if any(alias in known.aliases for known in client.search_registered_models(f"name = '{model}'")):
                client.delete_registered_model_alias(model, alias)

    def alias_of(self, model: str, alias: str) -> int | None:
        """Return the number of the version an alias shows; a version that Keelway did not register counts as 0."""
        with self._client() as client:
            for known in client.search_registered_models(f"name = '{model}'"):
                version = known.aliases.get(alias)
                if version is not None:
                    return int(client.get_model_version(model, version).tags.get(NUMBER_TAG, "0"))
        return None

    @contextlib.contextmanager
    def _client(self) -> Iterator[Any]:
        """Lend MLflow's client; its errors are translated."""
        with _turn:
            if self._opened is None:
                self._opened = _open(self._uri)
            with translated():
                yield self._opened

    def _experiment(self, client: Any, name: str) -> str:
        known = client.get_experiment_by_name(name)
        if known is not None:
            return str(known.experiment_id)
        return str(client.create_experiment(name, artifact_location=self._location(name)))

    def _location(self, name: str) -> str | None:
        if self._artifact_root is not None:
            return str(self._artifact_root / name)
        if self._uri.startswith(SQLITE):
            return str(Path(self._uri.removeprefix(SQLITE)).absolute().parent / "mlflow-artifacts" / name)
        return None

    def _make_model(self, client: Any, model: str) -> None:
        if not client.search_registered_models(f"name = '{model}'", max_results=1):
            client.create_registered_model(model)


def _open(uri: str) -> Any:
    """Return MLflow's client, and set write-ahead mode on a SQLite file."""
    for name, value in _USUAL.items():
        os.environ.setdefault(name, value)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise MissingExtraError(
            "The MLflow engine needs one more package: pip install 'keelway[mlflow]'",
            fix="pip install 'keelway[mlflow]'",
        ) from error
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    turn = contextlib.nullcontext() if uri.startswith("http") else migration_turn
    with turn, translated():
        _write_ahead(uri)
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_experiments(max_results=1)  # creates the tables
    return client


def _write_ahead(uri: str) -> None:
    if uri.startswith(SQLITE):
        import sqlite3

        path = Path(uri.removeprefix(SQLITE))
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Translate what MLflow and the database under it raise."""
    import sqlite3

    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise EngineError(
            "MLflow failed",
            found=_in_words(error),
            fix="Check engines.tracking in keelway.toml and that the store can be written.",
        ) from error


def _in_words(error: Exception) -> str:
    """Return the first line of an error; of a server that cannot be reached, which one."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    away = _AWAY.match(first)
    return f"no answer from {away[1]}" if away else first[:300]


if TYPE_CHECKING:
    _: Callable[[str], Tracker] = MlflowTracker
