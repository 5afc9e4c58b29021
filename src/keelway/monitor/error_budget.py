"""Error budget: how much of the failure that an objective allows is left.

An objective of 0.995 allows one request in two hundred to fail. The budget of a window is that share of its requests;
what is left is 1 while none failed, 0 when it is used up and negative beyond that (Site Reliability Engineering, Beyer et
al. 2016, chapter 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from keelway.errors import UsageError
from keelway.ledger import Transaction
from keelway.serve import request_figures


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    """What is left of a budget of failed requests.

    Attributes:
        objective: The share of requests that have to be answered.
        since: The begin of the window.
        requests: How many came in since then.
        failed: How many of them the server could not answer.
    """

    objective: float
    since: datetime
    requests: int
    failed: int

    @property
    def left(self) -> float | None:
        """What is left: 1 is all, 0 nothing; None where there were no requests, of which nothing can be said."""
        return 1 - self.failed / ((1 - self.objective) * self.requests) if self.requests else None


def error_budget(
    model: str, environment: str, *, objective: float, window: timedelta, tx: Transaction, now: datetime
) -> ErrorBudget:
    """Return the error budget of a model in an environment over the window that ends now.

    Raises:
        UsageError: The objective is no share below 1.
    """
    if not 0 < objective < 1:
        raise UsageError(
            "This is no objective", expected="a share between 0 and 1, such as 0.995", found=str(objective)
        )
    figures = request_figures(model, environment, since=now - window, tx=tx)
    requests, failed = sum(each.requests for each in figures), sum(each.failed for each in figures)
    return ErrorBudget(objective, now - window, requests, failed)
