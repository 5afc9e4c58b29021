"""Garbage collection of artifacts: look, record, remove; safe beside writers, and when it is killed.

1. What is not needed is looked for in a snapshot of the state, so that nobody has to wait.
2. In one transaction, which holds the state's only write lock, it is looked for again, and recorded with its decision.
3. In another, it is looked for once more and removed, if it is still not needed and was not put again meanwhile.

A writer puts bytes and then records them. If its record comes before the last look, it is seen there; if it comes
after, the bytes were put less than a day ago (`RetentionRules`), or were put again and count as new, and stay. Killed
between 2 and 3, the decision names bytes that are still there: the next collection removes them. The ledger keeps its
entries and the records stay; an audit counts what is gone by such a decision as collected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime

from keelway.core import Action, Decision, Digest, HeldArtifacts
from keelway.identity import Principal, on_record, require_role
from keelway.ledger import StateStore, Transaction, record_decision
from keelway.register.collect.needed import Look, Spare
from keelway.register.collect.records import Collection, RetentionRules


def collect(
    *,
    store: HeldArtifacts,
    state: StateStore,
    rules: RetentionRules,
    principal: Principal,
    now: datetime,
    running: Iterable[bytes] = (),
    replaced: Callable[[Transaction], AbstractSet[Digest]] = lambda _tx: frozenset(),
    dry_run: bool = False,
) -> Collection:
    """Remove the artifacts that nothing needs any more, and return what was, or would be, removed.

    Args:
        now: Ages are counted up to here; never later than the store's clock.
        running: What runs that are going on have written so far.
        replaced: Returns what others took the place of long enough ago; the records that name it still do not need it.
        dry_run: Only say what would be removed.

    Raises:
        IdentityError: Only an admin removes.
        IntegrityError: Something in the store is damaged: nothing is removed before that is mended.
    """
    if not dry_run:
        with on_record(Action.COLLECT, "collection", principal=principal, state=state, now=now):
            require_role(principal, "admin")
    look = Look(store, rules, now, tuple(running), replaced)
    with state.snapshot() as tx:
        plan = _plan(look.spare(tx), principal, now)
    if dry_run or not plan.artifacts:
        return plan
    with state.transaction() as tx:
        plan = _record(_plan(look.spare(tx), principal, now), tx)
    with state.transaction() as tx:
        still = look.spare(tx).sizes
        for digest in plan.artifacts:
            if digest in still:
                store.remove_if_older(digest, now - rules.unreferenced)
    return plan


def _plan(spare: Spare, principal: Principal, now: datetime) -> Collection:
    sizes: dict[Digest, int] = spare.sizes
    return Collection(
        number=0,
        artifacts=tuple(sorted(sizes)),
        unreferenced=len(spare.unreferenced),
        retired=tuple(sorted(spare.versions)),
        evidence=len(spare.evidence),
        freed_bytes=sum(sizes.values()),
        kept=spare.kept,
        principal=principal.id,
        at=now,
    )


def _record(plan: Collection, tx: Transaction) -> Collection:
    """Write down what goes, before it goes."""
    if not plan.artifacts:
        return plan
    numbered = replace(plan, number=tx.count(Collection) + 1)
    digest = tx.insert(f"{numbered.number:06d}", numbered, at=plan.at)
    decision = Decision(
        action=Action.COLLECT,
        subject=f"collection {numbered.number}",
        allowed=True,
        principal=plan.principal,
        at=plan.at,
        evidence={"collection": digest},
        comment=f"{len(plan.artifacts)} artifacts, {plan.freed_bytes} bytes",
    )
    record_decision(decision, tx=tx)
    return numbered
