"""What a search may be declared to be, and what a model says of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from keelway import Choice, Ensemble, Estimator, Range, Search
from keelway.errors import ProjectError
from keelway.testing.training import BOOSTED, LOGISTIC, churn_model

SEARCHED = replace(LOGISTIC, space={"C": Range(0.01, 100, log=True), "fit_intercept": Choice((True, False))})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("trials", 0),
        ("trials", 2.5),
        ("patience", 0),
        ("workers", 0),
        ("timeout_s", 0.0),
        ("timeout_s", -1.0),
        ("timeout_s", float("inf")),
        ("timeout_s", float("nan")),
        ("sampler", "grid"),
        ("pruner", "patient"),
    ],
)
def test_a_wrong_search_is_refused_with_what_was_expected(field: str, value: Any) -> None:
    with pytest.raises(ProjectError) as told:
        Search(**{field: value})
    assert told.value.expected
    assert told.value.found


def test_a_search_needs_something_to_search() -> None:
    with pytest.raises(ProjectError, match="has anything to search") as told:
        replace(churn_model(), search=Search())
    assert "space" in told.value.fix


def test_only_single_estimators_with_a_space_are_searched() -> None:
    model = replace(churn_model(), estimators=(SEARCHED, BOOSTED, Ensemble("both", ("logistic", "boosted"))))
    assert model.searched == ()
    assert replace(model, search=Search()).searched == ("logistic",)


def test_a_search_is_part_of_what_is_declared_and_not_of_the_data() -> None:
    model = replace(churn_model(), estimators=(SEARCHED, BOOSTED))
    searching = replace(model, search=Search(trials=5))
    assert len({each.definition() for each in (model, searching, replace(model, search=Search(trials=6)))}) == 3
    assert searching.data_definition() == model.data_definition()


def test_a_space_is_not_a_search() -> None:
    assert (
        replace(churn_model(), estimators=(Estimator("l", LOGISTIC.factory, space={"C": Range(1, 2)}),)).search is None
    )
