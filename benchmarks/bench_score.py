"""A batch scored as `keelway score` does, against what a notebook would do: the scikit-learn pipeline over the same parts.

The same 200 trees of LightGBM answer the same file of 12 numbers and 8 categories, a part of 10,000 rows at a time. Keelway reads,
scores and seals every answer so that it can be proven; the peer reads, predicts on a DataFrame and writes entity and answer to
a Parquet file; the floor reads and scores by the plan, and keeps nothing. Each runs in a process of its own, held to one
thread; what is compared is processor time. Memory is looked at after a tenth, half and all of the rows. The whole command also
computes the features, groups of a file of rows, and stores them before it scores; the most memory that it ever takes is told. At the end
every row has been answered, sealed and counted once, and a second run of the batch scores nothing, or there is no figure.
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
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _figures import Figure, report
from _programs import alone
from bench_prediction_log import ANA, NOW, PART_ROWS, part, scorer_of, served, written_plan

from keelway.app.score_rows import stream_rows
from keelway.core import SystemClock
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.sql import SqlState
from keelway.features import build_features
from keelway.project import Dataset, Estimator, Label, Model, RandomSplit, feature_set
from keelway.testing.features import ShopSnapshot

if TYPE_CHECKING:
    import pyarrow as pa

ROWS, DRAWN_ROWS = 500_000, 100_000
DAY = timedelta(days=1)
CUSTOMERS = Dataset("customers", contract="customers.yaml", source="customers/*.csv", event_time="")
PIPELINE = "the scikit-learn pipeline over parts"
MOMENTS = (0.1, 0.5, 1.0)


def written_rows(folder: Path, rows: int) -> None:
    """Write the file that is scored; rows are drawn once and repeated, with other entities."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    drawn = part(scorer_of(folder), 0, min(rows, DRAWN_ROWS))
    known = pa.array([NOW - DAY] * drawn.num_rows, pa.timestamp("us", "UTC"))
    drawn = drawn.append_column("_known_at", known)
    with pq.ParquetWriter(folder / "rows.parquet", drawn.schema, compression="zstd") as writer:
        for first in range(0, rows, drawn.num_rows):
            count = min(drawn.num_rows, rows - first)
            entities = pa.array([f"c{number:08}" for number in range(first, first + count)])
            writer.write_table(drawn.slice(0, count).set_column(0, "entity", entities), row_group_size=1 << 20)


def parts_of(folder: Path, rows: int, seen: list[float]) -> Iterator[pa.Table]:
    """Yield the file's parts, and note the memory that is resident after a tenth, half and all of them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    done, waiting = 0, [share * rows for share in MOMENTS]
    with pq.ParquetFile(folder / "rows.parquet", pre_buffer=False) as file:
        for batch in file.iter_batches(batch_size=PART_ROWS, use_threads=False):
            yield pa.Table.from_batches([batch])
            done += batch.num_rows
            while waiting and done >= waiting[0]:
                waiting.pop(0)
                seen.append(_resident_mb())


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def sealed(folder: Path, rows: int, seen: list[float]) -> Iterator[None]:
    """Score and seal, as `keelway score` does; then look whether that is whole."""
    from keelway.serve import SealingPorts, SegmentLog, live_segments, score

    state = SqlState(f"sqlite:///{folder / 'score.db'}")
    ports, loaded = SealingPorts(state, LocalArtifacts(folder / "artifacts"), ANA), served(scorer_of(folder))
    log = SegmentLog("churn", "prod", batch="bench", ports=ports, clock=SystemClock())
    score(parts_of(folder, rows, seen), loaded, as_of=NOW, log=log, now=NOW)
    yield
    again = score(parts_of(folder, rows, []), loaded, as_of=NOW, log=log, now=NOW)
    with state.snapshot() as tx:
        count = sum(segment.count for segment in live_segments("churn", "prod", tx))
    if not count == again.rows == again.kept == rows:
        raise SystemExit(f"{count} of {rows} predictions are sealed, and {again.kept} were found again")


@feature_set(entity="entity", sources=[CUSTOMERS])
def newest(customers: Any, as_of: Any) -> Any:
    """All columns of a customer."""
    return customers.group_by("entity").agg(
        **{name: customers[name].max() for name in customers.columns if name != "entity"}
    )


@Label.define(entity="entity", source=CUSTOMERS)
def gone(customers: Any, as_of: Any) -> Any:
    """Not asked for here; a model needs one."""
    return customers.group_by("entity").agg(gone=0 * customers.count())


MODEL = Model(
    "churn", features=[newest], label=gone, cuts=None, estimators=[Estimator("one", "x.Y")], split=RandomSplit()
)


def whole(folder: Path, rows: int, seen: list[float]) -> Iterator[None]:
    """Compute the features, store, score and seal, as the command does; then look whether that is whole."""
    import pyarrow.parquet as pq

    from keelway.serve import SealingPorts, SegmentLog, live_segments, score

    own = folder / "whole"
    own.mkdir()
    state, artifacts = SqlState(f"sqlite:///{own / 'score.db'}"), LocalArtifacts(own / "artifacts")
    columns = {each.name: str(each.type) for each in pq.read_schema(folder / "rows.parquet")}
    table = build_features(
        MODEL, {"customers": ShopSnapshot("customers", 1, NOW, columns)}, as_ofs=(NOW,), purpose="scoring", with_label=False,
        paths_of=lambda _: [folder / "rows.parquet"], artifacts=artifacts, state=state, now=NOW,
    )  # fmt: skip
    loaded = served(scorer_of(folder))
    parts = stream_rows(table, loaded.stable.scorer.features, artifacts=artifacts)
    log = SegmentLog("churn", "prod", batch="bench", ports=SealingPorts(state, artifacts, ANA), clock=SystemClock())
    score(parts, loaded, as_of=NOW, log=log, now=NOW)
    yield
    with state.snapshot() as tx:
        count = sum(segment.count for segment in live_segments("churn", "prod", tx))
    if count != rows:
        raise SystemExit(f"{count} of {rows} predictions are sealed")


def planned(folder: Path, rows: int, seen: list[float]) -> Iterator[None]:
    """Score by the plan, and keep nothing."""
    from keelway.serve.batch import asked_columns

    scorer = scorer_of(folder)
    for each in parts_of(folder, rows, seen):
        scorer.predictions_in(asked_columns(each, scorer.features)[1])
    yield


def piped(folder: Path, rows: int, seen: list[float]) -> Iterator[None]:
    """Let the pipeline answer DataFrames, and write entity and answer."""
    import joblib
    import pyarrow as pa
    import pyarrow.parquet as pq

    pipeline, names = joblib.load(folder / "pipeline.joblib")
    schema = pa.schema({"entity": pa.string(), "value": pa.float64()})
    with pq.ParquetWriter(folder / "answers.parquet", schema, compression="zstd") as writer:
        for each in parts_of(folder, rows, seen):
            values = pipeline.predict_proba(each.select(names).to_pandas())[:, 1]
            writer.write_table(pa.table({"entity": each["entity"], "value": values}, schema))
    yield


WAYS = {"whole": whole, "sealed": sealed, "planned": planned, "piped": piped}


def told(folder: Path, way: str, rows: int) -> None:
    """Go one way, and print its processor time in microseconds a row, the time of the clock, and its memory with the most of it."""
    seen: list[float] = []
    going = WAYS[way](folder, rows, seen)
    begun, clock = time.process_time(), time.perf_counter()
    next(going)
    took, waited = time.process_time() - begun, time.perf_counter() - clock
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    for _ in going:
        pass
    print(json.dumps({"processor": took / rows * 1e6, "clock": waited, "seen": seen, "peak": peak}))


def prepare(folder: Path, rows: int) -> None:
    """Leave plan, pipeline and rows in a folder."""
    import joblib
    from bench_scorer import ESTIMATORS, FEATURES, drawn

    from keelway.project import Preprocessing
    from keelway.train import Lesson, fitted_pipeline, frame_of

    written_plan(folder)
    columns, labels = drawn()
    pipeline = fitted_pipeline(Lesson(FEATURES, frame_of(columns, FEATURES), labels, Preprocessing()), ESTIMATORS[1])
    joblib.dump((pipeline, [each.name for each in FEATURES]), folder / "pipeline.joblib")
    written_rows(folder, rows)


def figures(folder: Path, rows: int) -> Iterator[Figure]:
    """Yield what each way takes."""
    found = {way: alone(__file__, folder, way, rows) for way in WAYS}
    ours, peer = found["sealed"], found["piped"]
    yield Figure("score.piped", 1e6 / peer["processor"], "rows a second of one core", PIPELINE, 1.0)
    for way in ("planned", "sealed", "whole"):
        ratio = peer["processor"] / found[way]["processor"]
        yield Figure(f"score.{way}", 1e6 / found[way]["processor"], "rows a second of one core", PIPELINE, ratio)
    yield Figure("score.sealed_clock", rows / ours["clock"], "rows/s", PIPELINE, peer["clock"] / ours["clock"])
    yield Figure("score.whole_peak", found["whole"]["peak"], "MB", "", None, "<= 1500")
    for share, resident in zip(MOMENTS, ours["seen"], strict=True):
        growth = resident / ours["seen"][0]
        aim = "<= 1.2" if share == 1 else ""
        yield Figure(f"score.resident_at_{share:.0%}", resident, "MB", "that at 10%", growth, aim)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.way:
        told(arguments.folder, arguments.way, arguments.rows)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, arguments.rows)
        report(figures(folder, arguments.rows), arguments.json)


if __name__ == "__main__":
    main()
