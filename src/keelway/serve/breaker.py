"""Stops asking what keeps failing, for a time that grows, and then tries it with one request.

The rules are those of Envoy's outlier detection (config.cluster.v3.OutlierDetection): after 5 consecutive failures an
upstream is ejected for 30 s times the number of its ejections, at most 300 s; at most a part of a group is out at once,
but one always may be; every quiet interval takes one ejection off the count. What Envoy leaves to its health checks is
one probe here: when the time is over, one request is let through, and it alone decides.

    >>> rule = BreakerRule(consecutive_failures=2)
    >>> circuit = Circuit().failed(1.0, rule).failed(2.0, rule)
    >>> circuit.state(31.9), circuit.state(32.0)
    ('open', 'half-open')
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from keelway.errors import BadRequestError, EngineError, ServingError, UnavailableError

_log = logging.getLogger(__name__)

BreakerState = Literal["closed", "open", "half-open"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BreakerRule:
    """When an upstream is left alone, and for how long; the defaults are Envoy's.

    Attributes:
        consecutive_failures: So many in a row eject it.
        base_ejection_s: How long the first ejection lasts; the n-th lasts n times that.
        max_ejection_s: No ejection lasts longer.
        max_ejection_percent: Of a group no more is ejected, except that one always may be.
        interval_s: So long without an ejection takes one off the count.
    """

    consecutive_failures: int = 5
    base_ejection_s: float = 30.0
    max_ejection_s: float = 300.0
    max_ejection_percent: int = 10
    interval_s: float = 10.0

    def ejection_s(self, ejections: int) -> float:
        """Return how long the n-th ejection lasts, in seconds."""
        return min(self.base_ejection_s * ejections, max(self.max_ejection_s, self.base_ejection_s))


@dataclass(frozen=True, slots=True)
class Circuit:
    """What is known of one upstream. Every event returns the circuit that follows; moments are seconds of one clock.

    Attributes:
        failures: How many in a row, while it is closed.
        ejections: How many times the base time the last ejection lasted; falls again while all is well.
        open_until: When the ejection ends; None while it is closed.
        probe_at: When the one request of a half-open circuit was let through; None without one under way.
        well_since: Since when the count of ejections waits to fall.
    """

    failures: int = 0
    ejections: int = 0
    open_until: float | None = None
    probe_at: float | None = None
    well_since: float = 0.0

    def state(self, now: float) -> BreakerState:
        """Return whether requests pass: all, none, or one."""
        if self.open_until is None:
            return "closed"
        return "open" if now < self.open_until else "half-open"

    def asked(self, now: float, rule: BreakerRule) -> tuple[Circuit, bool]:
        """Return what follows when a request wants to pass, and whether it does.

        A probe that never came back is given up after the base time, and another one passes.
        """
        state = self.state(now)
        if state != "half-open":
            return self, state == "closed"
        if self.probe_at is not None and now < self.probe_at + rule.base_ejection_s:
            return self, False
        return replace(self, probe_at=now), True

    def succeeded(self, now: float, rule: BreakerRule) -> Circuit:
        """Return what follows a success; one that comes late, from before an ejection, changes nothing."""
        state = self.state(now)
        if state == "half-open" and self.probe_at is not None:
            return Circuit(ejections=self.ejections, well_since=now)
        if state != "closed":
            return self
        quiet = int((now - self.well_since) / rule.interval_s) if self.ejections else 0
        since = self.well_since + quiet * rule.interval_s
        return replace(self, failures=0, ejections=max(0, self.ejections - quiet), well_since=since)

    def failed(self, now: float, rule: BreakerRule, *, may_eject: bool = True) -> Circuit:
        """Return what follows a failure; where too many are ejected already, only the count begins anew."""
        state = self.state(now)
        if state == "open" or (state == "half-open" and self.probe_at is None):
            return self
        if state == "half-open":
            return self._ejected(now, rule)
        if self.failures + 1 < rule.consecutive_failures:
            return replace(self, failures=self.failures + 1)
        return self._ejected(now, rule) if may_eject else replace(self, failures=0)

    def _ejected(self, now: float, rule: BreakerRule) -> Circuit:
        ejections = self.ejections + 1
        return Circuit(ejections=ejections, open_until=now + rule.ejection_s(ejections), well_since=now)


def may_eject(circuits: Iterable[Circuit], rule: BreakerRule) -> bool:
    """Say whether one more of a group may be ejected: always the first, then only below the percentage."""
    all_of_them = list(circuits)
    ejected = sum(circuit.open_until is not None for circuit in all_of_them)
    return ejected == 0 or 100 * ejected < rule.max_ejection_percent * len(all_of_them)


class Breaker:
    """The circuits of a group of upstreams, such as the worker processes of one model; used by several threads.

    Args:
        names: What is asked.
        clock: Tells seconds that never go back.
        on_state: Told the name and the new state whenever one changes.
    """

    def __init__(
        self,
        names: Iterable[str],
        *,
        rule: BreakerRule = BreakerRule(),
        clock: Callable[[], float],
        on_state: Callable[[str, BreakerState], None] = lambda _name, _state: None,
    ) -> None:
        self._circuits = dict.fromkeys(names, Circuit())
        self._told: dict[str, BreakerState] = dict.fromkeys(self._circuits, "closed")
        self._rule = rule
        self._clock = clock
        self._on_state = on_state
        self._guard = threading.Lock()

    def allows(self, name: str) -> bool:
        """Say whether one request may be sent there; whoever may must report how it went."""
        with self._guard:
            now = self._clock()
            self._circuits[name], passes = self._circuits[name].asked(now, self._rule)
            self._tell(name, now)
        return passes

    def succeeded(self, name: str) -> None:
        """Report that a request was answered."""
        with self._guard:
            now = self._clock()
            self._circuits[name] = self._circuits[name].succeeded(now, self._rule)
            self._tell(name, now)

    def failed(self, name: str) -> None:
        """Report that a request failed there."""
        with self._guard:
            now = self._clock()
            allowed = may_eject(self._circuits.values(), self._rule)
            self._circuits[name] = self._circuits[name].failed(now, self._rule, may_eject=allowed)
            self._tell(name, now)

    def states(self) -> Mapping[str, BreakerState]:
        """Return the state of each."""
        with self._guard:
            now = self._clock()
            return {name: circuit.state(now) for name, circuit in self._circuits.items()}

    def call(self, name: str, function: Callable[[], T]) -> T:
        """Return what a function gives that asks an upstream, unless that is ejected.

        A request that is wrong in itself says nothing about the upstream.

        Raises:
            UnavailableError: It is ejected; the error says for how long.
        """
        if not self.allows(name):
            raise self.refusal(name)
        try:
            answer = function()
        except BadRequestError:
            self.succeeded(name)
            raise
        except (EngineError, ServingError, OSError):
            self.failed(name)
            raise
        self.succeeded(name)
        return answer

    def refusal(self, name: str) -> UnavailableError:
        """Return the error for a request that is not let through."""
        until = self._circuits[name].open_until
        wait = max(1.0, until - self._clock()) if until is not None else 1.0
        return UnavailableError(
            f"{name} is not asked now: it failed too often",
            expected="an answer of it",
            found=f"{self._rule.consecutive_failures} failures in a row, or a failed probe",
            fix="Ask again later.",
            retry_after_s=wait,
        )

    def _tell(self, name: str, now: float) -> None:
        state = self._circuits[name].state(now)
        if state != self._told[name]:
            self._told[name] = state
            _log.warning("The breaker around %s is %s", name, state)
            self._on_state(name, state)
