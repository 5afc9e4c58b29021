"""The prediction log in columns, and a batch that is scored into it: sizes, processor time and memory.

Sealing and reading are compared with the JSON lines that a segment would hold otherwise, in the same run. The batch goes through
the same plan, arms and log twice: in columns, and as requests of 1,000 rows, which are journalled and then sealed. Each batch
runs in a fresh process, whose highest memory is told; time is that of the processor, so that others on the machine disturb
little. An hour of a server's small segments is compared with the file that they are compacted into. Every prediction is found in the ledger afterwards, or there is no figure.
"""

from __future__ import annotations

import argparse
import json
import os

os.environ["OMP_NUM_THREADS"] = "1"  # before any library counts the processors

import resource
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _figures import Figure, report
from _programs import alone

from keelway.core import PrincipalId, SystemClock, sortable_ids
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.local.journal import FileJournals
from keelway.engines.sql import SqlState

if TYPE_CHECKING:
    import pyarrow as pa

    from keelway.register import PlanScorer
    from keelway.serve import LoadedDeployment

SMALL = 50  # lines that a server of some 50 requests a second seals at once
LINES, ONE_BY_ONE, REQUEST_ROWS, PART_ROWS = 5_000, 40_000, 1_000, 10_000
ROUNDS = 5
NOW = datetime(2026, 3, 1, tzinfo=UTC)
ANA = PrincipalId("sp:bench")
LINES_OF_JSON, REQUESTS = "lines of JSON", "requests of 1,000 rows"


def seconds(work: Callable[[], Any]) -> float:
    """Return the processor time of the best of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.process_time()
        work()
        best = min(best, time.process_time() - begun)
    return best


def written_plan(folder: Path) -> None:
    """Fit 200 trees of LightGBM over 20 columns, and leave their plan in a folder."""
    from bench_scorer import ESTIMATORS, FEATURES, _stored, drawn

    from keelway.project import Preprocessing
    from keelway.register import compile_plan, plan_bytes
    from keelway.train import Lesson, fitted_pipeline, frame_of

    columns, labels = drawn()
    pipeline = fitted_pipeline(Lesson(FEATURES, frame_of(columns, FEATURES), labels, Preprocessing()), ESTIMATORS[1])
    (folder / "plan").write_bytes(plan_bytes(compile_plan(_stored(pipeline), FEATURES, task="binary")))


def scorer_of(folder: Path) -> PlanScorer:
    """Return the scorer of that plan."""
    from keelway.register import PlanScorer, read_plan

    return PlanScorer(read_plan((folder / "plan").read_bytes()))


def part(scorer: PlanScorer, first: int, count: int) -> pa.Table:
    """Return made-up rows of the features, always the same for a place."""
    import numpy as np
    import pyarrow as pa

    draw = np.random.default_rng(first)
    made: dict[str, Any] = {"entity": [f"c{number:08}" for number in range(first, first + count)]}
    for each in scorer.features:
        if each.kind == "numeric":
            made[each.name] = pa.array(draw.normal(size=count).round(4), mask=draw.random(count) < 0.05)
        else:
            made[each.name] = [f"level {place}" for place in draw.integers(0, 8, count)]
    return pa.table(made)


def served(scorer: Any) -> LoadedDeployment:
    """Return a deployment in which this scorer answers everything."""
    from keelway.serve.loaded import VersionAtHand, assembled
    from keelway.testing.serving import ONE, deployment_of

    deployment = deployment_of(churn_1=100)
    return assembled(deployment, {ONE: VersionAtHand(ONE, deployment.versions[ONE], scorer)})


def journal_of(scorer: PlanScorer) -> bytes:
    """Return the lines that requests for some rows leave in a journal."""
    writer, rows = served(scorer).stable.writer, part(scorer, 0, LINES).to_pylist()
    names = [each.name for each in scorer.features]
    answers = scorer.predictions([[row[name] for name in names] for row in rows])
    told = zip(rows, answers, sortable_ids(LINES), strict=True)
    return b"".join(
        writer.lines(
            [prediction_id], [(row["entity"], NOW, [row[name] for name in names])], [repr(answer)],
            at=f"2026-03-01T00:00:00.{place:06}Z",
        )
        for place, (row, answer, prediction_id) in enumerate(told, 1)
    )  # fmt: skip


def segment_figures(scorer: PlanScorer) -> Iterator[Figure]:
    """Yield what a segment takes, and what it takes to seal and to read one."""
    import pyarrow as pa

    from keelway.core import parse_json
    from keelway.ledger import root_of
    from keelway.serve.log_columns import columns_of
    from keelway.serve.segment_file import SegmentFile, segment_bytes

    data = journal_of(scorer)
    lines = data.splitlines()
    made = segment_bytes(columns_of(data))
    if SegmentFile(made).lines() != lines:
        raise SystemExit("The lines do not come back")
    yield Figure(
        "log.segment_size", len(made) / LINES, "bytes a prediction", LINES_OF_JSON, len(made) / len(data), "<= 0.2"
    )
    packed = len(pa.compress(data, codec="zstd", asbytes=True))
    yield Figure(
        "log.segment_size_packed", len(made) / LINES, "bytes a prediction", "the same lines in zstd", len(made) / packed
    )
    hashed = seconds(lambda: root_of(data.splitlines()))
    took = seconds(lambda: (root_of(data.splitlines()), segment_bytes(columns_of(data))))
    yield Figure("log.seal", took / LINES * 1e6, "us a prediction", "hashing the lines alone", took / hashed)
    parsed = seconds(lambda: [(each["entity"], each["value"]) for each in map(parse_json, data.splitlines())])
    took = seconds(lambda: SegmentFile(made).columns(["entity", "value"]))
    yield Figure("log.read_two_columns", took * 1e3, "ms for 5,000", LINES_OF_JSON, took / parsed)
    wanted = parse_json(lines[LINES // 2])["prediction_id"]
    file = SegmentFile(made)
    took = seconds(lambda: file.lines_at(file.place_of(wanted) or 0, 1))
    yield Figure("log.find_one", took * 1e3, "ms among 5,000")


def compaction_figures(scorer: PlanScorer, folder: Path) -> Iterator[Figure]:
    """Yield what an hour of a server's segments takes and costs to read, as packed lines and compacted."""
    from keelway.serve import SealingPorts, compact_segments, find_prediction, live_segments, prediction_table
    from keelway.serve.segment import seal_entries

    state, artifacts = SqlState(f"sqlite:///{folder / 'hour.db'}"), LocalArtifacts(folder / "hour")
    ports, lines = SealingPorts(state, artifacts, ANA), journal_of(scorer).splitlines(keepends=True)
    for first in range(0, LINES, SMALL):
        seal_entries(
            b"".join(lines[first : first + SMALL]),
            journal=f"j{first:05}",
            model="churn",
            environment="prod",
            ports=ports,
            now=NOW,
        )

    def size() -> float:
        with state.snapshot() as tx:
            return sum(artifacts.size_of(each.data) or 0 for each in live_segments("churn", "prod", tx)) / LINES

    def read() -> Any:
        with state.snapshot() as tx:
            return prediction_table("churn", "prod", columns=["entity", "value"], tx=tx, artifacts=artifacts)

    def find() -> Any:
        with state.snapshot() as tx:
            return find_prediction(wanted, tx=tx, artifacts=artifacts)

    wanted = json.loads(lines[LINES // 2])["prediction_id"]
    before = size(), seconds(read), seconds(find), find()
    begun = time.process_time()
    compact_segments("churn", "prod", before=datetime.now(UTC), ports=ports, now=NOW)
    took = time.process_time() - begun
    if find() != before[3]:
        raise SystemExit("A prediction is not found as before")
    packed = f"{LINES // SMALL} segments of packed lines"
    yield Figure("log.compact", took / LINES * 1e6, "us a prediction")
    yield Figure("log.compacted_size", size(), "bytes a prediction", packed, size() / before[0])
    again, found = seconds(read), seconds(find)
    yield Figure("log.compacted_read", again * 1e3, "ms for two columns of 5,000", packed, again / before[1])
    yield Figure("log.compacted_find", found * 1e3, "ms for one among 5,000", packed, found / before[2])
    state.close()


def in_columns(folder: Path, rows: int) -> None:
    """Score rows in columns, as `keelway score` does."""
    from keelway.serve import SealingPorts, SegmentLog, score

    scorer, state = scorer_of(folder), SqlState(f"sqlite:///{folder}/columns-{rows}.db")
    ports = SealingPorts(state, LocalArtifacts(folder / "artifacts"), ANA)
    log = SegmentLog("churn", "prod", batch="bench", ports=ports, clock=SystemClock())
    parts = (part(scorer, first, min(PART_ROWS, rows - first)) for first in range(0, rows, PART_ROWS))
    _told(lambda: score(parts, served(scorer), as_of=NOW, log=log, now=NOW).rows, state)


def in_requests(folder: Path, rows: int) -> None:
    """Score rows as requests do, with a journal that is sealed beside."""
    from keelway.serve import JournalLog, SealingPorts, answer_rows

    scorer, state = scorer_of(folder), SqlState(f"sqlite:///{folder / 'requests.db'}")
    log = JournalLog(
        "churn", environment="prod", journals=FileJournals(folder / "journals"),
        ports=SealingPorts(state, LocalArtifacts(folder / "artifacts"), ANA), clock=SystemClock(),
    )  # fmt: skip
    names, loaded = [each.name for each in scorer.features], served(scorer)

    def work() -> int:
        log.start()
        for first in range(0, rows, REQUEST_ROWS):
            given = part(scorer, first, REQUEST_ROWS).to_pylist()
            asked = [(row["entity"], NOW, [row[name] for name in names]) for row in given]
            answer_rows(asked, loaded, log=log, at="2026-03-01T00:00:00Z")
        log.close()
        return rows

    _told(work, state)


def _told(work: Callable[[], int], state: SqlState) -> None:
    """Do the work and print its time and memory, if every prediction is in the ledger."""
    from keelway.serve import PredictionSegment

    begun, clock = time.process_time(), time.perf_counter()
    rows = work()
    took, waited = time.process_time() - begun, time.perf_counter() - clock
    with state.snapshot() as tx:
        if sum(segment.count for segment in tx.newest(PredictionSegment)) != rows:
            raise SystemExit("Not every prediction is in the ledger")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps({"processor": took / rows * 1e6, "clock": waited, "peak_mb": peak}))


def batch_figures(folder: Path, rows: int) -> Iterator[Figure]:
    """Yield the figures of a batch."""
    few = alone(__file__, folder, "columns", min(rows, 100_000))
    many = alone(__file__, folder, "columns", rows)
    asked = alone(__file__, folder, "requests", ONE_BY_ONE)
    ratio = asked["processor"] / many["processor"]
    yield Figure("score.columns", 1e6 / many["processor"], "rows a second of one core", REQUESTS, ratio)
    yield Figure("score.columns_clock", rows / many["clock"], "rows/s")
    growth = many["peak_mb"] / few["peak_mb"]
    yield Figure("score.columns_peak", many["peak_mb"], f"MB for {rows:,} rows", "a batch of 100,000", growth, "<= 1.2")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--way", choices=["columns", "requests"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.way:
        {"columns": in_columns, "requests": in_requests}[arguments.way](arguments.folder, arguments.rows)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written_plan(folder)
        scorer = scorer_of(folder)
        figures = [*segment_figures(scorer), *compaction_figures(scorer, folder)]
        figures += batch_figures(folder, arguments.rows)
    report(figures, arguments.json)


if __name__ == "__main__":
    main()
