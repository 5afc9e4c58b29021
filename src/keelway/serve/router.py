"""Which loaded version answers a request: the deployment as it stands, read again every second.

A new version is loaded and verified before it answers anything, then everything is switched at once; a request sees
one deployment from its beginning to its end. Where the state cannot be read, or a version fails its checks, the last
known good deployment goes on and the reason is told.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keelway.core import Digest, Environment, VersionName, digest_of
from keelway.deploy import CANARY, STABLE, Deployment, assign, current
from keelway.errors import KeelwayError, MissingRecordError, ServingError
from keelway.serve.line import LineWriter
from keelway.serve.ports import LoadScorer, Scorer
from keelway.serve.schema import RequestSchema

if TYPE_CHECKING:
    from keelway.ledger import StateStore

POLL_EVERY_S = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """One version, verified and ready to answer.

    Attributes:
        schema: Reads the requests for its features.
        writer: Writes its lines of the prediction log.
    """

    version: VersionName
    digest: Digest
    arm: str
    scorer: Scorer
    schema: RequestSchema
    writer: LineWriter


@dataclass(frozen=True, slots=True)
class LoadedDeployment:
    """A deployment with every version it needs."""

    deployment: Deployment
    versions: dict[VersionName, LoadedVersion]

    @property
    def stable(self) -> LoadedVersion:
        """The version that answers what no canary takes."""
        return self.versions[self.deployment.stable]

    def version_for(self, entity: str) -> LoadedVersion:
        """Return the version that answers for an entity."""
        return self.versions[assign(entity, self.deployment)[0]]


class Router:
    """Keeps the deployment of one model in one environment loaded.

    Args:
        load: Loads a version and refuses it when a byte is not as promised.
        on_switch: Told whenever another deployment begins to answer.
    """

    def __init__(
        self,
        model: str,
        environment: Environment,
        *,
        state: StateStore,
        load: LoadScorer,
        on_switch: Callable[[LoadedDeployment], None] = lambda _loaded: None,
    ) -> None:
        self.model = model
        self.environment = environment
        self._state = state
        self._load = load
        self._on_switch = on_switch
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="keelway-router", daemon=True)
        self.problem = ""
        self.loaded = self._loaded(self._desired(), {})

    def start(self) -> None:
        """Begin to look for other deployments in the background."""
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def refresh(self) -> bool:
        """Load what the state asks for now; say whether something else answers from here on.

        Where that cannot be loaded, what was loaded before goes on and `problem` says why.
        """
        try:
            desired = self._desired()
            if desired == self.loaded.deployment:
                self.problem = ""
                return False
            loaded = self._loaded(desired, self.loaded.versions)
        except KeelwayError as error:
            if str(error) != self.problem:
                _log.error("The deployment of %s goes on as it was: %s", self.model, error)
            self.problem = str(error)
            return False
        self.loaded = loaded
        self.problem = ""
        self._on_switch(loaded)
        return True

    def _desired(self) -> Deployment:
        with self._state.snapshot() as tx:
            deployment = current(self.model, self.environment, tx)
        if deployment is None:
            raise MissingRecordError(
                f"{self.model} is not deployed to {self.environment}",
                expected="a deployment",
                found="none",
                fix=f"keelway deploy {self.model} --env {self.environment}",
            )
        return deployment

    def _loaded(self, deployment: Deployment, before: dict[VersionName, LoadedVersion]) -> LoadedDeployment:
        """Load what is not loaded yet; a version that is keeps its scorer."""
        name = digest_of(deployment)
        versions = {}
        for version in deployment.traffic:
            digest = deployment.versions[version]
            known = before.get(version)
            scorer = known.scorer if known is not None and known.digest == digest else self._load(version, digest)
            schema = RequestSchema(scorer.features)
            arm = CANARY if version == deployment.canary else STABLE
            writer = LineWriter(
                model=self.model,
                version=version,
                version_digest=digest,
                deployment=name,
                environment=self.environment,
                arm=arm,
                features=schema.names,
            )
            versions[version] = LoadedVersion(version, digest, arm, scorer, schema, writer)
        loaded = LoadedDeployment(deployment, versions)
        _must_take_the_same_requests(loaded)
        return loaded

    def _poll(self) -> None:
        while not self._stop.wait(POLL_EVERY_S):
            self.refresh()


def _must_take_the_same_requests(loaded: LoadedDeployment) -> None:
    """Refuse a canary that asks for other features: a caller does not know which arm will answer."""
    expected = tuple(loaded.stable.scorer.features)
    for version in loaded.versions.values():
        if tuple(version.scorer.features) != expected:
            raise ServingError(
                f"{version.version} takes other requests than {loaded.stable.version}",
                expected=", ".join(feature.name for feature in expected),
                found=", ".join(feature.name for feature in version.scorer.features),
                fix="Deploy it to all traffic at once, after the callers send what it needs.",
            )
