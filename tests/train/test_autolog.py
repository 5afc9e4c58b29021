"""A fit is recorded, and ends exactly as it would without."""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import keelway
from keelway.app.runs import RunRoom
from keelway.app.tracking import open_run, workspace_for
from keelway.core import RunEntry
from keelway.train.tracking import Autolog, autolog_off

DRAW = np.random.default_rng(0)
FRAME = pd.DataFrame(DRAW.normal(size=(120, 3)), columns=["age", "spend", "visits"])
LABELS = (FRAME.age + DRAW.normal(size=120) > 0).astype(int)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project without a tracker; autologging is off after each test, whatever happened in it."""
    for name in [name for name in os.environ if name.startswith("KEELWAY_")]:
        monkeypatch.delenv(name)
    (tmp_path / "src").mkdir()
    (tmp_path / "keelway.toml").write_text(
        '[project]\nname = "churn"\nmodule = "churn"\nactor = "user:ana"\n[signing]\nname = "churn"\n'
        '[engines]\ntracking = ""\n[principals."user:ana"]\nroles = ["data-scientist"]\n'
    )
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    autolog_off()
    assert "__init_subclass__" not in vars(BaseEstimator)
    assert not hasattr(LogisticRegression.fit, "__keelway_original_fit__")


def recorded(folder: Path) -> list[RunEntry]:
    return list(reversed(RunRoom(workspace_for(folder)).list()))


def test_a_fit_is_recorded_with_all_that_belongs_to_it(folder: Path) -> None:
    with keelway.autolog():
        model = LogisticRegression(C=0.5).fit(FRAME, LABELS)
    (entry,) = recorded(folder)
    assert (entry.kind, entry.estimator, entry.status) == ("autolog", "LogisticRegression", "succeeded")
    assert entry.parameters["C"] == 0.5
    assert entry.parameters["estimator_class"] == "sklearn.linear_model._logistic.LogisticRegression"
    assert entry.metrics["train_score"] == model.score(FRAME, LABELS)
    assert (entry.metrics["train_rows"], entry.metrics["train_columns"]) == (120, 3)
    assert entry.seconds is not None
    assert entry.seconds > 0
    record = RunRoom(workspace_for(folder)).show(entry.run_id).record
    assert record["tags"]["features"] == "age, spend, visits"
    assert [each["name"] for each in json.loads(record["signature_json"])["inputs"]] == ["age", "spend", "visits"]
    assert record["dataset"].startswith("sha256:")


def test_nothing_is_recorded_before_and_after(folder: Path) -> None:
    LogisticRegression().fit(FRAME, LABELS)
    switch = keelway.autolog()
    switch.off()
    LogisticRegression().fit(FRAME, LABELS)
    keelway.autolog()
    assert keelway.autolog(on=False) is None
    LogisticRegression().fit(FRAME, LABELS)
    switch.off()
    assert recorded(folder) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: make_pipeline(StandardScaler(), LogisticRegression()),
        lambda: GridSearchCV(
            make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": [0.1, 1]}
        ),
        lambda: GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, n_jobs=2),
        lambda: VotingClassifier([("a", LogisticRegression()), ("b", RandomForestClassifier(5))]),
        lambda: RandomForestClassifier(5, n_jobs=2),
    ],
    ids=["pipeline", "grid", "parallel grid", "voting", "threads"],
)
def test_a_fit_with_fits_inside_is_one_run(folder: Path, make: Any) -> None:
    import joblib

    with keelway.autolog(), joblib.parallel_backend("threading"):
        made = make().fit(FRAME, LABELS)
    (entry,) = recorded(folder)
    assert entry.estimator == type(made).__name__


def test_a_search_tells_what_it_chose(folder: Path) -> None:
    with keelway.autolog():
        search = GridSearchCV(LogisticRegression(), {"C": [0.01, 1.0]}).fit(FRAME, LABELS)
    (entry,) = recorded(folder)
    assert entry.parameters["best_C"] == search.best_params_["C"]
    assert entry.metrics["best_cv_score"] == search.best_score_


def test_what_predicts_nothing_is_no_run_and_a_clustering_is_one(folder: Path) -> None:
    with keelway.autolog():
        StandardScaler().fit(FRAME)
        KMeans(2, n_init=1, random_state=0).fit(FRAME)
    assert [entry.estimator for entry in recorded(folder)] == ["KMeans"]


def test_results_and_random_numbers_are_those_without(folder: Path) -> None:
    def work() -> tuple[Any, ...]:
        random.seed(3)
        np.random.seed(3)  # noqa: NPY002 - what scikit-learn draws from where no state is given
        forest = RandomForestClassifier(5).fit(FRAME, LABELS)
        scores = cross_val_score(clone(forest), FRAME, LABELS, cv=3)
        return forest.predict_proba(FRAME).tolist(), scores.tolist(), np.random.rand(), random.random()  # noqa: NPY002

    plain = work()
    with keelway.autolog():
        assert work() == plain
    assert len(recorded(folder)) == 4


def test_the_error_of_a_fit_is_the_users_own_and_recorded(folder: Path) -> None:
    with keelway.autolog(), pytest.raises(ValueError, match="at least 2 classes"):
        LogisticRegression().fit(FRAME, LABELS * 0)
    (entry,) = recorded(folder)
    assert entry.status == "failed"
    assert "2 classes" in RunRoom(workspace_for(folder)).show(entry.run_id).record["error"]


def test_warnings_reach_the_user_and_the_record(folder: Path) -> None:
    with keelway.autolog(), pytest.warns(ConvergenceWarning):
        LogisticRegression(max_iter=1).fit(FRAME, LABELS)
    (entry,) = recorded(folder)
    (told,) = RunRoom(workspace_for(folder)).show(entry.run_id).record["warnings"]
    assert told.startswith("ConvergenceWarning: ")


def test_warnings_that_are_errors_stay_errors(folder: Path) -> None:
    with keelway.autolog(), warnings.catch_warnings():
        warnings.simplefilter("error")
        shown = warnings.showwarning
        with pytest.raises(ConvergenceWarning):
            LogisticRegression(max_iter=1).fit(FRAME, LABELS)
        assert warnings.showwarning is shown
    assert recorded(folder)[0].status == "failed"


class Odd(BaseEstimator):
    """An estimator of a user's own, unusual in every respect."""

    def __init__(self, thing: object = None) -> None:
        self.thing = thing

    def fit(self, X: Any, y: Any = None) -> Odd:
        self.seen_ = list(X)
        return self

    def predict(self, X: Any) -> Any:
        return X

    def score(self, X: Any, y: Any) -> float:
        raise RuntimeError("this score never works")


def test_an_unusual_estimator_is_fitted_and_recorded_as_far_as_it_goes(folder: Path) -> None:
    with keelway.autolog():
        odd = Odd(thing=object()).fit(iter([1, 2]))
        Odd().fit(FRAME.to_numpy(), LABELS)
    assert odd.seen_ == [1, 2]
    first, second = recorded(folder)
    assert (first.estimator, first.status) == ("Odd", "succeeded")
    told = RunRoom(workspace_for(folder)).show(second.run_id).record["warnings"]
    assert told == ["not recorded: score (RuntimeError: this score never works)"]


def test_a_class_made_later_is_recorded_too(folder: Path) -> None:
    with keelway.autolog():

        class Later(Odd):
            def fit(self, X: Any, y: Any = None) -> Later:
                return super().fit(X)

        Later().fit([1, 2])
        assert [entry.estimator for entry in recorded(folder)] == ["Later"]
    Later().fit([3])
    assert len(recorded(folder)) == 1


def test_a_place_that_cannot_be_written_stops_no_fit(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_name: str, _estimator: str) -> Any:
        raise OSError("the disk is full")

    with caplog.at_level(logging.WARNING), Autolog(broken):
        assert LogisticRegression().fit(FRAME, LABELS).score(FRAME, LABELS) > 0.5
    assert "a fit of LogisticRegression is not recorded" in caplog.text


def test_a_run_that_cannot_be_closed_stops_no_fit(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    at = workspace_for(folder)

    def doomed(name: str, estimator: str) -> Any:
        run = open_run(at, name, kind="autolog", estimator=estimator, flush_s=0)
        run._journal.close()
        return run

    with caplog.at_level(logging.WARNING), Autolog(doomed):
        LinearRegression().fit(FRAME, LABELS)
        LinearRegression().fit(FRAME, LABELS)
    assert caplog.text.count("LinearRegression is recorded in part") == 2 or "not recorded" in caplog.text


def test_fits_in_threads_of_the_users_own_are_runs_of_their_own(folder: Path) -> None:
    with keelway.autolog():
        threads = [threading.Thread(target=lambda: LinearRegression().fit(FRAME, LABELS)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [entry.estimator for entry in recorded(folder)] == ["LinearRegression"] * 3


def test_a_fit_inside_an_open_run_belongs_to_it(folder: Path) -> None:
    with keelway.autolog(), keelway.run("study", model="churn", seed=9) as run:
        LinearRegression().fit(FRAME, LABELS)
    fit = next(entry for entry in recorded(folder) if entry.kind == "autolog")
    assert (fit.parent, fit.model, fit.seed) == (run.id, "churn", 9)


def test_a_library_that_is_imported_later_is_recorded_too(folder: Path) -> None:
    code = (
        "import sys, keelway\nkeelway.autolog()\nassert 'sklearn' not in sys.modules\n"
        "from sklearn.linear_model import LinearRegression\nLinearRegression().fit([[1.0], [2.0]], [1.0, 2.0])\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
    assert [entry.estimator for entry in recorded(folder)] == ["LinearRegression"]


@pytest.mark.parametrize(
    ("library", "estimator", "figure", "watched"),
    [
        ("lightgbm", "LGBMClassifier", "binary_logloss", {"eval_X": FRAME, "eval_y": LABELS}),
        ("xgboost", "XGBClassifier", "logloss", {"eval_set": [(FRAME, LABELS)], "verbose": False}),
    ],
    ids=["lightgbm", "xgboost"],
)
def test_the_course_of_boosting_is_kept(
    folder: Path, library: str, estimator: str, figure: str, watched: dict[str, Any]
) -> None:
    module = pytest.importorskip(library)
    with keelway.autolog():
        getattr(module, estimator)(n_estimators=4, n_jobs=1).fit(FRAME, LABELS, **watched)
    (entry,) = recorded(folder)
    room = RunRoom(workspace_for(folder))
    assert entry.estimator == estimator
    assert len([each for each in room.history(entry.run_id) if each.name.endswith(figure)]) == 4
