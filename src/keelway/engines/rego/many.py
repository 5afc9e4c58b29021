"""Judges many documents by one policy in worker processes, each of which compiles the policy once.

Every document is judged exactly as it would be alone. Documents that are the same in all that the policy can read are
asked once. A policy that ends its process ends a worker's, and is told of as an error.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING

from keelway.errors import EngineError

if TYPE_CHECKING:
    from keelway.core import PolicySet, Verdict

CHUNK = 250
"""So many documents go to a worker at a time."""
PAYS_FROM = 600
"""From so many documents on, starting processes takes less time than they save."""


def in_processes(
    policy: PolicySet,
    documents: Sequence[bytes],
    *,
    workers: int,
    judge: Callable[[PolicySet, Sequence[bytes]], list[Verdict]],
) -> list[Verdict]:
    """Return the verdicts on documents, judged here or in processes, in the order of the documents.

    Args:
        workers: How many processes; 0 takes one for each processor where that pays.
        judge: Judges a chunk; a function that a module defines, so that a process can find it.

    Raises:
        EngineError: A process ended without an answer.
    """
    wanted = workers or (available_processors() if len(documents) >= PAYS_FROM else 1)
    if wanted <= 1 or len(documents) <= 1:
        return judge(policy, documents)
    chunks = list(_chunks(documents, -(-len(documents) // wanted)))
    context = multiprocessing.get_context("spawn")  # rego-cpp has threads' state that must not be forked
    try:
        with ProcessPoolExecutor(max_workers=min(wanted, len(chunks)), mp_context=context) as pool:
            return [verdict for found in pool.map(judge, [policy] * len(chunks), chunks) for verdict in found]
    except BrokenProcessPool as error:
        raise EngineError(
            f"The policy {policy.name} ended the process that judged it",
            expected="an answer",
            found="none",
            fix="Look it through: keelway policy check",
        ) from error


def available_processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _chunks(documents: Sequence[bytes], most: int) -> Iterator[Sequence[bytes]]:
    size = max(1, min(CHUNK, most))
    for start in range(0, len(documents), size):
        yield documents[start : start + size]
