"""Letting in: admission, pointer and ledger entry, written in one transaction or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from keelway.core import Action, Decision, Digest, PointerMove, digest_of
from keelway.ledger import record_decision
from keelway.promote.lately import last_first
from keelway.promote.record import Admission, RequestUse, door, environment_pointer

if TYPE_CHECKING:
    from keelway.core import Pointer
    from keelway.ledger.ports import Transaction
    from keelway.register import ModelVersion


def newest_admission(version: ModelVersion, environment: str, *, tx: Transaction) -> Admission | None:
    """Return the newest admission of exactly this version to an environment, of whatever kind, or None."""
    digest = digest_of(version)
    entries = last_first(Admission, parent=door(environment, version.name), tx=tx)
    return next((entry for entry in entries if entry.version_digest == digest), None)


def held_version(model: str, environment: str, *, tx: Transaction) -> ModelVersion | None:
    """Return the version that an environment's pointer holds, or None."""
    return _version_at(tx.pointer(environment_pointer(environment, model)), tx)


def standing_admission(model: str, environment: str, *, tx: Transaction) -> Admission | None:
    """Return the admission by which the present version of a model stands in an environment, or None."""
    return _admission_at(tx.pointer(environment_pointer(environment, model)), environment, tx)


def _version_at(pointer: Pointer | None, tx: Transaction) -> ModelVersion | None:
    from keelway.register import ModelVersion

    return tx.by_digest(ModelVersion, pointer.target) if pointer else None


def _admission_at(pointer: Pointer | None, environment: str, tx: Transaction) -> Admission | None:
    held = _version_at(pointer, tx)
    return newest_admission(held, environment, tx=tx) if held else None


def let_in(
    version: ModelVersion,
    admission: Admission,
    *,
    action: Action,
    tx: Transaction,
    evidence: dict[str, Digest],
    comment: str,
) -> Admission:
    """Write an admission with the pointer's move and the decision, and return it with what it stands on.

    Args:
        evidence: What else the decision rests on, by role.
    """
    name = environment_pointer(admission.environment, version.model)
    held = tx.pointer(name)
    admission = _on_top(admission, _admission_at(held, admission.environment, tx))
    parent = door(admission.environment, version.name)
    stored = tx.insert(f"{parent}/{tx.count(Admission, parent=parent) + 1}", admission, parent=parent, at=admission.at)
    if admission.request is not None:
        use = RequestUse(admission.request, stored)
        evidence = {**evidence, "use": tx.insert(admission.request, use, parent=parent, at=admission.at)}
    move = PointerMove(name, held.target if held else None, admission.version_digest)
    tx.move(name, before=move.before, after=move.after, at=admission.at)
    named = named_evidence(version, admission.evidence, admission.request, admission.approvals)
    record_decision(
        Decision(
            action=action,
            subject=version.name,
            allowed=True,
            principal=admission.principal,
            at=admission.at,
            evidence={**named, "admission": stored, **evidence},
            policy=admission.verdict.policy_digest,
            environment=admission.environment,
            moves=(move,),
            comment=comment,
        ),
        tx=tx,
    )
    return admission


def _on_top(admission: Admission, before: Admission | None) -> Admission:
    """Return an admission that knows what it stands on; a way back knows already."""
    if before is None or admission.rollback:
        return admission
    again = before.version_digest == admission.version_digest
    return replace(admission, previous=before.previous if again else digest_of(before))


def named_evidence(
    version: ModelVersion, evidence: Digest, request: Digest | None, approvals: tuple[Digest, ...]
) -> dict[str, Digest]:
    """Return what a decision at the door rests on, by role."""
    named = {"version": digest_of(version), "evidence": evidence}
    if request is not None:
        named["request"] = request
    return named | {f"approval_{number}": approval for number, approval in enumerate(approvals, start=1)}
