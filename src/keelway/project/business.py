"""Business metric: what a rollout is to bring, read off events that carry amounts, such as purchases.

Model(..., business=(BusinessMetric("revenue", stream="purchases", window="14d", cap=500),))
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import timedelta

from keelway.core import checked_name, parse_duration
from keelway.errors import ProjectError


@dataclass(frozen=True, slots=True)
class BusinessMetric:
    """What events say of an entity, from its first answer in a rollout on.

    A `Guardrail` or `Metric` of the same name is judged by it: of kind `rate` by the share of entities that have any event,
    of kind `mean` by the sum of their amounts.

    Attributes:
        name: What the figure is called in an analysis.
        stream: The events, as they are recorded by `keelway outcomes MODEL FILE --stream NAME`; empty for the same name.
        window: For how long events count after an entity's first answer, such as `14d`.
        delay: How late an event may be recorded, such as `2d`; so long an entity waits after its window.
        cap: Sums beyond this count as this, so that a few large ones do not carry the mean; None for no cap.
    """

    name: str
    stream: str = field(default="", kw_only=True)
    window: str = field(default="7d", kw_only=True)
    delay: str = field(default="0d", kw_only=True)
    cap: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        checked_name(self.name, what="business metric")
        object.__setattr__(self, "stream", checked_name(self.stream or self.name, what="stream"))
        holds = {
            "a window above 0": self.window_time > timedelta(0),
            "a delay of 0 or more": self.delay_time >= timedelta(0),
            "a cap above 0, or None": self.cap is None or (math.isfinite(self.cap) and self.cap > 0),
        }
        if wrong := [name for name, held in holds.items() if not held]:
            raise ProjectError(
                f"Business metric {self.name!r} is out of range",
                expected="; ".join(wrong),
                found=f"{self.window}, {self.delay}, {self.cap}",
            )

    @property
    def window_time(self) -> timedelta:
        """The window as a length of time."""
        return parse_duration(self.window)

    @property
    def delay_time(self) -> timedelta:
        """The delay as a length of time."""
        return parse_duration(self.delay)
