"""Evidence of models with classes and of numbers from records as they are kept: the log, versions and outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keelway.core import Digest, Outcome, PrincipalId, digest_bytes
from keelway.deploy import CANARY, STABLE
from keelway.deploy.analysis import RolloutEvidence, judge, mismatch_p, violations
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.sql import SqlState
from keelway.monitor import SegmentCache, record_outcomes
from keelway.monitor.rollout import evidence_of, rollout_readings
from keelway.monitor.rollout.figures import EDGE_ROWS
from keelway.monitor.rollout.log import sealed_columns
from keelway.project import LABEL_FIGURES, Analysis, Guardrail, Task
from keelway.serve.segment import SealingPorts
from keelway.testing.crash import stride
from keelway.testing.experiments import Fault
from keelway.testing.rollouts import canary_deployment, seal_answers, served_canary
from keelway.testing.serving import NOW, ONE, PROD, TWO, version_record

BOT = PrincipalId("sp:server")
PEOPLE = [f"c{number}" for number in range(1_200)]
DAY = timedelta(days=1)
STEP = canary_deployment(50)
ANIMALS = ("cat", "dog", "owl")
SPREAD = Guardrail("predictions", "distribution", margin=0.2)
MARGINS = {"log_loss": 0.2, "brier": 0.1, "accuracy": 0.05, "mse": 1.0, "mae": 0.2}
ANALYSES = {
    task: Analysis((SPREAD, *(Guardrail(kind, kind, margin=MARGINS[kind]) for kind in LABEL_FIGURES[task])))
    for task in ("multiclass", "regression")
}
SEVERAL: tuple[Task, ...] = ("multiclass", "regression")
RUNS = max(30 // stride(), 6)


class CountingStore(LocalArtifacts):
    """Counts what is read."""

    reads = 0

    def get(self, digest: Digest) -> bytes:
        self.reads += 1
        return super().get(digest)


class KeptTask:
    """A rollout of a model of one task, whose records are kept as servers and people leave them."""

    def __init__(self, folder: Path) -> None:
        self.state = SqlState(f"sqlite:///{folder / 'state.db'}")
        self.artifacts = CountingStore(folder / "store")

    def register(self, classes: Mapping[str, tuple[str, ...]]) -> None:
        """Keep the records of versions that answer with these classes."""
        with self.state.transaction() as tx:
            for name, given in classes.items():
                record = replace(version_record(name, onnx=digest_bytes(b"onnx")), task="multiclass", classes=given)
                tx.insert(name, record, parent="churn", at=NOW)

    def seal(self, values: Mapping[str, Any]) -> None:
        """Seal answers, each by the arm of its entity."""
        ports = SealingPorts(self.state, self.artifacts, BOT)
        seal_answers(STEP, values, at=NOW, journal="j1", ports=ports)

    def learn(self, values: Mapping[str, Any], task: Task) -> None:
        """Record what became of entities, a day later."""
        told = [Outcome("kind", entity, NOW, value, NOW + DAY, NOW + DAY) for entity, value in values.items()]
        record_outcomes(told, task=task, state=self.state, artifacts=self.artifacts, now=NOW + DAY, actor=BOT)

    def evidence(self, task: Task) -> RolloutEvidence:
        """Gather what was kept, two days later."""
        with self.state.snapshot() as tx:
            readings = rollout_readings(
                "churn", PROD, since=NOW, analysis=ANALYSES[task], label="kind", business=(), task=task, tx=tx,
                artifacts=self.artifacts, now=NOW + 2 * DAY, cache=SegmentCache(),
            )  # fmt: skip
        return evidence_of(readings, [STEP], CANARY, analysis=ANALYSES[task])


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[KeptTask]:
    made = KeptTask(tmp_path)
    yield made
    made.state.close()


def animals(seed: int = 0) -> dict[str, tuple[float, ...]]:
    """Return probabilities of three classes for everybody."""
    draw = np.random.default_rng(seed)
    return {
        entity: tuple(row) for entity, row in zip(PEOPLE, draw.dirichlet((2, 1, 1), len(PEOPLE)).tolist(), strict=True)
    }


def members(arm: str) -> list[str]:
    return [entity for entity in PEOPLE if STEP.arm_of(entity) == arm]


def test_classes_are_compared_by_their_names_whatever_their_order_in_a_version(kept: KeptTask) -> None:
    other = ("owl", "cat", "dog")
    kept.register({ONE: ANIMALS, TWO: other})
    given = animals()
    turned = {entity: tuple(given[entity][ANIMALS.index(name)] for name in other) for entity in members(CANARY)}
    kept.seal(given | turned)
    kept.learn({entity: ANIMALS[int(np.argmax(given[entity]))] for entity in PEOPLE[:900]}, "multiclass")
    found = kept.evidence("multiclass")
    for figures in (found.control, found.treatment):
        mine = members(figures.arm)
        spread = figures.classes["predictions"]
        assert spread.rows == len(mine)
        expected = np.mean([given[entity] for entity in mine], axis=0)
        assert [each.mean for each in spread.shares] == pytest.approx(expected.tolist())
        assert len(figures.matured["accuracy"].labels) == sum(entity in PEOPLE[:900] for entity in mine)  # type: ignore[arg-type]
    verdict = judge(ANALYSES["multiclass"], found)
    assert verdict.outcome != "error", verdict.reasons
    assert [each.control for each in verdict.figures if each.name == "accuracy"] == [1.0]
    assert [each.treatment for each in verdict.figures if each.name == "accuracy"] == [1.0]


def test_an_outcome_that_no_version_knows_counts_against_both(kept: KeptTask) -> None:
    kept.register({ONE: ANIMALS, TWO: ANIMALS})
    kept.seal(animals())
    kept.learn(dict.fromkeys(PEOPLE, "bat"), "multiclass")
    verdict = judge(ANALYSES["multiclass"], kept.evidence("multiclass"))
    accuracy = next(each for each in verdict.figures if each.name == "accuracy")
    assert (accuracy.control, accuracy.treatment, accuracy.harm) == (0.0, 0.0, 0.0)


def test_a_class_that_only_the_canary_has_is_a_drift(kept: KeptTask) -> None:
    kept.register({ONE: ANIMALS[:2], TWO: ANIMALS})
    kept.seal({entity: (0.6, 0.4) if STEP.arm_of(entity) == STABLE else (0.2, 0.1, 0.7) for entity in PEOPLE})
    kept.learn(dict.fromkeys(PEOPLE, "cat"), "multiclass")
    found = kept.evidence("multiclass")
    assert found.treatment.classes["predictions"].counts == (0.0, 0.0, float(len(members(CANARY))))
    assert {"predictions", "accuracy"} <= set(violations(ANALYSES["multiclass"], found))


def test_answers_of_a_version_whose_classes_are_not_known_are_an_error(kept: KeptTask) -> None:
    kept.register({ONE: ANIMALS, TWO: ANIMALS[:2]})
    kept.seal(animals())
    kept.learn(dict.fromkeys(PEOPLE, "cat"), "multiclass")
    verdict = judge(ANALYSES["multiclass"], kept.evidence("multiclass"))
    assert verdict.outcome == "error"
    assert any("has no figure predictions" in each for each in verdict.reasons)


def test_numbers_are_joined_with_what_came_true_and_spread_over_tenths_of_the_control(kept: KeptTask) -> None:
    draw = np.random.default_rng(3)
    truth = dict(zip(PEOPLE, draw.normal(40, 6, len(PEOPLE)).tolist(), strict=True))
    kept.seal({entity: value + (1.0 if STEP.arm_of(entity) == STABLE else -7.0) for entity, value in truth.items()})
    kept.learn(truth, "regression")
    found = kept.evidence("regression")
    histograms = found.control.histograms["predictions"], found.treatment.histograms["predictions"]
    assert [sum(each) for each in histograms] == [len(members(STABLE)) - EDGE_ROWS, len(members(CANARY))]
    verdict = judge(ANALYSES["regression"], found)
    assert verdict.outcome == "failure"
    levels = {each.name: (each.control, each.treatment) for each in verdict.figures}
    assert levels["mae"] == pytest.approx((1.0, 7.0))
    assert levels["mse"] == pytest.approx((1.0, 49.0))
    assert "predictions" in [each.name for each in verdict.figures if each.status == "violated"]


def test_outcomes_of_another_task_are_an_error_and_no_crash(kept: KeptTask) -> None:
    kept.seal(dict.fromkeys(PEOPLE, 40.0))
    kept.learn(dict.fromkeys(PEOPLE, "cat"), "multiclass")
    verdict = judge(ANALYSES["regression"], kept.evidence("regression"))
    assert verdict.outcome == "error"
    assert any("Matured labels cannot be used" in each for each in verdict.reasons)


@pytest.mark.parametrize(("rows", "is_kept"), [(len(PEOPLE) + 449, False), (len(PEOPLE) + 450, True)])
def test_answers_with_eight_classes_count_as_two_rows_of_what_a_look_keeps(
    kept: KeptTask, rows: int, is_kept: bool
) -> None:
    kept.register({ONE: ANIMALS, TWO: ANIMALS})
    kept.seal(animals())
    cache, reads = SegmentCache(rows=rows), []
    for _ in range(2):
        before = kept.artifacts.reads
        with kept.state.snapshot() as tx:
            table, gone = sealed_columns("churn", PROD, since=NOW, tx=tx, artifacts=kept.artifacts, cache=cache)
        assert (table.num_rows, table["value"].null_count, gone) == (len(PEOPLE), len(PEOPLE), 0)
        reads.append(kept.artifacts.reads > before)
    assert reads == [True, not is_kept]


@pytest.mark.parametrize("task", SEVERAL)
def test_a_gathered_canary_like_its_control_is_not_failed(task: Task) -> None:
    analysis = Analysis((*Analysis().guardrails, *ANALYSES[task].guardrails[1:]))
    failed = []
    for seed in range(RUNS):
        looks = list(served_canary(seed=seed, analysis=analysis, task=task, looks=5, per_look=500))
        assert mismatch_p(looks[-1].phases) > analysis.mismatch
        assert judge(analysis, looks[-1]).outcome != "error"
        failed.append(any(violations(analysis, look) for look in looks))
    assert np.mean(failed) <= analysis.alpha


@pytest.mark.parametrize("task", SEVERAL)
@pytest.mark.parametrize("fault", ["latency", "errors", "not a number", "constant", "calibration"])
def test_a_gathered_faulty_canary_is_failed_by_its_figure(task: Task, fault: Fault) -> None:
    looks = served_canary(seed=5, analysis=Analysis(), task=task, fault=fault, looks=20, per_look=1_000)
    stopped = next(look for look in looks if violations(Analysis(), look))
    figure = {"latency": "latency", "errors": "error_rate", "not a number": "not_a_number"}.get(fault, "predictions")
    assert figure in violations(Analysis(), stopped)
    assert judge(Analysis(), stopped).outcome == "failure"
