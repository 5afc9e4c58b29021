"""The one door: asking for, approving and making a promotion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keelway.app.wire import Workspace
from keelway.core import VersionName
from keelway.errors import MissingRecordError

if TYPE_CHECKING:
    from collections.abc import Callable

    from keelway.core import Verdict
    from keelway.promote import Admission, Approval, PromotionRequest
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
            environment=at.rules(environment),
            state=at.state,
            artifacts=at.artifacts,
            engine=at.policy_engine,
            public_key=at.public_key,
            now=at.now(),
        )

    def request(self, version: str, environment: str, *, comment: str = "") -> PromotionRequest:
        """Ask for a version to be let into an environment."""
        from keelway.promote import request_promotion

        at = self._at
        return request_promotion(
            self.version(version),
            environment=at.rules(environment),
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
            environment=at.rules(environment),
            principal=at.principal,
            state=at.state,
            artifacts=at.artifacts,
            engine=at.policy_engine,
            public_key=at.public_key,
            tracker=at.tracker,
            now=at.now(),
            comment=comment,
        )
        at.publish_checkpoint()
        return admission

    def _answer(self, verb: Callable[..., Approval], version: str, environment: str, comment: str) -> Approval:
        at = self._at
        return verb(
            self.version(version),
            environment=at.rules(environment),
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
