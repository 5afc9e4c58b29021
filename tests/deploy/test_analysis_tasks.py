"""Rollouts of models with classes and of numbers: losses against reference values, no false alarms, faults that are seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, mean_squared_error

from keelway.deploy.analysis import (
    ArmFigures,
    ClassAnswers,
    Matured,
    Phase,
    RolloutEvidence,
    harm_of,
    judge,
    levels_of,
    moments_of,
    violations,
)
from keelway.deploy.analysis.class_drift import ClassDriftHarm
from keelway.deploy.analysis.losses import row_losses
from keelway.errors import UsageError
from keelway.project import LABEL_FIGURES, Analysis, Guardrail, Task
from keelway.testing.crash import stride
from keelway.testing.task_canaries import AnswerFault, drawn, task_canary

MARGINS = {"log_loss": 0.05, "brier": 0.02, "accuracy": 0.03, "mse": 1.0, "mae": 0.2}
SEVERAL: tuple[Task, ...] = ("multiclass", "regression")
RUNS = max(80 // stride(), 10)


def watched(task: Task, *, margin: float = 1.0) -> Analysis:
    """All figures of a task, with their margins in parts of the usual ones."""
    spread = Guardrail("predictions", "distribution", margin=0.2 * margin or 0.001)
    return Analysis((spread, *(Guardrail(kind, kind, margin=MARGINS[kind] * margin) for kind in LABEL_FIGURES[task])))


def both(kind: str, treatment: Matured, control: Matured) -> RolloutEvidence:
    arms = [ArmFigures(name, 1_000, matured={kind: each}) for name, each in (("a", control), ("b", treatment))]
    return RolloutEvidence(arms[0], arms[1], (Phase({"a": 1, "b": 1}, {"a": 1_000, "b": 1_000}),))


def known(task: Task, rows: int = 500, fault: AnswerFault | None = None, seed: int = 3) -> Matured:
    given, outcomes = drawn(task, rows, fault, np.random.default_rng(seed))
    return Matured(outcomes, given)


def test_losses_of_classes_are_those_of_scikit_learn() -> None:
    made = known("multiclass")
    places, shares = np.asarray(made.labels), np.asarray(made.scores)
    assert row_losses("log_loss", made).mean() == pytest.approx(log_loss(places, shares, labels=[0, 1, 2]), rel=1e-9)
    assert 1 - row_losses("accuracy", made).mean() == pytest.approx(accuracy_score(places, shares.argmax(axis=1)))
    spread = sum((shares[:, each] - (places == each)) ** 2 for each in range(3))
    assert row_losses("brier", made) == pytest.approx(spread)


def test_two_classes_have_twice_the_brier_score_of_a_binary_model() -> None:
    made = known("binary")
    chance = np.asarray(made.scores)
    wide = Matured(made.labels, np.column_stack([1 - chance, chance]))
    assert row_losses("brier", wide) == pytest.approx(2 * row_losses("brier", made))
    assert row_losses("log_loss", wide) == pytest.approx(row_losses("log_loss", made))


def test_losses_of_numbers_are_those_of_scikit_learn() -> None:
    made = known("regression")
    assert row_losses("mse", made).mean() == pytest.approx(mean_squared_error(made.labels, made.scores))
    assert row_losses("mae", made).mean() == pytest.approx(mean_absolute_error(made.labels, made.scores))


def test_a_class_that_a_version_does_not_have_costs_what_no_probability_costs() -> None:
    made = Matured([2], [[0.5, 0.5, 0.0]])
    assert row_losses("brier", made) == pytest.approx([1.5])
    assert row_losses("accuracy", made) == [1.0]
    assert 30 < row_losses("log_loss", made)[0] < 40  # finite: the probability counts as the smallest step of floats


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        ("accuracy", Matured([0, 1], [0.5, 0.5])),
        ("brier", Matured([0, 3], [[0.5, 0.5, 0.0]] * 2)),
        ("brier", Matured([0], [[0.5, 0.5]] * 2)),
        ("log_loss", Matured([0, 1], [[0.5, np.nan]] * 2)),
        ("log_loss", Matured([0, 1], [[0.0, 0.0]] * 2)),
        ("roc_auc", Matured([0, 1], [[0.5, 0.5]] * 2)),
        ("mse", Matured([1.0, np.inf], [1.0, 1.0])),
        ("mae", Matured([1.0, 2.0], [1.0, np.nan])),
        ("mae", Matured([1.0, 2.0], [[0.5, 0.5]] * 2)),
    ],
)
def test_what_is_no_answer_or_no_outcome_of_the_task_is_an_error(kind: Any, made: Matured) -> None:
    task: Task = "regression" if kind in ("mse", "mae") else "multiclass"
    figure = Guardrail(kind, kind)
    with pytest.raises(UsageError, match="cannot be used"):
        harm_of(figure, both(kind, made, known(task)), planned=1_000)
    assert judge(Analysis((figure,)), both(kind, made, known(task))).outcome == "error"


@pytest.mark.parametrize("task", SEVERAL)
def test_few_outcomes_are_early(task: Task) -> None:
    for kind in LABEL_FIGURES[task]:
        made = known(task, rows=0 if kind == "accuracy" else 50)
        assert "are needed" in str(harm_of(Guardrail(kind, kind), both(kind, made, known(task)), planned=1_000))


@pytest.mark.parametrize("task", SEVERAL)
def test_the_levels_are_the_figures_of_the_arms(task: Task) -> None:
    for kind in LABEL_FIGURES[task]:
        worse, usual = known(task, fault="constant"), known(task)
        evidence = both(kind, worse, usual)
        control, treatment = levels_of(Guardrail(kind, kind), evidence)
        means = [float(row_losses(kind, each).mean()) for each in (usual, worse)]
        assert [control, treatment] == pytest.approx([1 - each if kind == "accuracy" else each for each in means])
        assert harm_of(Guardrail(kind, kind), evidence, planned=500).estimate() == pytest.approx(means[1] - means[0])  # type: ignore[union-attr]


@pytest.mark.parametrize("task", SEVERAL)
@pytest.mark.parametrize("margin", [1.0, 0.0], ids=["usual margins", "no margin"])
def test_a_canary_like_its_control_is_failed_at_most_as_often_as_declared(task: Task, margin: float) -> None:
    analysis = watched(task, margin=margin)
    failed = [
        any(violations(analysis, look) for look in task_canary(task, seed=seed, looks=10, per_look=800))
        for seed in range(RUNS)
    ]
    assert np.mean(failed) <= analysis.alpha


@pytest.mark.parametrize("task", SEVERAL)
@pytest.mark.parametrize("fault", ["constant", "calibration"])
def test_every_figure_of_a_faulty_canary_shows_it(task: Task, fault: AnswerFault) -> None:
    for figure in watched(task).figures:
        alone = Analysis((figure,))
        looks = task_canary(task, seed=11, fault=fault, looks=60, per_look=400)
        stopped = next((look for look in looks if violations(alone, look)), None)
        assert stopped is not None, figure.name
        assert judge(alone, stopped).outcome == "failure"


@pytest.mark.parametrize("task", SEVERAL)
def test_a_canary_like_its_control_succeeds_once_enough_is_known(task: Task) -> None:
    analysis = Analysis(
        (watched(task).guardrails[0], *(Guardrail(kind, kind, margin=0.2) for kind in LABEL_FIGURES[task][-1:]))
    )
    *_, last = task_canary(task, seed=2, share=0.5, looks=10, per_look=1_000)
    verdict = judge(analysis, last)
    assert (verdict.outcome, {each.status for each in verdict.figures}) == ("success", {"held"})


def spread(shares: Any) -> ClassAnswers:
    given = np.asarray(shares, dtype=np.float64)
    counts = np.bincount(given.argmax(axis=1), minlength=given.shape[1])
    return ClassAnswers(tuple(map(float, counts)), tuple(moments_of(column) for column in given.T))


def test_a_class_that_is_never_the_likeliest_is_seen_by_how_probable_it_is() -> None:
    draw = np.random.default_rng(5)
    rare = draw.uniform(0.0, 0.1, 2_000)
    more = draw.uniform(0.1, 0.5, 2_000) * 0.8
    control, treatment = (spread(np.column_stack([1 - each, each])) for each in (rare, more))
    harm = ClassDriftHarm(treatment, control, share=0.5, planned=4_000)
    assert control.counts == treatment.counts
    assert harm.estimate() > 0.2
    assert harm.log_above(0.2, alpha=0.05) > 50
    alike = ClassDriftHarm(control, spread(np.column_stack([1 - rare[::-1], rare[::-1]])), share=0.5, planned=4_000)
    assert (alike.log_above(0.2, alpha=0.05), alike.log_below(0.2, alpha=0.05)) == (0.0, np.inf)


def test_classes_that_only_one_arm_has_are_a_difference_and_those_of_none_are_not() -> None:
    two, three = spread([[0.6, 0.4, 0, 0]] * 300 + [[0.4, 0.6, 0, 0]] * 300), spread([[0.1, 0.1, 0.8, 0]] * 600)
    harm = ClassDriftHarm(three, two, share=0.5, planned=1_200)
    assert harm.log_above(0.2, alpha=0.01) > 100
    same = ClassDriftHarm(two, two, share=0.5, planned=1_200)
    assert (same.estimate(), same.log_above(0.0, alpha=0.01)) == (0.0, 0.0)


def test_arms_with_other_classes_cannot_be_compared() -> None:
    with pytest.raises(UsageError, match="classes of the arms do not fit"):
        ClassDriftHarm(spread([[0.6, 0.4]]), spread([[0.6, 0.3, 0.1]]), share=0.5, planned=100)
    with pytest.raises(UsageError, match="not all finite"):
        ClassDriftHarm(spread([[0.6, np.nan]]), spread([[0.6, 0.4]]), share=0.5, planned=100)
