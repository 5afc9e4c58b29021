"""Traffic without a trained model: a state with versions that an environment let in, and everything that moves traffic.

>>> fleet = Fleet(folder)      # doctest: +SKIP
>>> fleet.fill()               # doctest: +SKIP
>>> fleet.deploy(A)            # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from keelway.core import (
    Decision,
    Environment,
    PrincipalId,
    Verdict,
    VersionName,
    digest_bytes,
    digest_of,
    split_version,
    version_name,
)
from keelway.deploy import (
    ArmVerdict,
    BegunRollout,
    Deployment,
    NextMove,
    RolloutScene,
    RolloutState,
    SmokeResult,
    begin_rollout,
    carry_out,
    current,
    deploy,
    history,
    rollback,
    rollout_scene,
    rollout_state,
    rollouts_of,
    seen,
    turn,
)
from keelway.deploy.analysis import MeasuredFigure, Outcome, RolloutVerdict
from keelway.engines.sql import SqlState
from keelway.ledger import StateStore, Transaction, decisions
from keelway.project import Rollout
from keelway.promote import Admission
from keelway.register import ModelVersion, Parity

NOW = datetime(1998, 6, 1, tzinfo=UTC)
PROD = Environment("prod")
CI = PrincipalId("sp:ci")
D = digest_bytes(b"x")
A, B, C, UNADMITTED = (version_name("churn", number) for number in (1, 2, 3, 4))


def passes(version: ModelVersion) -> SmokeResult:
    """Let a version pass its smoke test."""
    return SmokeResult(version.name, digest_of(version), passed=True, answers=50)


def fails(version: ModelVersion) -> SmokeResult:
    """Let a version fail its smoke test."""
    return SmokeResult(version.name, digest_of(version), False, 50, ("3 of 50 answers are no probability",))


def verdict_of(outcome: Outcome, *, harm: float = 0.0, requests: int = 900) -> RolloutVerdict:
    """Return a verdict with one figure, `error_rate`."""
    figure = MeasuredFigure("error_rate", "open", harm, None, None, f"error_rate is {harm}")
    return RolloutVerdict(outcome, (f"because of {outcome}",), (figure,), 0.5, (requests, requests))


class Fleet:
    """A state database with three versions of `churn` that prod admitted and one that it did not.

    Attributes:
        now: The moment at which everything happens; tests move it.
        followed: The versions that the environment's pointer was taken to.
    """

    def __init__(self, folder: Path) -> None:
        self.state: StateStore = SqlState(f"sqlite:///{folder / 'state.db'}")
        self.now = NOW
        self.followed: list[VersionName] = []

    def fill(self, model: str = "churn") -> None:
        """Register the versions, and let them in."""
        with self.state.transaction() as tx:
            for number in (1, 2, 3, 4):
                version = model_version(number, model)
                tx.insert(version.name, version, parent=model, at=NOW)
                if number != 4:
                    parent = f"prod/{version.name}"
                    tx.insert(f"{parent}/1", admission(version), parent=parent, at=NOW)

    def deploy(self, stable: VersionName, **changed: Any) -> Deployment:
        """Give all traffic to a version."""
        ports = self._ports() | {"model": split_version(stable)[0], "environment": PROD, "smoke": passes}
        return deploy(stable=stable, **(ports | changed))

    def canary(self, version: VersionName, percent: int = 10, **changed: Any) -> BegunRollout:
        """Begin a rollout of one step."""
        return self.begin(Rollout.canary("prod", steps=(percent,)), version, **changed)

    def begin(self, rollout: Rollout, *versions: VersionName, **changed: Any) -> BegunRollout:
        """Begin a rollout."""
        model = split_version(versions[0])[0] if versions else "churn"
        return begin_rollout(model, versions, rollout=rollout, **(self._ports() | {"smoke": passes} | changed))

    def look(self, *outcomes: Outcome, model: str = "churn", **more: Any) -> Deployment:
        """Look at the rollout of a model: one outcome for each version that is tried, in their order."""
        scene = self.scene(model)
        verdicts = [
            ArmVerdict(arm, version, verdict_of(outcome))
            for (arm, version), outcome in zip(scene.arms, outcomes, strict=True)
        ]
        return self.carry_out(scene, seen(scene, verdicts, self.now), verdicts, **more)

    def carry_out(
        self, scene: RolloutScene, move: NextMove, verdicts: Sequence[ArmVerdict] = (), **more: Any
    ) -> Deployment:
        """Make a move, whatever led to it."""
        return carry_out(scene, verdicts, move, follow=self._follow, **(self._ports() | more))

    def scene(self, model: str = "churn") -> RolloutScene:
        """Return the rollout that goes on."""
        with self.state.snapshot() as tx:
            return rollout_scene(model, PROD, tx)

    def turn(self, to: Literal["pause", "resume", "stop"]) -> Deployment:
        """Tell the rollout of `churn` what to do."""
        return turn("churn", PROD, to, follow=self._follow, **self._ports())

    def passing(self, hours: float) -> None:
        """Let time pass."""
        self.now += timedelta(hours=hours)

    def rollback(self) -> Deployment:
        """Take the traffic back."""
        return rollback("churn", environment=PROD, **self._ports())

    def current(self, model: str = "churn") -> Deployment | None:
        """Return the traffic as it is."""
        with self.state.snapshot() as tx:
            return current(model, PROD, tx)

    def rollout_state(self) -> RolloutState:
        """Return where the newest rollout stands."""
        with self.state.snapshot() as tx:
            return rollout_state(rollouts_of("churn", PROD, tx)[0], tx)

    def history(self) -> list[Deployment]:
        """Return all deployments, newest first."""
        with self.state.snapshot() as tx:
            return history("churn", PROD, tx)

    def decisions(self) -> list[Decision]:
        """Return the ledger."""
        with self.state.snapshot() as tx:
            return [decision for _, decision in decisions(tx)]

    def everything(self) -> tuple[Deployment | None, list[Deployment], list[Decision]]:
        """Return what a test compares when nothing may have changed."""
        return self.current(), self.history(), self.decisions()

    def _ports(self) -> dict[str, Any]:
        return {"state": self.state, "principal": CI, "now": self.now}

    def _follow(self, version: ModelVersion, *, tx: Transaction) -> tuple[str, ...]:
        self.followed.append(version.name)
        return ()


def model_version(number: int, model: str = "churn") -> ModelVersion:
    """Return the record of a version; nothing that it names exists."""
    return ModelVersion(
        name=version_name(model, number), model=model, number=number, semver="1.0.0", onnx=D, pipeline=D,
        features=(), entity="c", parity=Parity(9, 1e-7, 1e-5, True, True), trained=D, scorecard=D, feature_table=D,
        profile=D, run_id="r", author=PrincipalId("user:ana"), created_at=NOW, statement=D, registry_link="",
    )  # fmt: skip


def admission(version: ModelVersion, *, allowed: bool = True) -> Admission:
    """Return what a door said about a version."""
    verdict = Verdict(allowed, () if allowed else ("no",), ("all",), D, D)
    return Admission(version.name, digest_of(version), "prod", D, verdict, None, (), CI, NOW)
