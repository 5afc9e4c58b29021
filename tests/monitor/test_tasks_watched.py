"""Outcomes and quality of models with classes and of numbers: taken once, refused whole, judged by the monitor's bound."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keelway.core import Environment, Outcome, Prediction, PrincipalId, VersionName, digest_bytes
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.sql import SqlState
from keelway.errors import DataError
from keelway.evaluate import wilson_interval
from keelway.monitor import OutcomeBatch, QualityReport, monitor, quality_report, read_outcomes, record_outcomes
from keelway.project import Monitor, Task

NOW, AS_OF = datetime(1998, 6, 1, tzinfo=UTC), datetime(1998, 1, 1, tzinfo=UTC)
BOT = PrincipalId("sp:monitor")
V1 = VersionName("pets:1")
ANIMALS = ("cat", "dog", "owl")
SURE = {name: tuple(0.8 if each == name else 0.1 for each in ANIMALS) for name in ANIMALS}


class Kept:
    """A state and a store that outcomes are recorded into."""

    def __init__(self, folder: Path) -> None:
        self.state, self.artifacts = SqlState(f"sqlite:///{folder}/state.db"), LocalArtifacts(folder / "store")

    def record(self, values: dict[str, Any], task: Task, classes: Sequence[str] | None = None) -> OutcomeBatch | None:
        given = [outcome(entity, value) for entity, value in values.items()]
        ports = {"state": self.state, "artifacts": self.artifacts, "now": NOW, "actor": BOT}
        return record_outcomes(given, task=task, classes=classes, **ports)  # type: ignore[arg-type]

    def known(self) -> dict[str, Any]:
        with self.state.snapshot() as tx:
            return {one.entity: one.value for one in read_outcomes(tx, self.artifacts, "kind")}


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    made = Kept(tmp_path)
    yield made
    made.state.close()


def outcome(entity: str, value: Any) -> Outcome:
    return Outcome("kind", entity, AS_OF, value, AS_OF, NOW)


def answer(entity: str, value: Any) -> Prediction:
    return Prediction(
        prediction_id=entity, model="pets", version=V1, version_digest=digest_bytes(b"v"), deployment=digest_bytes(b"d"),
        environment=Environment("prod"), arm="stable", entity=entity, as_of=AS_OF, features={}, value=value,
        event_time=AS_OF,
    )  # fmt: skip


def quality(task: Task, answers: dict[str, Any], outcomes: dict[str, Any], **bound: float) -> QualityReport:
    return quality_report(
        [answer(*each) for each in answers.items()], [outcome(*each) for each in outcomes.items()],
        model="pets", environment="prod", label="kind", monitor=Monitor("pets", min_outcomes=50, **bound), task=task,  # type: ignore[arg-type]
        classes={V1: ANIMALS}, now=NOW,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("task", "values"),
    [("multiclass", {"a": "cat", "b": "owl"}), ("regression", {"a": 12.5, "b": 3.0, "c": -1})],
)
def test_outcomes_of_each_task_are_taken_once_and_as_they_were_told(kept: Kept, task: Task, values: Any) -> None:
    batch = kept.record(values, task, ANIMALS)
    assert batch is not None
    assert (batch.count, kept.known()) == (len(values), values)
    assert kept.record(values, task, ANIMALS) is None
    with pytest.raises(DataError, match=r"a at 1998-01-01T00:00:00Z is .*, was"):
        kept.record({"z": values["b"], "a": values["b"]}, task, ANIMALS)
    assert kept.known() == values


@pytest.mark.parametrize(
    ("task", "wrong", "told"),
    [
        ("multiclass", "bat", "a at 1998-01-01T00:00:00Z is bat, not one of the classes cat, dog, owl"),
        ("multiclass", "", "not the name of a class"),
        ("multiclass", 1, "is 1, not the name of a class"),
        ("regression", math.nan, "is nan, not a finite number"),
        ("regression", -math.inf, "is -inf, not a finite number"),
        ("regression", "many", "is many, not a finite number"),
        ("binary", 0.5, "is 0.5, not 0 or 1"),
        ("binary", "yes", "is yes, not 0 or 1"),
    ],
)
def test_one_wrong_value_refuses_the_whole_batch(kept: Kept, task: Task, wrong: Any, told: str) -> None:
    right: Any = {"multiclass": "cat", "regression": 2.0, "binary": 1}[task]
    with pytest.raises(DataError, match=told) as caught:
        kept.record({"b": right, "a": wrong}, task, ANIMALS)
    assert caught.value.fix == "Mend the file and record it again; nothing was written."
    assert kept.known() == {}


def test_a_label_may_name_any_class_where_none_are_given(kept: Kept) -> None:
    assert kept.record({"a": "bat"}, "multiclass") is not None
    with pytest.raises(DataError, match=r"\(none is known\)"):
        kept.record({"b": "bat"}, "multiclass", ())


def test_classes_are_judged_by_the_share_that_is_right() -> None:
    truth = {f"p{number}": ANIMALS[number % 3] for number in range(99)}
    good = quality("multiclass", {entity: SURE[name] for entity, name in truth.items()}, truth, accuracy_floor=0.8)
    bad = quality("multiclass", dict.fromkeys(truth, SURE["cat"]), truth, accuracy_floor=0.8)
    assert (good.verdict, bad.verdict) == ("kept", "lost")
    found = bad.slices[0]
    assert found.accuracy == wilson_interval(33, 99)
    assert found.brier is not None
    assert found.brier.value == pytest.approx((33 * 0.06 + 66 * (0.64 + 0.81 + 0.01)) / 99)
    assert found.log_loss is not None
    assert found.log_loss.value == pytest.approx(-(33 * math.log(0.8) + 66 * math.log(0.1)) / 99)
    assert (found.roc_auc, found.mae, found.positives) == (None, None, 0)
    assert bad.reasons == ("pets:1: accuracy is 0.333 on 99 outcomes (95 % interval 0.248 to 0.431), needs 0.8",)


def test_numbers_are_judged_by_their_mean_absolute_error() -> None:
    truth = {f"p{number}": float(number) for number in range(100)}
    near = quality("regression", {entity: value + 1 for entity, value in truth.items()}, truth, mae_ceiling=2.0)
    errors = {entity: value + (3 if value % 2 else -4) for entity, value in truth.items()}
    far = quality("regression", errors, truth, mae_ceiling=2.0)
    assert (near.verdict, far.verdict) == ("kept", "lost")
    found = far.slices[0]
    assert found.mae is not None
    assert found.rmse is not None
    assert (found.mae.value, found.rmse.value) == pytest.approx((3.5, math.sqrt(12.5)))
    assert found.rmse.low < found.rmse.value < found.rmse.high
    assert far.reasons[0].startswith("pets:1: mean absolute error is 3.500 on 100 outcomes")
    assert far.reasons[0].endswith("at most 2 is allowed")


@pytest.mark.parametrize(("task", "bound"), [("multiclass", "accuracy_floor"), ("regression", "mae_ceiling")])
def test_without_a_bound_nothing_is_judged_and_the_figures_are_told(task: Task, bound: str) -> None:
    truth: dict[str, Any] = {f"p{number}": "cat" if task == "multiclass" else 1.0 for number in range(60)}
    given = dict.fromkeys(truth, SURE["cat"] if task == "multiclass" else 1.5)
    report = quality(task, given, truth)
    assert report.verdict == "not enough"
    assert f"the monitor has no {bound}" in report.reasons[0]
    assert (report.slices[0].accuracy or report.slices[0].mae) is not None


@pytest.mark.parametrize(
    ("task", "given", "told"),
    [
        ("multiclass", (0.5, 0.5), "cat"),
        ("multiclass", 0.5, "cat"),
        ("multiclass", (0.5, 0.5, math.nan), "cat"),
        ("multiclass", SURE["cat"], 1),
        ("regression", SURE["cat"], 1.0),
        ("regression", 1.0, "cat"),
        ("regression", math.inf, 1.0),
        ("binary", SURE["cat"], 1),
        ("binary", 0.5, "cat"),
    ],
)
def test_answers_and_outcomes_of_another_task_have_no_figure(task: Task, given: Any, told: Any) -> None:
    people = [f"p{number}" for number in range(60)]
    report = quality(task, dict.fromkeys(people, given), dict.fromkeys(people, told), **BOUNDS[task])
    assert report.verdict == "not enough"
    assert "has no value" in report.reasons[0]


BOUNDS: dict[str, dict[str, float]] = {
    "binary": {}, "multiclass": {"accuracy_floor": 0.5}, "regression": {"mae_ceiling": 1.0},
}  # fmt: skip


def test_lost_quality_of_numbers_is_an_alert(kept: Kept) -> None:
    truth = {f"p{number}": float(number) for number in range(60)}
    report = quality("regression", dict.fromkeys(truth, 0.0), truth, mae_ceiling=1.0)
    (alert,) = monitor(quality=report, state=kept.state, now=NOW, actor=BOT)
    assert (alert.version, alert.kind) == (V1, "quality")
    with kept.state.snapshot() as tx:
        assert tx.newest(QualityReport, parent="pets") == [report]
