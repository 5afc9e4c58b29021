"""Fetches the objects of a batch: several small ones at a time, large ones one after another, always in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from keelway.core import Digest
from keelway.errors import ObjectChangedError
from keelway.ingest.ports import ObjectInfo, ObjectSource
from keelway.privacy import working_folder

FETCHERS = 8
"""Objects fetched at once."""
TOGETHER = 64
"""Objects that lie on this machine's disk at once."""
SMALL_BYTES = 8 << 20
"""Larger objects are fetched alone, so that the disk never has to hold more than one of them."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Fetched:
    """One object whose bytes are on this machine; `digest` is None where they changed since the listing."""

    info: ObjectInfo
    copy: Path
    digest: Digest | None


class Fetcher:
    """Fetches objects into a temporary folder with a bounded number of threads."""

    def __init__(self, source: ObjectSource, folder: Path, pool: ThreadPoolExecutor) -> None:
        self._source = source
        self._folder = folder
        self._pool = pool

    @classmethod
    @contextmanager
    def open(cls, source: ObjectSource, work: Path | None = None) -> Iterator[Fetcher]:
        """Give a fetcher whose threads and files end with the block."""
        with working_folder(work, name="pull") as folder:
            pool = ThreadPoolExecutor(FETCHERS, thread_name_prefix="keelway-fetch")
            try:
                yield cls(source, folder, pool)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def fetch(self, window: Sequence[ObjectInfo]) -> list[Fetched]:
        """Return the objects of a window in its order; the first that cannot be read raises."""
        places = [(info, self._folder / str(number)) for number, info in enumerate(window)]
        return self.each(self._fetch, places)

    def each(self, work: Callable[[T], R], things: Sequence[T]) -> list[R]:
        """Return what work makes of each thing, in their order; a single thing needs no thread."""
        if len(things) == 1:
            return [work(things[0])]
        return list(self._pool.map(work, things))

    def _fetch(self, place: tuple[ObjectInfo, Path]) -> Fetched:
        info, copy = place
        try:
            return Fetched(info, copy, self._source.fetch(info, copy))
        except ObjectChangedError:
            return Fetched(info, copy, None)


def windows(objects: Iterable[ObjectInfo]) -> Iterator[list[ObjectInfo]]:
    """Yield the objects in their order, small ones in groups and each large one alone."""
    group: list[ObjectInfo] = []
    for info in objects:
        if info.size_bytes > SMALL_BYTES:
            if group:
                yield group
            yield [info]
            group = []
            continue
        group.append(info)
        if len(group) == TOGETHER:
            yield group
            group = []
    if group:
        yield group
