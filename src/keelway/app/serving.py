"""What a serving process is made of: routers that keep running while everything else is down, and where predictions go."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from keelway.app.persons import log_store
from keelway.app.training_rows import training_rows
from keelway.app.way_back import check_mover, gone_back, must_be_mover
from keelway.app.wire import Workspace
from keelway.core import Environment, VersionName, digest_of
from keelway.errors import EngineError, IntegrityError, KeelwayError, MissingRecordError

if TYPE_CHECKING:
    from keelway.core import ArtifactStore, Digest
    from keelway.engines.local.last_good import FileLastGood, KeptBytes
    from keelway.ledger import Transaction
    from keelway.register import ModelVersion
    from keelway.serve import (
        Breaker,
        BreakerState,
        JournalLog,
        LoadedDeployment,
        Pin,
        RequestTally,
        Router,
        Scorer,
        SegmentLog,
        ShedRule,
        TallyKeeper,
    )


WARM_ROWS = 64
"""Rows of the training that a version answers before it answers anybody."""


def router_for(
    model: str,
    environment: str,
    *,
    at: Workspace,
    records_pins: bool = True,
    on_breaker: Callable[[str, BreakerState], None] = lambda _upstream, _state: None,
    on_switch: Callable[[LoadedDeployment], None] = lambda _loaded: None,
    replica: str = "",
) -> Router:
    """Load what is deployed, verified, or the last known good where state or store are down.

    Args:
        records_pins: Whether this process records rollbacks that were asked for on this machine; of several, one does.
        on_breaker: Told whenever the breaker of a process that runs a Python model changes.
        on_switch: Told whenever another deployment begins to answer.
        replica: What this process is called in the state while it answers; empty for one that answers nobody.

    Raises:
        IntegrityError: A version's bytes or signature are not as promised; nothing is served.
        MissingRecordError: Nothing is deployed, and nothing is kept.
    """
    from keelway.serve import MemoryBudget, Presence, Router, ServingCare, parse_fallback

    at.environment(environment)
    serving, place, state = at.settings.serving, Environment(environment), StateWhenThere(at)
    versions = VersionSource(at, last_good(model, environment, at=at), on_breaker=on_breaker)
    care = ServingCare(
        MemoryBudget(serving.memory_mb),
        size_of=versions.size_of,
        rows_of=versions.rows_of,
        fetch=versions.fetch,
        chain=tuple(parse_fallback(link) for link in serving.fallback.get(model, [])),
        digest_named=versions.digest_named,
        last_good=versions.kept,
        record_pin=(lambda pin: record_pin(pin, at=at)) if records_pins else None,
        presence=Presence(replica, model, place, state=state, clock=at.clock) if replica else None,
    )
    return Router(model, place, state=state, load=versions.load, care=care, on_switch=on_switch)


def log_for(model: str, environment: str, *, at: Workspace, on_unlogged: Callable[[int], None]) -> JournalLog:
    """Return the prediction log of a model; it needs the state only to seal."""
    from keelway.serve import JournalLog, SealingPorts

    return JournalLog(
        model,
        environment=environment,
        journals=at.journals,
        ports=SealingPorts(
            StateWhenThere(at), log_store(at.project.model(model), at=at), at.principal.id, pack=at.packing
        ),
        clock=at.clock,
        refuses=at.settings.serving.unlogged == "refuse",
        on_unlogged=on_unlogged,
    )


def batch_log_for(model: str, environment: str, *, batch: str, at: Workspace) -> SegmentLog:
    """Return where the predictions of a batch are kept, by its name."""
    from keelway.serve import SealingPorts, SegmentLog

    ports = SealingPorts(at.state, log_store(at.project.model(model), at=at), at.principal.id)
    return SegmentLog(model, environment, batch=batch, ports=ports, clock=at.clock)


def keeper_for(model: str, environment: str, *, tally: RequestTally, at: Workspace) -> TallyKeeper:
    """Return what keeps counted requests; it needs the state only to keep them, and waits for it."""
    from keelway.serve import TallyKeeper

    return TallyKeeper(model, Environment(environment), tally=tally, state=StateWhenThere(at), clock=at.clock)


def last_good(model: str, environment: str, *, at: Workspace) -> FileLastGood | None:
    """Return where this machine keeps what it serves of a model; None where it keeps nothing."""
    from keelway.engines.local.last_good import FileLastGood

    folder = at.settings.serving.last_good
    return FileLastGood(at.root / folder, model, environment) if folder else None


def pin_rollback(model: str, environment: str, *, to: str, comment: str, at: Workspace) -> Pin:
    """Ask the servers of this machine to go back, without the state; the ledger learns of it when it can be written.

    Raises:
        IdentityError: The principal may not move the environment.
        MissingRecordError: Nothing to go back to is kept on this machine.
    """
    from keelway.serve import pin_back

    check_mover(environment, at=at)  # a refusal cannot be recorded, because the state is away
    kept = last_good(model, environment, at=at)
    if kept is None:
        raise MissingRecordError("This machine keeps nothing", expected="serving.last_good", found="an empty setting")
    pin = pin_back(
        kept.deployments(),
        to=VersionName(to) if to else None,
        principal=at.principal.id,
        now=at.now(),
        comment=comment,
    )
    kept.set_pin(pin)
    return pin


def record_pin(pin: Pin, *, at: Workspace) -> None:
    """Make a rollback that was asked for on this machine a decision of whoever serves, naming who asked and when.

    Raises:
        KeelwayError: It cannot be recorded; the pin goes on to hold.
    """
    told = f"asked for without the state by {pin.principal} at {pin.at.isoformat()}"
    must_be_mover(pin.environment, at=at)
    gone_back(
        pin.model, pin.environment, to=pin.version, comment=f"{pin.comment}; {told}" if pin.comment else told, at=at
    )


def shed_rule(at: Workspace) -> ShedRule:
    """Return when requests are refused because of too much work."""
    from keelway.serve import ShedRule

    serving = at.settings.serving
    return ShedRule(target_s=serving.shed_wait_ms / 1000, most=serving.most_requests)


def breaker_of(names: tuple[str, ...], *, at: Workspace, on_state: Callable[[str, BreakerState], None]) -> Breaker:
    """Return a breaker around upstreams of a server."""
    from keelway.serve import Breaker, BreakerRule

    serving = at.settings.serving
    rule = BreakerRule(
        consecutive_failures=serving.breaker_failures,
        base_ejection_s=serving.breaker_ejection_s,
        max_ejection_s=10 * serving.breaker_ejection_s,
    )
    return Breaker(names, rule=rule, clock=time.monotonic, on_state=on_state)


class StateWhenThere:
    """The state of a project, opened when it is first needed and again after it was away."""

    def __init__(self, at: Workspace) -> None:
        self._at = at

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Open a transaction that may write."""
        return self._at.state.transaction()

    def snapshot(self) -> AbstractContextManager[Transaction]:
        """Open a transaction that only reads."""
        return self._at.state.snapshot()

    def close(self) -> None:
        """Leave the state to the workspace, which closes it."""


class VersionSource:
    """Loads versions from state and store, or from what is kept where these are down; everything is checked either way.

    Args:
        kept: What this machine keeps; None keeps nothing.
    """

    def __init__(
        self,
        at: Workspace,
        kept: FileLastGood | None = None,
        *,
        on_breaker: Callable[[str, BreakerState], None] = lambda _upstream, _state: None,
    ) -> None:
        self._at = at
        self._on_breaker = on_breaker
        self.kept = kept

    def load(self, name: VersionName, digest: Digest) -> Scorer:
        """Load a version for serving: its record, signature and bytes checked."""
        from keelway.register import scorer_of

        version = self.record(name, digest)
        data, members = self._read(version, digest)
        return self._python_scorer(version, members) if members else scorer_of(version, data)

    def plan(self, version: ModelVersion, digest: Digest) -> bytes | None:
        """Return the checked plan of a version; None where it has none."""
        return None if version.plan is None else self._read(version, digest)[0]

    def rows_of(self, name: VersionName, digest: Digest) -> list[list[Any]]:
        """Return the first rows that a version was trained on; none where they cannot be read."""
        try:
            return training_rows(self.record(name, digest), at=self._at, limit=WARM_ROWS, spread=False)
        except KeelwayError:
            return []

    def fetch(self, name: VersionName, digest: Digest) -> None:
        """Read what loading a version would read, so that it is kept."""
        self._read(self.record(name, digest), digest)

    def record(self, name: VersionName, digest: Digest) -> ModelVersion:
        """Return the record of a version.

        Raises:
            IntegrityError: It is not the one that was deployed.
        """
        from keelway.register import version_named

        try:
            with self._at.state.snapshot() as tx:
                version = version_named(name, tx=tx)
        except (EngineError, MissingRecordError, IntegrityError):
            found = self.kept.record(digest) if self.kept else None
            if found is None:
                raise
            version = found
        if digest_of(version) != digest:
            raise IntegrityError(
                f"{name} is not the version that was deployed", expected=digest, found=digest_of(version)
            )
        return version

    def digest_named(self, name: VersionName) -> Digest:
        """Return the digest of a version's record."""
        from keelway.register import version_named

        with self._at.state.snapshot() as tx:
            return digest_of(version_named(name, tx=tx))

    def size_of(self, name: VersionName, digest: Digest) -> int:
        """Return how many bytes a version's artifacts take; 0 where that cannot be told."""
        try:
            return self._bytes().size_of(self.record(name, digest).served) or 0
        except KeelwayError:
            return 0

    def _read(self, version: ModelVersion, digest: Digest) -> tuple[bytes, dict[Digest, bytes]]:
        """Return the bytes that answer, and, of a model that is served as Python, all that its process needs."""
        from keelway.register import load_served
        from keelway.train import member_pipelines

        source = self._bytes()
        data = load_served(version, artifacts=source, public_key=self._at.signing.public_key)
        members: dict[Digest, bytes] = {}
        if version.served_form == "python":
            needed = member_pipelines(version.pipeline, artifacts=source).values()
            members = {each: source.get(each) for each in (version.pipeline, *needed)}
        self._note(version, digest, source)
        return data, members

    def _python_scorer(self, version: ModelVersion, artifacts: dict[Digest, bytes]) -> Scorer:
        """Start the processes of a model that is served as Python."""
        from keelway.engines.local.python_worker.messages import WorkerModel
        from keelway.engines.local.python_worker.scorer import PythonScorer
        from keelway.engines.local.python_worker.waiting import PythonRule

        at, serving = self._at, self._at.settings.serving
        rule = PythonRule(
            processes=serving.python_workers,
            batch=serving.python_batch,
            wait_s=serving.python_wait_ms / 1000,
            timeout_s=serving.python_timeout_s,
            shed=shed_rule(at),
        )
        names = tuple(f"{version.name}/{number}" for number in range(rule.processes))
        model = WorkerModel(
            pipeline=version.pipeline,
            artifacts=artifacts,
            features=version.features,
            task=version.task,
            classes=version.classes,
            folders=(str(at.root / at.settings.project.source),),
            module=at.settings.project.module,
            memory_mb=serving.python_memory_mb,
        )
        return PythonScorer(model, names=names, rule=rule, breaker=breaker_of(names, at=at, on_state=self._on_breaker))

    def _bytes(self) -> ArtifactStore:
        return self.kept.bytes_behind(lambda: self._at.artifacts) if self.kept else self._at.artifacts

    def _note(self, version: ModelVersion, digest: Digest, source: ArtifactStore | KeptBytes) -> None:
        from keelway.engines.local.last_good import KeptBytes

        if self.kept is not None and isinstance(source, KeptBytes):
            self.kept.note(digest, version, source.used)
