"""The present, as far as a clock can be believed: the ledger's time never goes back.

What ends at a time (an approval, a delegation, a freeze) is judged at the later of the clock and the newest ledger
entry, so that setting the clock back brings nothing back to life.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from keelway.core import Decision

if TYPE_CHECKING:
    from keelway.ledger.ports import Transaction


def moment_of(now: datetime, *, tx: Transaction) -> datetime:
    """Return the later of the clock's time and the time of the latest ledger entry."""
    newest = tx.newest(Decision, limit=1)
    return max(now, newest[0].at) if newest else now
