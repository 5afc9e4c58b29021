"""FallbackPlan: what people do when a model cannot be used; what Keelway does itself is a monitor's ContingencyPlan.

FallbackPlan("prod", call=("user:omar",), version="previous", by_hand="Rank customers by recency.", drill_every="90d")
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from keelway.core import checked_name, parse_duration
from keelway.errors import ProjectError

PREVIOUS = "previous"
NONE = "none"


@dataclass(frozen=True, slots=True)
class FallbackPlan:
    """What people do when a model cannot be used in an environment. It changes nothing of the model.

    Attributes:
        environment: Where it applies.
        call: Who is called, the first one first.
        version: What serves instead: `previous` (the version before), `MODEL:NUMBER`, or `none` (by hand only).
        by_hand: What is done without any model.
        drill_every: How often it is tried out, such as `90d`.

    Raises:
        ProjectError: It names nobody, or leaves open what is done instead.
    """

    environment: str
    call: tuple[str, ...] = field(kw_only=True)
    version: str = field(default=PREVIOUS, kw_only=True)
    by_hand: str = field(default="", kw_only=True)
    drill_every: str = field(default="90d", kw_only=True)

    def __post_init__(self) -> None:
        checked_name(self.environment, what="environment")
        given: Any = self.call  # a single name may stand alone
        called = (given,) if isinstance(given, str) else tuple(given)
        object.__setattr__(self, "call", called)
        if not called or not all(each.strip() for each in called):
            raise ProjectError("A fallback plan calls nobody", expected="call: one name or more", found=repr(called))
        if self.version == NONE and not self.by_hand.strip():
            raise ProjectError(
                "A fallback plan leaves open what is done", expected="a version, or by_hand: what is done without one",
                found="version='none' alone",
            )  # fmt: skip
        if self.drill_time <= timedelta(0):
            raise ProjectError("A fallback plan is tried out at times", expected="such as 90d", found=self.drill_every)

    @property
    def drill_time(self) -> timedelta:
        """How often it is tried out."""
        return parse_duration(self.drill_every)
