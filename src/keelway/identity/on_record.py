"""A refusal for want of a role stands in the ledger like any other refusal: who tried what, and why it was refused.

    with on_record(Action.ASSESS, "churn", principal=principal, state=state, now=now):
        require_role(principal, "risk-owner")

Who could not show who they are leaves no entry: there is nobody whom it could name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Action, Decision
from keelway.errors import EngineError, IdentityError
from keelway.ledger import record_decision

if TYPE_CHECKING:
    from keelway.identity.principal import Principal
    from keelway.ledger import StateStore


@contextmanager
def on_record(
    action: Action,
    subject: str,
    *,
    principal: Principal,
    state: StateStore,
    now: datetime,
    environment: str = "",
) -> Iterator[None]:
    """Record that a principal may not do what is tried inside, and let the refusal go on.

    A transaction that is opened inside has ended by then, so its changes are gone and the entry stays.

    Args:
        action: What was tried.
        subject: On what, in the words in which the ledger tells of it when it is allowed.
        environment: Where, if anywhere.
    """
    try:
        yield
    except IdentityError as error:
        refused = Decision(
            action=action,
            subject=subject,
            allowed=False,
            principal=principal.id,
            at=now,
            reasons=(str(error),),
            environment=environment,
        )
        with suppress(EngineError), state.transaction() as tx:  # where the state is down, nothing was done either
            record_decision(refused, tx=tx)
        raise
