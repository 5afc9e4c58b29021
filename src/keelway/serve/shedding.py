"""Refuses work before there is too much of it, so that what is taken is answered in time.

Two rules. A hard limit on the requests under way. And the controlled delay of folly's `Codel` (facebook/folly,
folly/executors/Codel.h, after Nichols and Jacobson's CoDel, RFC 8289): when the shortest wait of a whole interval was
above the target, the next interval is overloaded, and in it a request that waited longer than twice the target is
refused. A queue that is emptied now and then is a burst and is left alone.

    >>> rule = ShedRule(target_s=0.005, interval_s=0.1)
    >>> delay = ControlledDelay(rule)
    >>> [delay.sheds(0.05, now=0.01 * number) for number in range(12)].index(True)
    11
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from keelway.errors import OverloadedError

RETRY_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class ShedRule:
    """When requests are refused.

    Attributes:
        target_s: How long the shortest wait of an interval may be, in seconds.
        interval_s: How long waits have to stay above it.
        most: How many requests may be under way at once; 0 for any number.
    """

    target_s: float = 0.25
    interval_s: float = 1.0
    most: int = 0


class ControlledDelay:
    """Judges waits; one thread at a time."""

    def __init__(self, rule: ShedRule) -> None:
        self._rule = rule
        self._shortest = math.inf
        self._ends_at = -math.inf
        self.overloaded = False

    def sheds(self, delay_s: float, *, now: float) -> bool:
        """Say whether a request that waited so long is refused."""
        if now >= self._ends_at:
            self.overloaded = self._rule.target_s < self._shortest < math.inf
            self._ends_at = now + self._rule.interval_s
            self._shortest = delay_s
            return False  # the first request of an interval always passes
        self._shortest = min(self._shortest, delay_s)
        return self.overloaded and delay_s > 2 * self._rule.target_s


class Shedder:
    """Lets requests in and out of one event loop.

    `lag_s` is set by whoever measures how late the loop is: that is how long a request waited that is read now.
    """

    def __init__(self, rule: ShedRule = ShedRule()) -> None:
        self._rule = rule
        self._delay = ControlledDelay(rule)
        self.lag_s = 0.0
        self.under_way = 0
        self.shed = 0

    def enter(self, now: float) -> None:
        """Take a request in; `leave` must follow.

        Args:
            now: Seconds of a clock that never goes back.

        Raises:
            OverloadedError: There is too much to do; the request is not counted in.
        """
        if self._rule.most and self.under_way >= self._rule.most:
            raise self._refusal(f"at most {self._rule.most} requests at once", f"{self.under_way} under way")
        if self._delay.sheds(self.lag_s, now=now):
            raise self._refusal(f"waits below {self._rule.target_s * 1000:g} ms", f"one of {self.lag_s * 1000:.0f} ms")
        self.under_way += 1

    def leave(self) -> None:
        """Let a request out that was taken in."""
        self.under_way -= 1

    def _refusal(self, expected: str, found: str) -> OverloadedError:
        self.shed += 1
        return OverloadedError(
            "There is too much to do",
            expected=expected,
            found=found,
            fix="Ask again later, and more slowly.",
            retry_after_s=RETRY_AFTER_S,
        )
