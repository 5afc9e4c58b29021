"""Change freezes: times in which nothing new is let into an environment, and only a way back or break-glass moves it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from keelway.core import time_text

if TYPE_CHECKING:
    from keelway.promote.record import Freeze


def frozen(freezes: Sequence[Freeze], *, moment: datetime) -> Freeze | None:
    """Return the freeze that a moment falls into, the one that lasts longest where several do, or None."""
    active = [one for one in freezes if one.begins <= moment < one.ends]
    return max(active, key=lambda one: one.ends, default=None)


def freeze_evidence(freezes: Sequence[Freeze], *, moment: datetime) -> dict[str, Any]:
    """Return what a policy reads of change freezes."""
    active = frozen(freezes, moment=moment)
    if active is None:
        return {"active": False, "reason": "", "until": None}
    return {"active": True, "reason": active.reason, "until": time_text(active.ends)}
