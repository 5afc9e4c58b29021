"""How the requests of an arm went, from what servers counted: errors, answers that were no number, latencies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from keelway.core import digest_of
from keelway.deploy.analysis import RateCounts
from keelway.serve import KEEP_EVERY_S, latency_of, together

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from keelway.core import VersionName
    from keelway.deploy import Deployment
    from keelway.serve import ArmRequests, RequestFigures

GRACE = timedelta(seconds=2 * KEEP_EVERY_S)
"""Servers keep their counts now and then: so long after an arm began to answer, missing ones are no surprise."""
MOST_LATENCIES = 100_000
"""Of an arm; more are thinned in each bin alike. So many show every difference that a margin is made of."""
ERRORS, UNDEFINED, LATENCY = "error_rate", "not_a_number", "latency"


@dataclass(frozen=True, slots=True)
class CountedRequests:
    """What servers counted for one arm.

    Attributes:
        answers: Rows that it answered.
        answered: Requests that it answered.
        failed: Requests that it could not answer.
        unclocked: Those of the answered whose time nobody took: rows of a batch.
        dropped: Rows of copies that a shadow never saw.
        undefined: Those of the failed whose answer was no number.
        bins: Latency bins that hold anything, rising.
        counts: How many requests each of them holds.
    """

    answers: int = 0
    answered: int = 0
    failed: int = 0
    undefined: int = 0
    bins: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    unclocked: int = 0
    dropped: int = 0

    @property
    def requests(self) -> int:
        """All that reached the arm."""
        return self.answered + self.failed

    def tallies(self) -> dict[str, RateCounts]:
        """Return the rates of requests."""
        return {
            ERRORS: RateCounts(self.failed, self.requests),
            UNDEFINED: RateCounts(self.undefined, self.requests),
        }

    def latencies(self) -> NDArray[np.float64]:
        """Return the latencies in seconds, ascending, each as the end of its bin; at most `MOST_LATENCIES`.

        Thinned values vary less than as many requests would, so a test on them is no bolder than one on all.
        """
        import numpy as np

        counts = np.asarray(self.counts, dtype=np.int64)
        if (clocked := self.answered - self.unclocked) > MOST_LATENCIES:
            places = (np.cumsum(counts) * MOST_LATENCIES) // clocked
            counts = np.diff(places, prepend=0)
        return np.repeat(np.array([latency_of(place) for place in self.bins]), counts)


def counted_requests(
    figures: Iterable[RequestFigures], arm: str, version: VersionName, *, deployments: Sequence[Deployment]
) -> CountedRequests:
    """Return what servers counted for an arm of some deployments, given in order.

    What names no deployment was counted by an older server: spans of it count that began with the first of them, or later.
    """
    named, since = {digest_of(each) for each in deployments}, deployments[0].at

    def counts(span: RequestFigures, one: ArmRequests) -> bool:
        return one.deployment in named if one.deployment else span.since >= since

    found = together(figures, counts=counts).get((version, arm))
    if found is None:
        return CountedRequests()
    answered = sum(found.counts) + found.unclocked
    return CountedRequests(
        found.answers, answered, found.failed, found.undefined, found.bins, found.counts, found.unclocked, found.dropped
    )
