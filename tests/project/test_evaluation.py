"""What a model declares about its evaluation is checked, counts in its definition, and has sensible defaults."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from keelway.core import plain, revive
from keelway.errors import ProjectError
from keelway.project import Costs, Evaluation
from keelway.testing.training import churn_model

WRONG = [
    ({"min_support": 1}, "min_support.*2 or more.*found 1"),
    ({"bootstrap": 99}, "bootstrap.*100 or more"),
    ({"importance": -1}, "importance.*0 or more"),
    ({"smallest_difference": -0.1}, "smallest_difference"),
    ({"smallest_difference": float("nan")}, "smallest_difference"),
    ({"smallest_difference": float("inf")}, "smallest_difference"),
    ({"favourable": "yes"}, "favourable decision.*'positive', 'negative'"),
]


@pytest.mark.parametrize(("given", "match"), WRONG)
def test_wrong_declarations_are_refused(given: dict[str, Any], match: str) -> None:
    with pytest.raises(ProjectError, match=match):
        Evaluation(**given)


def test_nothing_is_asked_for_by_default() -> None:
    usual = Evaluation()
    assert (usual.slices, usual.sensitive, usual.costs, usual.importance) == ((), (), None, 0)
    assert (usual.min_support, usual.smallest_difference, usual.bootstrap) == (50, 0.0, 1000)
    assert churn_model().evaluation == usual


def test_lists_become_tuples_and_all_survives_storage() -> None:
    given = Evaluation(slices=["a"], sensitive=["b"], costs=Costs(1, 5), smallest_difference=0.005)  # type: ignore[arg-type]
    assert (given.slices, given.sensitive) == (("a",), ("b",))
    assert revive(plain(given), Evaluation) == given


def test_the_definition_of_a_model_knows_its_evaluation() -> None:
    model = churn_model()
    assert replace(model, evaluation=Evaluation(slices=("plan",))).definition() != model.definition()
    assert replace(model, evaluation=Evaluation()).definition() == model.definition()
    assert replace(model, evaluation=Evaluation(slices=("plan",))).data_definition() == model.data_definition()


@pytest.mark.parametrize(
    ("costs", "threshold"),
    [
        (Costs(), 0.5),
        (Costs(1, 9), 0.1),
        (Costs(3, 1), 0.75),
        (Costs(1, 1, true_positive=2), 0.25),
        (Costs(1, 0, 4, 0), 0.2),
    ],
)
def test_the_best_threshold_weighs_both_errors(costs: Costs, threshold: float) -> None:
    assert costs.best_threshold == pytest.approx(threshold)
