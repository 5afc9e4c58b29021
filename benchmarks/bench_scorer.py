"""Microseconds a row takes: the compiled plan, the exported ONNX model, and the fitted pipeline of scikit-learn on a DataFrame.

The same fitted models answer the same rows, 20 mixed columns: a logistic regression and 200 trees of LightGBM. Each way takes its
turn, one row and 1,000 rows at once, and the best of several rounds counts. What is counted is the time of one thread on the
processor, so that others on the machine disturb little; every library is held to that one thread. All ways must agree.
The memory is that of a fresh process that loads the plan and answers.
"""

from __future__ import annotations

import argparse
import os

os.environ["OMP_NUM_THREADS"] = "1"  # before any library counts the processors

import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _figures import Figure, report

from keelway.features import FeatureColumn
from keelway.project import Estimator, Preprocessing
from keelway.register import OnnxModel, OnnxScorer, PlanScorer, compile_plan, plan_bytes, read_plan, to_onnx
from keelway.train import Lesson, fitted_pipeline, frame_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUMBERS, CATEGORIES, LEVELS = 12, 8, 8
ROWS, ANSWERED = 20_000, 1_000
ROUNDS, ONES = 5, 200
TOLERANCE = 1e-5
FEATURES = (
    *(FeatureColumn(f"number_{place}", "numeric") for place in range(NUMBERS)),
    *(FeatureColumn(f"category_{place}", "categorical") for place in range(CATEGORIES)),
)
ESTIMATORS = (
    Estimator("logistic", "sklearn.linear_model.LogisticRegression", {"max_iter": 1000}),
    Estimator("lightgbm", "lightgbm.LGBMClassifier", {"n_estimators": 200, "verbose": -1, "n_jobs": 1}),
)
PEER = "the scikit-learn pipeline on a DataFrame"
ALONE = """
import sys
from pathlib import Path
from keelway.register import PlanScorer, read_plan
scorer = PlanScorer(read_plan(Path(sys.argv[1]).read_bytes()))
row = [0.5 if each.kind == "numeric" else "level 1" for each in scorer.features]
for count in (1, 1000):
    scorer.predictions([row] * count)
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))
"""


def drawn() -> tuple[dict[str, list[Any]], NDArray[Any]]:
    """Return columns with nulls among them, and labels that follow some of them."""
    import numpy as np

    draw = np.random.default_rng(1)
    numbers = draw.normal(size=(NUMBERS, ROWS)).round(4)
    places = draw.integers(0, LEVELS, size=(CATEGORIES, ROWS))
    lost = draw.random((NUMBERS, ROWS)) < 0.05
    columns: dict[str, list[Any]] = {
        f"number_{at}": [None if gone else value for value, gone in zip(numbers[at].tolist(), lost[at], strict=True)]
        for at in range(NUMBERS)
    }
    columns |= {f"category_{at}": [f"level {place}" for place in places[at]] for at in range(CATEGORIES)}
    score = numbers[0] - numbers[1] * numbers[2] + (places[0] == 2) + draw.normal(size=ROWS)
    return columns, (score > 0.3).astype(np.int8)


def microseconds(answer: Callable[[Any], Any], batches: Sequence[Any]) -> float:
    """Return the processor time of one call in the best round."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.thread_time()
        for batch in batches:
            answer(batch)
        best = min(best, (time.thread_time() - begun) / len(batches))
    return best * 1e6


def resident_mb(plan: bytes) -> float:
    """Return the memory of a process that loads a plan and answers."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan"
        path.write_bytes(plan)
        done = subprocess.run([sys.executable, "-c", ALONE, path], check=True, capture_output=True, text=True)
    return int(done.stdout) * 1024 / 1e6


def measured(estimator: Estimator, columns: dict[str, list[Any]], labels: Any) -> Iterator[Figure]:
    """Yield the figures of one estimator."""
    pipeline = fitted_pipeline(Lesson(FEATURES, frame_of(columns, FEATURES), labels, Preprocessing()), estimator)
    stored = _stored(pipeline)
    data = plan_bytes(compile_plan(stored, FEATURES, task="binary"))
    plan, onnx = PlanScorer(read_plan(data)), OnnxScorer(OnnxModel(to_onnx(stored, FEATURES), FEATURES), task="binary")
    rows = [list(row) for row in zip(*(values[:ANSWERED] for values in columns.values()), strict=True)]
    frame = frame_of({name: values[:ANSWERED] for name, values in columns.items()}, FEATURES)
    ways: dict[str, tuple[Callable[[Any], Any], list[Any], Any]] = {
        "sklearn": (pipeline.predict_proba, [frame.iloc[[place]] for place in range(ONES // 4)], frame),
        "onnx": (onnx.predictions, [[row] for row in rows[:ONES]], rows),
        "plan": (plan.predictions, [[row] for row in rows[:ONES]], rows),
    }
    _must_agree(plan.predictions(rows), pipeline.predict_proba(frame)[:, 1], onnx.predictions(rows))
    for count in (1, ANSWERED):
        base = 0.0
        for name, (answer, ones, all_rows) in ways.items():
            took = microseconds(answer, ones if count == 1 else [all_rows] * 3) / count
            base = base or took
            aim = "" if count == 1 or name != "plan" else "<= 20"
            label = f"scorer.{estimator.name}_{name}_{count}"
            yield Figure(label, took, "us a row", PEER if name != "sklearn" else "", took / base, aim)
    yield Figure(f"scorer.{estimator.name}_plan_size", len(data) / 1e3, "kB")
    yield Figure(f"scorer.{estimator.name}_plan_resident", resident_mb(data), "MB", aim="<= 200")


def _stored(pipeline: Any) -> Any:
    """Return a pipeline as it comes back from the store."""
    from keelway.core import ArtifactKind
    from keelway.engines.local.artifacts import LocalArtifacts
    from keelway.train import load_pipeline
    from keelway.train.stored import pipeline_bytes

    data = pipeline_bytes(pipeline)
    with tempfile.TemporaryDirectory() as folder:
        artifacts = LocalArtifacts(Path(folder))
        return load_pipeline(artifacts.put(data, kind=ArtifactKind.MODEL).digest, artifacts=artifacts)


def _must_agree(*answers: Any) -> None:
    first, *others = answers
    for other in others:
        if max(abs(a - b) for a, b in zip(first, other, strict=True)) > TOLERANCE:
            raise SystemExit("Two ways do not answer alike")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    columns, labels = drawn()
    report([figure for each in ESTIMATORS for figure in measured(each, columns, labels)], arguments.json)


if __name__ == "__main__":
    main()
