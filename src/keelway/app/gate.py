"""The one door: asking for, approving and making a promotion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keelway.app.publishing import publish
from keelway.app.registries import registry_of
from keelway.app.wire import LOCAL, Workspace, directory_of
from keelway.core import Digest, PrincipalId, VersionName, digest_of, parse_duration
from keelway.errors import KeelwayError, MissingRecordError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from keelway.core import Verdict
    from keelway.promote import (
        Admission,
        Approval,
        Checklist,
        ChecklistAnswer,
        Delegation,
        EnvironmentRules,
        MoreEvidence,
        PromotionRequest,
        RequestLine,
        Revocation,
        Withdrawal,
    )
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

    def request(
        self, version: str, environment: str, *, comment: str = "", break_glass: bool = False
    ) -> PromotionRequest:
        """Ask for a version to be let into an environment, or for a way past its gate."""
        from keelway.promote import request_promotion

        return request_promotion(
            self.version(version),
            artifacts=self._at.artifacts,
            comment=comment,
            break_glass=break_glass,
            **self._who(environment),
        )

    def requests(self, environment: str = "", *, every: bool = False) -> tuple[RequestLine, ...]:
        """Return the requests that are open, newest first, with what each still misses; or every request there was."""
        from keelway.promote import request_lines

        at = self._at
        names = [environment] if environment else [name for name, one in at.settings.environments.items() if one.policy]
        rules = {name: environment_rules(name, at=at) for name in names}
        with at.state.snapshot() as tx:
            lines = request_lines(rules, tx=tx, now=at.now())
        return lines if every else tuple(line for line in lines if line.state in ("open", "ready"))

    def withdraw(self, version: str, environment: str, *, reason: str = "", break_glass: bool = False) -> Withdrawal:
        """Take the open request for a version back."""
        from keelway.promote import withdraw_request

        who = self._who(environment)
        return withdraw_request(self.version(version), reason=reason, break_glass=break_glass, **who)

    def approve(
        self, version: str, environment: str, *, comment: str = "", behalf: str = "", break_glass: bool = False
    ) -> Approval:
        """Approve the open request for a version, by one's own right or by one that was lent."""
        from keelway.promote import approve

        return self._answer(approve, version, environment, comment, behalf, break_glass)

    def reject(
        self, version: str, environment: str, *, comment: str = "", behalf: str = "", break_glass: bool = False
    ) -> Approval:
        """Reject the open request for a version; a reason is needed."""
        from keelway.promote import reject

        return self._answer(reject, version, environment, comment, behalf, break_glass)

    def revoke(
        self, version: str, environment: str, *, reason: str, given_by: str = "", break_glass: bool = False
    ) -> Revocation:
        """Take an answer to the open request back: one's own, or as an admin anybody's."""
        from keelway.promote import revoke_answer

        return revoke_answer(
            self.version(version),
            reason=reason,
            given_by=PrincipalId(given_by) if given_by else None,
            break_glass=break_glass,
            **self._who(environment),
        )

    def delegate(self, to: str, *, until: datetime, reason: str = "") -> Delegation:
        """Lend one's own right to approve to another person, until a date."""
        from keelway.promote import delegate

        at = self._at
        return delegate(
            PrincipalId(to),
            until=until,
            principal=at.principal,
            directory=directory_of(at.settings),
            state=at.state,
            now=at.now(),
            reason=reason,
        )

    def end_delegation(self, name: str, *, reason: str) -> Revocation:
        """Take a lent right back, and with it the approvals that were given by it."""
        from keelway.promote import end_delegation

        at = self._at
        return end_delegation(name, principal=at.principal, state=at.state, now=at.now(), reason=reason)

    def delegations(self) -> list[Delegation]:
        """Return the rights that are lent now, newest first."""
        from keelway.promote import delegations, moment_of

        with self._at.state.snapshot() as tx:
            return delegations(tx=tx, moment=moment_of(self._at.now(), tx=tx))

    def checklist(self, version: str, environment: str) -> Checklist:
        """Return what has to be done for a version before it may enter, and what was answered."""
        from keelway.promote import checklist_of

        rules = environment_rules(environment, at=self._at)
        with self._at.state.snapshot() as tx:
            return checklist_of(self.version(version), environment=rules, tx=tx)

    def answer_checklist(
        self, version: str, environment: str, item: str, *, done: bool = True, comment: str = ""
    ) -> ChecklistAnswer:
        """Say that an item of a version's checklist is done, or that it is not."""
        from keelway.promote import answer_checklist

        who = self._who(environment)
        return answer_checklist(self.version(version), item, done=done, comment=comment, **who)

    def promote(self, version: str, environment: str, *, comment: str = "") -> Admission:
        """Let a version into an environment, and publish a checkpoint of the ledger that says so.

        Raises:
            RefusedError: The gate, a missing approval or the principal says no; every reason is told and recorded.
        """
        return self.promote_together([version], environment, comment=comment)[0]

    def promote_together(
        self, versions: Sequence[str], environment: str, *, comment: str = ""
    ) -> tuple[Admission, ...]:
        """Let versions of several models into an environment, all or none.

        Raises:
            RefusedError: One of them may not enter; every reason of each is told and recorded.
        """
        from keelway.promote import promote_together

        found = [self.version(version) for version in versions]
        admissions = promote_together(found, comment=comment, **self._ports(environment))
        publish(self._at)
        return admissions

    def unsafe_skip_gate(self, version: str, environment: str, *, reason: str) -> Admission:
        """Let a version into an environment past its gate, with the approvals of a break-glass request.

        Raises:
            RefusedError: Two approvals are missing, or the signature does not verify; recorded.
        """
        from keelway.promote import unsafe_skip_gate

        admission = unsafe_skip_gate(self.version(version), reason=reason, **self._ports(environment))
        publish(self._at)
        return admission

    def _answer(
        self,
        verb: Callable[..., Approval],
        version: str,
        environment: str,
        comment: str,
        behalf: str,
        break_glass: bool,
    ) -> Approval:
        return verb(
            self.version(version),
            comment=comment,
            on_behalf_of=PrincipalId(behalf) if behalf else None,
            break_glass=break_glass,
            **self._who(environment),
        )

    def _who(self, environment: str) -> dict[str, Any]:
        """Return who acts on an environment, by its rules, and when."""
        at = self._at
        rules = environment_rules(environment, at=at)
        return {"environment": rules, "principal": at.principal, "state": at.state, "now": at.now()}

    def _ports(self, environment: str) -> dict[str, Any]:
        at = self._at
        return self._who(environment) | {
            "artifacts": at.artifacts,
            "engine": at.policy_engine,
            "public_key": at.signing.public_key,
            "tracker": registry_of(environment, at=at),
        }

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


def _more(at: Workspace) -> MoreEvidence:
    from keelway.app.gate_evidence import more_evidence

    return more_evidence(at)


def declared_risks(at: Workspace) -> dict[str, Digest]:
    """Return digests of what the project declares of the risk of its models; of one that does not load, nothing."""
    try:
        return {model.name: digest_of(model.risk) for model in at.project.models if model.risk is not None}
    except KeelwayError:
        return {}


def environment_rules(name: str, *, at: Workspace, back: bool = False) -> EnvironmentRules:
    """Return what a version needs to get into an environment.

    Args:
        back: They are for a way back: where no policy judges that, neither the project nor later steps are asked.

    Raises:
        SettingsError: The environment is unknown, or names no policy.
    """
    from keelway.promote import EnvironmentRules, Freeze, load_policy

    environment = at.environment(name)
    if not environment.policy:
        raise SettingsError(
            f"The environment {name} has no policy, so nothing can be let in",
            expected=f"environments.{name}.policy in keelway.toml",
            found="nothing",
            fix="Name a folder with at least one policy file.",
        )
    judged = not back or bool(environment.rollback_policy)
    return EnvironmentRules(
        name=name,
        policy=load_policy(environment.policy, root=at.root),
        approvals=environment.approvals,
        service_principal=environment.service_principal and name != LOCAL,
        after=environment.after,
        risks=declared_risks(at) if judged else {},
        approval_expires=parse_duration(environment.approval_expires) if environment.approval_expires else None,
        checklists=environment.checklists,
        freezes=tuple(Freeze(one.begins, one.ends, one.reason) for one in environment.freeze),
        rollback_policy=load_policy(environment.rollback_policy, root=at.root) if environment.rollback_policy else None,
        break_glass_lasts=parse_duration(environment.break_glass_expires),
        directory=directory_of(at.settings),
        more=_more(at) if judged else None,
    )
