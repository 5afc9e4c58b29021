"""The one door: asking for, approving and making a promotion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keelway.app.evidence import publish
from keelway.app.wire import Workspace
from keelway.core import VersionName
from keelway.errors import MissingRecordError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from keelway.core import Verdict
    from keelway.promote import Admission, Approval, EnvironmentRules, PromotionRequest
    from keelway.register import ModelVersion


class Gate:
    """Use cases of approvers and deployers."""

    def __init__(self, workspace: Workspace) -> None:
        self._at = workspace

    def check(self, version: str, environment: str) -> Verdict:
        """Return what the gate would say, changing nothing."""
        from keelway.promote import check_gate

        at = self._at
        return check_gate(
            self.version(version),
            environment=environment_rules(environment, at=at),
            state=at.state,
            artifacts=at.artifacts,
            engine=at.policy_engine,
            public_key=at.signing.public_key,
            now=at.now(),
        )

    def request(self, version: str, environment: str, *, comment: str = "") -> PromotionRequest:
        """Ask for a version to be let into an environment."""
        from keelway.promote import request_promotion

        at = self._at
        return request_promotion(
            self.version(version),
            environment=environment_rules(environment, at=at),
            principal=at.principal,
            state=at.state,
            artifacts=at.artifacts,
            now=at.now(),
            comment=comment,
        )

    def approve(self, version: str, environment: str, *, comment: str = "") -> Approval:
        """Approve the newest request for a version."""
        from keelway.promote import approve

        return self._answer(approve, version, environment, comment)

    def reject(self, version: str, environment: str, *, comment: str = "") -> Approval:
        """Reject the newest request for a version."""
        from keelway.promote import reject

        return self._answer(reject, version, environment, comment)

    def promote(self, version: str, environment: str, *, comment: str = "") -> Admission:
        """Let a version into an environment, and publish a checkpoint of the ledger that says so.

        Raises:
            RefusedError: The gate, a missing approval or the principal says no; every reason is told and recorded.
        """
        from keelway.promote import promote

        at = self._at
        admission = promote(
            self.version(version),
            environment=environment_rules(environment, at=at),
            principal=at.principal,
            state=at.state,
            artifacts=at.artifacts,
            engine=at.policy_engine,
            public_key=at.signing.public_key,
            tracker=at.tracker,
            now=at.now(),
            comment=comment,
        )
        publish(at)
        return admission

    def _answer(self, verb: Callable[..., Approval], version: str, environment: str, comment: str) -> Approval:
        at = self._at
        return verb(
            self.version(version),
            environment=environment_rules(environment, at=at),
            principal=at.principal,
            state=at.state,
            now=at.now(),
            comment=comment,
        )

    def version(self, name: str) -> ModelVersion:
        """Return a model version by its name, or the newest one of a model.

        Raises:
            MissingRecordError: There is none.
        """
        from keelway.register import newest_version, version_named

        with self._at.state.snapshot() as tx:
            found = version_named(VersionName(name), tx=tx) if ":" in name else newest_version(name, tx)
        if found is None:
            raise MissingRecordError(
                f"There is no version of {name}",
                expected="a registered version",
                found="none",
                fix=f"keelway run {name}",
            )
        return found


def environment_rules(name: str, *, at: Workspace) -> EnvironmentRules:
    """Return what a version needs to get into an environment.

    Raises:
        SettingsError: The environment is unknown, or names no policy.
    """
    from keelway.promote import EnvironmentRules, load_policy

    environment = at.environment(name)
    if not environment.policy:
        raise SettingsError(
            f"The environment {name} has no policy, so nothing can be let in",
            expected=f"environments.{name}.policy in keelway.toml",
            found="nothing",
            fix="Name a folder with at least one policy file.",
        )
    return EnvironmentRules(
        name=name,
        policy=load_policy(environment.policy, root=at.root),
        approvals=environment.approvals,
        service_principal=environment.service_principal,
        after=environment.after,
    )
