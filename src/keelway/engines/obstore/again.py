"""Does again what the client of an object store does not repeat by itself, after growing pauses of random length."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from keelway.engines.obstore.failures import is_unrepeated, vendor_errors
from keelway.engines.obstore.store import OpenStore

T = TypeVar("T")


def again(work: Callable[[], T], store: OpenStore) -> T:
    """Return what work on a store gives; of its failures, those that the client has not met with repetitions are."""
    for attempt in range(1, store.patience.retries + 1):
        try:
            return work()
        except vendor_errors() as error:
            if not is_unrepeated(error):
                raise
        pause_before(attempt, store)
    return work()


def pause_before(attempt: int, store: OpenStore) -> None:
    """Wait before an attempt, from 1; at random up to a bound that doubles, so that many clients do not come at once."""
    longest = store.patience.first_pause_s * 2**attempt
    time.sleep(random.uniform(0, min(longest, store.patience.longest_pause_s)))  # noqa: S311 - a pause is no secret
