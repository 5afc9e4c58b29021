"""The ledger: an entry appended alone and in a batch, proofs at a million entries, and an audit of a million entries.

The floor of an append is the plain insert that the database would do: one row with the same bytes into a table of its own,
committed as durably. The million entries are written past the ledger's own appends, which are not what is measured there.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from statistics import median

from _figures import Figure, report

from keelway.core import Action, Decision, PrincipalId, canonical_json, digest_bytes, plain
from keelway.engines.local.checkpoints import FolderCheckpoints
from keelway.engines.sql import SqlState
from keelway.ledger import SigningKey, audit, publish_checkpoint, published, record_decision, sign_checkpoint
from keelway.ledger.merkle import append, consistency_proof, inclusion_proof, leaf_hash, verify_inclusion

ENTRIES = 1_000_000
CHUNK = 20_000
APPENDS = 300
BATCH = 1_000
REPEATS = 5
NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY = SigningKey("keelway.example/ledger", bytes(range(32)))
MICROSECONDS = int(NOW.timestamp() * 1e6)


def told(number: int) -> Decision:
    """Return a made-up decision; always the same for a number."""
    digest = digest_bytes(b"%d" % (number % 10_000))
    at = NOW + timedelta(seconds=number)
    return Decision(Action.STEP, f"run{number // 10}/step", True, PrincipalId("sp:ci"), at, {"output": digest})


def seconds(work: Callable[[], object]) -> float:
    """Return how long work takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def append_figures(folder: Path) -> Iterator[Figure]:
    """Append decisions one by one and many at once, beside plain inserts of the same bytes."""
    state = SqlState(f"sqlite:///{folder}/state.db")
    plainly = sqlite3.connect(folder / "plain.db", isolation_level=None)
    for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL"):
        plainly.execute(statement)
    plainly.execute("CREATE TABLE entries (id INTEGER PRIMARY KEY, body TEXT NOT NULL)")
    bodies = [canonical_json(plain(told(number))).decode() for number in range(max(APPENDS, BATCH))]

    def one(number: int) -> None:
        with state.transaction() as tx:
            record_decision(told(number), tx=tx)

    def plain_one(number: int) -> None:
        plainly.execute("INSERT INTO entries (body) VALUES (?)", (bodies[number],))

    ours, theirs = [], []
    for number in range(APPENDS):  # in turn, so that both see the same machine
        ours.append(seconds(lambda number=number: one(number)))
        theirs.append(seconds(lambda number=number: plain_one(number)))
    yield compared("append one decision, durably, p50", median(ours), median(theirs), "a durable insert of its bytes")

    def many() -> None:
        with state.transaction() as tx:
            for number in range(BATCH):
                record_decision(told(number), tx=tx)

    def plain_many() -> None:
        plainly.execute("BEGIN IMMEDIATE")
        for body in bodies[:BATCH]:
            plainly.execute("INSERT INTO entries (body) VALUES (?)", (body,))
        plainly.execute("COMMIT")

    rounds = [(seconds(many), seconds(plain_many)) for _ in range(REPEATS)]
    ours_s, theirs_s = (median(each) / BATCH for each in zip(*rounds, strict=True))
    yield compared(f"append {BATCH:,} in one transaction, each", ours_s, theirs_s, "the same number of inserts in one")
    state.close()
    plainly.close()


def compared(name: str, ours_s: float, theirs_s: float, peer: str) -> Figure:
    """Return a time in microseconds against another one."""
    return Figure(name, ours_s * 1e6, f"us ({peer}: {theirs_s * 1e6:.0f} us)", peer, ours_s / theirs_s)


def fill(folder: Path, count: int) -> None:
    """Write a sound ledger of many entries, and publish a checkpoint of all and of a half."""
    path = folder / "state.db"
    SqlState(f"sqlite:///{path}").close()
    target = FolderCheckpoints(folder / "checkpoints")
    hashes: dict[tuple[int, int], bytes] = {}
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        numbers = iter(range(count))
        while chunk := list(islice(numbers, CHUNK)):
            write(connection, chunk, hashes)
            connection.commit()
            if chunk[0] < count // 2 <= chunk[-1] + 1:
                publish(path, target)
    publish(path, target)


def write(connection: sqlite3.Connection, chunk: list[int], hashes: dict[tuple[int, int], bytes]) -> None:
    """Write some entries with their records and subtrees; `hashes` keeps the subtrees that are still needed."""
    leaves, nodes, records = [], [], []
    for number in chunk:
        text = json.dumps(plain(told(number)), sort_keys=True, separators=(",", ":"))  # canonical: ASCII, no fractions
        data = b'{"decision":%b,"index":%d}' % (text.encode(), number)
        added = append(number, leaf_hash(data), lambda places: [hashes.pop(place) for place in places])
        hashes[added[-1].level, added[-1].index] = added[-1].hash
        nodes += [(node.level, node.index, node.hash) for node in added]
        leaves.append((number, data, digest_bytes(data)))
        at = MICROSECONDS + number * 1_000_000
        records.append(("Decision", f"{number:012d}", f"run{number // 10}/step", at, digest_bytes(text.encode()), text))
    connection.executemany('INSERT INTO log_leaves ("index", data, digest) VALUES (?, ?, ?)', leaves)
    connection.executemany('INSERT INTO log_nodes (level, "index", hash) VALUES (?, ?, ?)', nodes)
    connection.executemany(
        "INSERT INTO records (kind, key, parent, at, digest, body) VALUES (?, ?, ?, ?, ?, ?)", records
    )


def publish(path: Path, target: FolderCheckpoints) -> None:
    """Publish a checkpoint of what the database holds."""
    with closing(SqlState(f"sqlite:///{path}")) as state, state.snapshot() as tx:
        publish_checkpoint(tx.log, origin="bench", key=KEY, targets=[target])


def proof_figures(folder: Path, count: int) -> Iterator[Figure]:
    """Make and check proofs out of many entries."""
    with closing(SqlState(f"sqlite:///{folder}/state.db")) as state, state.snapshot() as tx:
        checkpoint = sign_checkpoint(tx.log, origin="bench", key=KEY)
        places = [number * (count - 1) // 200 for number in range(201)]
        made = [seconds(lambda place=place: inclusion_proof(place, count, tx.log.nodes)) for place in places]
        path = inclusion_proof(count // 3, count, tx.log.nodes)
        leaf, root = leaf_hash(tx.log.leaf(count // 3)), bytes.fromhex(checkpoint.root)
        checked = [seconds(lambda: verify_inclusion(leaf, count // 3, count, path, root)) for _ in range(200)]
        extends = [seconds(lambda place=place: consistency_proof(place, count, tx.log.nodes)) for place in places[1:]]
        longest = max(len(consistency_proof(place, count, tx.log.nodes)) for place in places[1:])
        signing = [seconds(lambda: sign_checkpoint(tx.log, origin="bench", key=KEY)) for _ in range(20)]
    yield Figure(f"inclusion proof of {count:,} entries", 32 * len(path), f"bytes ({len(path)} hashes)", aim="O(log n)")
    yield Figure("make an inclusion proof, p50", median(made) * 1e3, "ms")
    yield Figure("check an inclusion proof, p50", median(checked) * 1e6, "us")
    yield Figure("consistency proof, the longest of 200", 32 * longest, f"bytes ({longest} hashes)", aim="O(log n)")
    yield Figure("make a consistency proof, p50", median(extends) * 1e3, "ms")
    yield Figure("sign a checkpoint, p50", median(signing) * 1e3, "ms")


def audit_alone(folder: Path) -> None:
    """Audit a ledger in this process and print what it took, as JSON."""
    target = FolderCheckpoints(folder / "checkpoints")
    with closing(SqlState(f"sqlite:///{folder}/state.db")) as state:
        begun, worked = time.perf_counter(), time.process_time()
        found = audit(state, key=KEY.public, checkpoints=published([target]))
        took = {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - worked}
    most = peak_kb()
    assert found.ok, found.problems
    told_of = {"size": found.size, "checkpoints": found.checkpoints, "most_kb": most}
    sys.stdout.write(json.dumps(took | told_of) + "\n")


def peak_kb() -> int:
    """Return the most memory that this process held; `ru_maxrss` would tell of the process that started it, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def audit_figures(sizes: dict[int, Path]) -> Iterator[Figure]:
    """Audit a small and a large ledger, each in a process of its own, so that their memory can be told apart."""
    took = {}
    for count, folder in sizes.items():
        done = subprocess.run(
            [sys.executable, __file__, "--audit", str(folder)], check=True, capture_output=True, text=True
        )
        took[count] = json.loads(done.stdout)
        assert took[count]["size"] == count, took[count]
    small, large = (took[count] for count in sorted(sizes))
    count = max(sizes)
    rate = count / large["seconds"]
    yield Figure(f"audit {count:,} entries and {large['checkpoints']} checkpoints", large["seconds"], "s")
    yield Figure("entries audited in a second", rate, f"entries/s ({large['cpu']:.0f} s of processor time)")
    more = f"MB at most ({small['most_kb'] / 1024:.0f} MB for {min(sizes):,})"
    yield Figure("memory of the audit", large["most_kb"] / 1024, more, aim="the same for every size")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--entries", type=int, default=ENTRIES)
    parser.add_argument("--audit", type=Path, help="only audit the ledger in this folder")
    args = parser.parse_args()
    if args.audit is not None:
        audit_alone(args.audit)
        return
    with tempfile.TemporaryDirectory() as name:
        folders = {count: Path(name) / str(count) for count in (args.entries // 20, args.entries)}
        for count, folder in folders.items():
            folder.mkdir()
            fill(folder, count)
        figures = [
            *append_figures(Path(name)),
            *proof_figures(folders[args.entries], args.entries),
            *audit_figures(folders),
        ]
    report(figures, args.json)


if __name__ == "__main__":
    main()
