"""A model in processes of its own: answers as the pipeline does, in batches, and whatever happens to a process is told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from keelway.core import ArtifactKind
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.local.frames import read_frame, send_frame
from keelway.engines.local.python_worker.__main__ import loaded
from keelway.engines.local.python_worker.messages import WorkerAnswer, WorkerModel
from keelway.engines.local.python_worker.scorer import PythonScorer
from keelway.engines.local.python_worker.waiting import PythonRule
from keelway.errors import (
    EngineError,
    IntegrityError,
    MissingRecordError,
    ServingError,
    UnavailableError,
    UndefinedAnswerError,
)
from keelway.features import FeatureColumn
from keelway.serve import Breaker, BreakerRule, ShedRule
from keelway.train import frame_of
from keelway.train.stored import pipeline_bytes

FEATURES = (FeatureColumn("age", "numeric"), FeatureColumn("plan", "categorical"))
OWN = '''
import os, time
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from keelway.train import trust_type

class Moody(ClassifierMixin, BaseEstimator):
    """Does what the age says: -1 ends the process, -2 sleeps, -3 raises, -4 gives no number, -5 raises after a while."""

    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X):
        ages = np.asarray(X)[:, 0].astype(float)
        if (ages == -1).any():
            os._exit(1)
        if (ages == -2).any():
            time.sleep(60)
        if (ages == -5).any():
            time.sleep(0.5)
        if (ages == -3).any() or (ages == -5).any():
            raise RuntimeError("age -3 of customer 00042")
        share = np.where(ages == -4, np.nan, np.clip(ages / 100, 0, 1))
        return np.column_stack([1 - share, share])

trust_type(Moody)
'''


@pytest.fixture(scope="module")
def moody(tmp_path_factory: pytest.TempPathFactory) -> WorkerModel:
    """A model of the project's own code, whose answer is the age in centuries."""
    import importlib
    import sys

    from sklearn.pipeline import Pipeline

    folder = tmp_path_factory.mktemp("own")
    (folder / "own_moody.py").write_text(OWN)
    sys.path.insert(0, str(folder))
    try:
        own = importlib.import_module("own_moody")
        made = Pipeline([("model", own.Moody())]).fit(pd.DataFrame({"age": [1.0, 2.0], "plan": ["a", "b"]}), [0, 1])
        data = pipeline_bytes(made)
    finally:
        sys.path.remove(str(folder))
    stored = LocalArtifacts(folder / "artifacts").put(data, kind=ArtifactKind.MODEL)
    return WorkerModel(
        stored.digest, {stored.digest: data}, FEATURES, "binary", (), folders=(str(folder),), module="own_moody"
    )


def scorer_of(model: WorkerModel, clock: Any = time.monotonic, **rule: Any) -> PythonScorer:
    made = PythonRule(**({"timeout_s": 5.0, "shed": ShedRule(target_s=60)} | rule))
    names = tuple(f"churn:1/{number}" for number in range(made.processes))
    breaker = Breaker(names, rule=BreakerRule(consecutive_failures=3), clock=clock)
    return PythonScorer(model, names=names, rule=made, breaker=breaker)


@pytest.fixture(scope="module")
def scorer(moody: WorkerModel) -> Iterator[PythonScorer]:
    made = scorer_of(moody, timeout_s=1.0)
    yield made
    made.close()


def answer(scorer: PythonScorer, *ages: float) -> list[Any]:
    return scorer.predictions([[age, "gold"] for age in ages])


def answers_again(scorer: PythonScorer, within_s: float = 120.0) -> list[Any]:
    """Return the answer to age 10 when a process is there again."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        with contextlib.suppress(ServingError):
            return answer(scorer, 10)
        time.sleep(0.05)
    raise AssertionError("nobody answers")


def test_rows_are_answered_in_their_order_with_nulls_as_the_pipeline_takes_them(scorer: PythonScorer) -> None:
    assert answer(scorer, 10, 20, 99) == [0.1, 0.2, 0.99]
    assert answer(scorer, *range(100)) == pytest.approx([age / 100 for age in range(100)]), "more than one batch"
    assert scorer.predictions([]) == []
    assert scorer.waits


def test_many_callers_share_calls_and_each_gets_its_own_answers(scorer: PythonScorer) -> None:
    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(lambda age: answer(scorer, age, age + 1), range(90)))
    assert found == [pytest.approx([age / 100, (age + 1) / 100]) for age in range(90)]


def test_answers_can_be_awaited_without_a_thread_for_each(scorer: PythonScorer) -> None:
    async def many() -> list[Any]:
        return await asyncio.gather(*(scorer.awaited([[age, "gold"], [age + 1, "gold"]]) for age in range(90)))

    before = threading.active_count()
    assert asyncio.run(many()) == [pytest.approx([age / 100, (age + 1) / 100]) for age in range(90)]
    assert threading.active_count() == before
    assert asyncio.run(scorer.awaited([])) == []


def test_what_is_awaited_fails_as_what_is_waited_for(scorer: PythonScorer) -> None:
    async def bad_and_good() -> list[Any]:
        asked = (scorer.awaited([[age, "gold"]]) for age in (-3, 10, -4))
        return await asyncio.gather(*asked, return_exceptions=True)

    raised, good, undefined = asyncio.run(bad_and_good())
    assert isinstance(raised, ServingError)
    assert good == [0.1]
    assert isinstance(undefined, UndefinedAnswerError)
    with pytest.raises(ServingError):
        asyncio.run(scorer.awaited([[1.0]]))


def test_a_caller_that_waits_no_longer_costs_nobody_else_an_answer(scorer: PythonScorer) -> None:
    async def impatient() -> list[Any]:
        gone = [asyncio.create_task(scorer.awaited([[age, "gold"]])) for age in range(20)]
        kept = asyncio.create_task(scorer.awaited([[30, "gold"]]))
        await asyncio.sleep(0)
        for each in gone:
            each.cancel()
        return await kept

    assert asyncio.run(impatient()) == [0.3]
    assert answer(scorer, 10) == [0.1], "the thread that hands out answers goes on"


def test_a_row_that_the_model_cannot_answer_costs_nobody_else_an_answer(scorer: PythonScorer) -> None:
    with ThreadPoolExecutor(16) as pool:
        bad = pool.submit(answer, scorer, -3)
        good = list(pool.map(lambda age: answer(scorer, age), range(16)))
    assert good == [[age / 100] for age in range(16)]
    with pytest.raises(ServingError, match="RuntimeError") as caught:
        bad.result()
    assert "00042" not in str(caught.value), "what a model says may tell of a person"


def test_what_is_no_number_is_never_an_answer(scorer: PythonScorer) -> None:
    with pytest.raises(UndefinedAnswerError, match="not finite"):
        answer(scorer, -4)


def test_a_row_of_another_length_is_refused_before_it_is_sent(scorer: PythonScorer) -> None:
    with pytest.raises(ServingError, match="another length"):
        scorer.predictions([[1.0]])


def test_a_process_that_is_killed_is_started_anew(scorer: PythonScorer) -> None:
    (pid,) = scorer.pids
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ServingError):
        answer(scorer, 10)
    assert answers_again(scorer) == [0.1]
    assert scorer.pids != (pid,)


def test_a_call_that_takes_too_long_ends_the_process_and_not_the_server(scorer: PythonScorer) -> None:
    (pid,) = scorer.pids
    with pytest.raises(ServingError, match="in time"):
        answer(scorer, -2)
    assert answers_again(scorer) == [0.1]
    assert scorer.pids != (pid,)


def test_a_process_that_keeps_failing_is_left_alone_and_tried_again_later(moody: WorkerModel) -> None:
    now = [0.0]
    scorer = scorer_of(moody, clock=lambda: now[0])
    try:
        for _ in range(2):
            with pytest.raises(ServingError):
                answer(scorer, -3)
        with ThreadPoolExecutor(2) as pool:
            last = pool.submit(answer, scorer, -5)
            time.sleep(0.1)
            behind = pool.submit(answer, scorer, 10)
            for each in (last, behind):
                with pytest.raises((ServingError, UnavailableError), match=r"no answer|not asked now"):
                    each.result(5)  # what waits for a process that nobody asks any more is told so, and waits no longer
        with pytest.raises(UnavailableError) as caught:
            answer(scorer, 10)
        assert caught.value.retry_after_s == 30
        now[0] = 31.0
        assert answer(scorer, 10) == [0.1]
        (pid,) = scorer.pids
    finally:
        scorer.close()
    assert not Path(f"/proc/{pid}").exists(), "nothing is left"


def test_a_type_that_nobody_trusts_is_refused_by_the_process(moody: WorkerModel) -> None:
    with pytest.raises(IntegrityError, match="allow list"):
        scorer_of(replace(moody, module=""))


def test_altered_bytes_are_not_the_ones_that_were_asked_for(moody: WorkerModel) -> None:
    [(digest, data)] = moody.artifacts.items()
    with pytest.raises(MissingRecordError):
        loaded(replace(moody, artifacts={digest: data[:-1] + b"x"}))


def test_frames_come_through_whole_and_strange_ones_are_refused() -> None:
    import socket

    ours, theirs = socket.socketpair()
    rows = [[float(number), "gold", None, [1.0, 2.0]] for number in range(5_000)]
    sender = threading.Thread(target=send_frame, args=(ours, rows))
    sender.start()
    assert read_frame(theirs, list[list[Any]]) == rows
    sender.join()
    for number in (1, 2):
        send_frame(ours, WorkerAnswer([number]))
    with pytest.raises(EngineError, match="strange"):  # nobody speaks before he was answered
        read_frame(theirs, WorkerAnswer)
    send_frame(ours, {"no": "answer"})
    with pytest.raises(EngineError, match="strange"):
        read_frame(theirs, WorkerAnswer)
    ours.close()
    with pytest.raises(EngineError, match="ended"):
        read_frame(theirs, WorkerAnswer)
    theirs.close()


def test_a_process_computes_in_one_thread_unless_the_environment_says_otherwise(scorer: PythonScorer) -> None:
    (pid,) = scorer.pids
    told = f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', '1')}".encode()
    assert told in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


def test_the_answers_are_those_of_the_pipeline_itself(tmp_path: Path) -> None:
    from sklearn.compose import make_column_transformer
    from sklearn.naive_bayes import GaussianNB
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    draw = np.random.default_rng(3)
    columns = {"age": draw.uniform(18, 90, 200).tolist(), "plan": draw.choice(["gold", "silver"], 200).tolist()}
    frame = frame_of(columns, FEATURES)
    levels = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    steps = make_column_transformer((levels, ["plan"]), ("passthrough", ["age"]))
    pipeline = Pipeline([("columns", steps), ("model", GaussianNB())]).fit(frame, draw.integers(0, 2, 200))
    data = pipeline_bytes(pipeline)
    stored = LocalArtifacts(tmp_path).put(data, kind=ArtifactKind.MODEL)
    model = WorkerModel(stored.digest, {stored.digest: data}, FEATURES, "binary", ())
    found = loaded(model)([list(row) for row in zip(*columns.values(), strict=True)])
    assert found == pipeline.predict_proba(frame)[:, 1].tolist()
