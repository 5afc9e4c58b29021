"""What was live where at a time, and who let it in: read from the ledger, not from the present pointers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Digest, PrincipalId
from keelway.ledger import decisions

if TYPE_CHECKING:
    from keelway.ledger.ports import Transaction

_PREFIXES = ("environment/", "deployment/")


@dataclass(frozen=True, slots=True)
class Standing:
    """What a pointer held at a time.

    Attributes:
        pointer: Its name: `environment/ENV/MODEL` or `deployment/ENV/MODEL`.
        target: Digest of the ModelVersion or the Deployment.
        subject: What people call it, such as `churn:3`.
        since: When it was moved there.
        by: Who moved it.
        entry: The number of the ledger entry that tells of it.
        evidence: Digests that the decision rests on, by role.
    """

    pointer: str
    environment: str
    model: str
    target: Digest
    subject: str
    since: datetime
    by: PrincipalId
    entry: int
    evidence: dict[str, Digest]


def status_at(tx: Transaction, at: datetime) -> list[Standing]:
    """Return what every environment and deployment pointer held at a time, by pointer."""
    held: dict[str, Standing] = {}
    for index, decision in decisions(tx):
        if decision.at > at or not decision.allowed:
            continue
        for move in decision.moves:
            if move.name.startswith(_PREFIXES):
                _, environment, model = move.name.split("/", 2)
                held[move.name] = Standing(
                    pointer=move.name,
                    environment=environment,
                    model=model,
                    target=move.after,
                    subject=decision.subject,
                    since=decision.at,
                    by=decision.principal,
                    entry=index,
                    evidence=decision.evidence,
                )
    return [held[name] for name in sorted(held)]
