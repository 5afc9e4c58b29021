"""Models of LightGBM and XGBoost are stored as their libraries write them, and answer as they did when they were fitted."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from keelway.core import ArtifactKind
from keelway.errors import IntegrityError, MissingExtraError, TrainingError
from keelway.project import Estimator, Task
from keelway.testing.mixed import MixedRows
from keelway.testing.training import TrainingWorld
from keelway.train import load_pipeline
from keelway.train.boosters import booster_answers, booster_text
from keelway.train.stages import BoosterClassifier, BoosterRegressor
from keelway.train.stored import pipeline_bytes

ROWS = MixedRows.draw(200)

SMALL = {"n_estimators": 20, "n_jobs": 1}
CLASSES = {"lightgbm": ("LGBMClassifier", "LGBMRegressor"), "xgboost": ("XGBClassifier", "XGBRegressor")}


@pytest.fixture(params=list(CLASSES))
def library(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param)
    return str(request.param)


def boosted(library: str, task: Task = "binary") -> Estimator:
    quiet = {"verbose": -1} if library == "lightgbm" else {"verbosity": 0}
    return Estimator("boosted", f"{library}.{CLASSES[library][task == 'regression']}", {**SMALL, **quiet})


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_boosted_model_is_stored_as_text_and_answers_as_before(
    library: str, task: Task, world: TrainingWorld
) -> None:
    pipeline = ROWS.fitted(boosted(library, task), task=task)
    stored = world.artifacts.put(pipeline_bytes(pipeline), kind=ArtifactKind.MODEL).digest
    again = load_pipeline(stored, artifacts=world.artifacts)
    last = again[-1]
    assert type(last) is (BoosterRegressor if task == "regression" else BoosterClassifier)
    assert last.library == library
    assert last.text.startswith("tree\n" if library == "lightgbm" else '{"learner"')
    assert again.predict(ROWS.frame).tolist() == pipeline.predict(ROWS.frame).tolist()
    if task != "regression":
        found, wanted = again.predict_proba(ROWS.frame), pipeline.predict_proba(ROWS.frame)
        assert found[:, 1:].tolist() == wanted[:, 1:].tolist()
        assert found[:, 0] == pytest.approx(wanted[:, 0], abs=1e-7)  # XGBoost takes the rest to 1 in 32 bits
        assert again.classes_.tolist() == pipeline.classes_.tolist()


def test_what_the_library_read_is_kept_as_long_as_its_model_and_never_stored_with_it(library: str) -> None:
    declared = boosted(library)
    few = replace(declared, parameters={**declared.parameters, "n_estimators": 2})
    fitted = [ROWS.fitted(each, task="binary") for each in (declared, few)]
    matrix = fitted[0][:-1].transform(ROWS.frame)
    one, two = (BoosterClassifier(library, booster_text(each[-1]), [0, 1]) for each in fitted)
    before, other = one.predict_proba(matrix).tolist(), two.predict_proba(matrix).tolist()
    assert before != other
    assert one.predict_proba(matrix).tolist() == before, "asked again of what was read"
    assert set(vars(one)) == {"library", "text", "classes", "margins"}
    one.text = two.text
    assert one.predict_proba(matrix).tolist() == other, "another text is another model"


@pytest.mark.parametrize("task", ["binary", "multiclass"])
@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_a_calibrated_boosted_model_is_stored_without_a_pickle(
    library: str, task: Task, method: Any, world: TrainingWorld
) -> None:
    pipeline = ROWS.fitted(replace(boosted(library, task), calibrate=method), task=task)
    stored = world.artifacts.put(pipeline_bytes(pipeline), kind=ArtifactKind.MODEL).digest
    again = load_pipeline(stored, artifacts=world.artifacts)
    assert {type(each.estimator) for each in again[-1].calibrated_classifiers_} == {BoosterClassifier}
    assert again.predict_proba(ROWS.frame) == pytest.approx(pipeline.predict_proba(ROWS.frame), abs=1e-6)
    assert type(pipeline[-1].estimator).__module__.startswith(library), "what was fitted is left as it was"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"missing": 0.0}, "expected missing=nan, found missing=0.0"), ({"objective": "multi:softmax"}, "multi:softprob")],
    ids=["missing", "softmax"],
)
def test_what_xgboost_does_not_write_down_is_refused(parameters: dict[str, Any], message: str) -> None:
    pytest.importorskip("xgboost")
    declared = boosted("xgboost", "multiclass")
    pipeline = ROWS.fitted(replace(declared, parameters={**declared.parameters, **parameters}), task="multiclass")
    with pytest.raises(TrainingError, match=message):
        pipeline_bytes(pipeline)


def test_what_was_fitted_before_is_not_fitted_again() -> None:
    with pytest.raises(NotImplementedError, match="cannot be fitted again"):
        BoosterRegressor("lightgbm", "").fit(np.zeros((2, 1)), np.zeros(2))


@pytest.mark.parametrize("library", CLASSES)
def test_a_stored_model_of_a_library_that_is_not_here_says_what_to_install(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError) as refused:
        booster_answers(library, "{}", np.zeros((2, 1)))
    assert refused.value.fix == f"pip install 'keelway[{library}]'"


def test_a_stored_model_cannot_name_any_module() -> None:
    with pytest.raises(IntegrityError, match="unknown library"):
        booster_answers("os", "{}", np.zeros((2, 1)))
