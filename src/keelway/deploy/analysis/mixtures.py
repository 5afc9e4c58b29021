"""Boundaries that a random walk crosses at any time with probability at most alpha: mixtures of martingales.

A walk of errors S with intrinsic time V is betted on by many players at once; what they own together, the mixture, is a
martingale that starts at 1, so it ever reaches 1 / alpha with probability at most alpha (Ville 1939). Solving for S gives
a boundary that holds at every look, however often somebody looks.

Howard, Ramdas, McAuliffe and Sekhon, Time-uniform, nonparametric, nonasymptotic confidence sequences, Annals of Statistics
49 (2021); normal mixtures go back to Robbins (1970).

>>> mixture = NormalMixture(best_rho(100, alpha=0.05), sides=2)
>>> round(boundary(mixture, 100, alpha=0.05), 5)
30.35209
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

from keelway.errors import UsageError

Sides = Literal[1, 2]
TIGHTEST_ALPHA = 0.05
DOUBLINGS = 60


class Mixture(Protocol):
    """What all players own together, as a logarithm, where the walk is at `s` at intrinsic time `v`; it grows with s > 0."""

    def log_value(self, s: float, v: float) -> float:
        """Return the logarithm of the mixture."""
        ...

    @property
    def steepest(self) -> float:
        """How far the walk can be at all, in parts of its intrinsic time; infinity where nothing bounds it."""
        ...


@dataclass(frozen=True, slots=True)
class NormalMixture:
    """For walks with normal tails (sub-Gaussian, or by the central limit theorem); `rho` decides where it is tight.

    Attributes:
        rho: In units of intrinsic time; see `best_rho`.
        sides: 2 where the walk may leave on either side.
    """

    rho: float
    sides: Sides = 2

    def log_value(self, s: float, v: float) -> float:
        """Return the logarithm of the mixture."""
        from scipy.special import log_ndtr

        whole = v + self.rho
        found = math.log(self.rho / whole) / 2 + s * s / (2 * whole)
        if self.sides == 2:
            return found
        return found + math.log(2) + float(log_ndtr(s / math.sqrt(whole)))

    @property
    def steepest(self) -> float:
        """Infinity."""
        return math.inf


@dataclass(frozen=True, slots=True)
class GammaExponentialMixture:
    """For walks whose steps have exponential tails of scale `scale`; one-sided."""

    rho: float
    scale: float

    def log_value(self, s: float, v: float) -> float:
        """Return the logarithm of the mixture."""
        from scipy.special import gammainc, gammaln

        squared = self.scale**2
        start, now = self.rho / squared, (v + self.rho) / squared
        moved = (self.scale * s + v) / squared
        leading = start * math.log(start) - gammaln(start) - math.log(gammainc(start, start))
        tail = math.log(gammainc(now, moved + start))
        return float(leading + gammaln(now) + tail - now * math.log(moved + start) + moved)

    @property
    def steepest(self) -> float:
        """Infinity."""
        return math.inf


@dataclass(frozen=True, slots=True)
class GammaPoissonMixture:
    """For walks with the tails of a Poisson count in steps of `scale`; one-sided."""

    rho: float
    scale: float

    def log_value(self, s: float, v: float) -> float:
        """Return the logarithm of the mixture."""
        from scipy.special import gammaincc, gammaln

        squared = self.scale**2
        start, now = self.rho / squared, (v + self.rho) / squared
        moved = s / self.scale + now
        leading = start * math.log(start) - gammaln(start) - math.log(gammaincc(start, start))
        tail = math.log(gammaincc(moved, now))
        return float(leading + gammaln(moved) + tail - moved * math.log(now) + v / squared)

    @property
    def steepest(self) -> float:
        """Infinity."""
        return math.inf


@dataclass(frozen=True, slots=True)
class BetaBinomialMixture:
    """For walks with steps between -below and +above; exact for centred coin flips.

    Attributes:
        spread: How far the players spread their bets; see `of`.
        below: The largest step down.
        above: The largest step up.
        sides: 2 where the walk may leave on either side.
    """

    spread: float
    below: float
    above: float
    sides: Sides = 2

    @classmethod
    def tightest_at(
        cls, v: float, *, below: float, above: float, alpha: float, sides: Sides = 2
    ) -> BetaBinomialMixture:
        """Return the mixture whose boundary is tightest about intrinsic time `v`."""
        rho, least = best_rho(v, alpha=alpha, sides=sides), below * above
        return cls(max(rho - least, least / 1000), below, above, sides)

    def log_value(self, s: float, v: float) -> float:
        """Return the logarithm of the mixture."""
        g, h, r = self.below, self.above, self.spread
        whole = g + h
        ups, downs = (v + h * s) / (h * whole), (v - g * s) / (g * whole)
        given = v / (g * h) * math.log(whole) - ups * math.log(g) - downs * math.log(h)
        before = self._log_beta(r / (g * whole), r / (h * whole))
        return given + self._log_beta(r / (g * whole) + downs, r / (h * whole) + ups) - before

    @property
    def steepest(self) -> float:
        """How far it is when every step went up."""
        return 1 / self.below

    def _log_beta(self, first: float, second: float) -> float:
        from scipy.special import betainc, betaln

        found = float(betaln(first, second))
        if self.sides == 2:
            return found
        return found + math.log(betainc(first, second, self.above / (self.below + self.above)))


def best_rho(v: float, *, alpha: float = TIGHTEST_ALPHA, sides: Sides = 2) -> float:
    """Return the rho whose normal mixture is about tightest at intrinsic time `v` (Howard et al. 2021).

    >>> round(best_rho(100), 5)
    12.60056

    Raises:
        UsageError: Time is not positive, or alpha is not between 0 and 1 (one-sided: 1/2).
    """
    spent = alpha if sides == 2 else 2 * alpha
    if not v > 0 or not 0 < spent < 1:
        raise UsageError("No mixture is tight there", expected="time above 0, alpha in (0, 1)", found=f"{v}, {alpha}")
    return v / (-2 * math.log(spent) + math.log1p(-2 * math.log(spent)))


def boundary(mixture: Mixture, v: float, *, alpha: float) -> float:
    """Return what the walk reaches at time `v`, or at any other, with probability at most alpha if nothing is the matter.

    Raises:
        UsageError: There is no such point, because the mixture never reaches 1 / alpha.
    """
    from scipy.optimize import brentq

    wanted, high = -math.log(alpha), v * mixture.steepest
    if math.isinf(high):
        high = v
        for _ in range(DOUBLINGS):
            if mixture.log_value(high, v) > wanted:
                break
            high *= 2
        else:
            raise UsageError("The mixture never gets that far", expected="alpha above 0", found=f"{alpha} at time {v}")
    if mixture.log_value(high, v) < wanted:
        return high
    return float(brentq(lambda s: mixture.log_value(s, v) - wanted, 0.0, high, xtol=1e-12, rtol=1e-13))


def stitched_boundary(v: float, *, alpha: float, earliest: float, scale: float = 0.0) -> float:
    """Return the boundary that grows as slowly as the law of the iterated logarithm (theorem 1; eta 2, s 1.4).

    Args:
        v: Intrinsic time.
        alpha: The chance of ever crossing it.
        earliest: The intrinsic time from which on it holds with its full strength.
        scale: Of the exponential tails of the steps; 0 for normal ones.
    """
    from scipy.special import zeta

    eta, power = 2.0, 1.4
    time = max(v, earliest)
    root, linear = (eta**0.25 + eta**-0.25) / math.sqrt(2), (math.sqrt(eta) + 1) / 2
    crossed = math.log(float(zeta(power)) / math.log(eta) ** power) - math.log(alpha)
    length = power * math.log(math.log(eta * time / earliest)) + crossed
    heavy = linear * scale * length
    return math.sqrt(root**2 * time * length + heavy**2) + heavy
