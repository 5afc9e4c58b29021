"""What one figure tells in words: its unit, its way, its limit, and where the truth lies."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.core import VersionName
from keelway.project import Guardrail, Metric
from keelway.report.experiment.figure_words import (
    difference_of,
    difference_told,
    limit_of,
    moment,
    number,
    span,
    title_of,
    told,
    told_figure,
    word_of,
)
from keelway.report.experiment.outcome_words import listed
from keelway.report.experiment.plots import thinned
from keelway.report.experiment.records import FigurePoint, FigureStory
from keelway.testing.experiment_records import BEGAN

CONTROL = VersionName("churn:1")


def story(figure: Guardrail | Metric, **changed: object) -> FigureStory:
    """Return a figure as it stands before its sentence is written."""
    wanted, limit = (difference_of(figure, each) or 0.0 for each in figure.thresholds)
    values = {
        "name": figure.name, "title": title_of(figure), "role": "goal" if isinstance(figure, Metric) else "guardrail",
        "kind": figure.kind, "arm": "canary", "version": VersionName("churn:2"), "status": "held", "control": None,
        "treatment": None, "difference": 0.0, "low": None, "high": None, "limit": limit, "wanted": wanted,
        "word": word_of(figure), "cuped": None, "sentence": "", "points": (),
    }  # fmt: skip
    return FigureStory(**{**values, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (0.12345, "0.123"),
        (12.0, "12"),
        (-12.345, "-12.3"),
        (123456.0, "123,456"),
        (0.000123, "0.000123"),
        (0.00001, "1e-05"),
        (3e12, "3e+12"),
    ],
)
def test_a_number_has_three_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


@given(st.floats(1e-4, 1e8))
def test_a_number_is_near_what_it_tells(value: float) -> None:
    assert float(number(value).replace(",", "")) == pytest.approx(value, rel=0.006)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e16, None])
def test_what_is_no_figure_is_not_told(value: float | None) -> None:
    assert told_figure(value) is None


@pytest.mark.parametrize(
    ("figure", "harm", "difference"),
    [
        (Guardrail("error_rate"), 0.01, 0.01),
        (Metric("conversion"), 0.01, -0.01),
        (Guardrail("latency", "quantile"), 0.25, 0.25),
        (Metric("size", "quantile"), 0.25, -0.2),  # the control's is a quarter larger: the treatment's a fifth smaller
        (Guardrail("brier", "brier"), 0.1, 0.1),
        (Metric("roc_auc", "roc_auc"), 0.1, -0.1),
        (Guardrail("accuracy", "accuracy"), 0.1, -0.1),
        (Metric("mae", "mae"), 0.1, 0.1),
        (Metric("mse", "mse"), -0.1, -0.1),
        (Metric("brier", "brier"), 0.1, 0.1),  # whatever is declared, more error is more
        (Guardrail("predictions", "distribution", margin=0.2), 0.3, 0.3),
        (Metric("conversion"), 0.0, 0.0),
    ],
    ids=str,
)
def test_the_harm_of_the_judgement_is_turned_to_the_treatment_less_the_control(
    figure: Guardrail | Metric, harm: float, difference: float
) -> None:
    found = difference_of(figure, harm)
    assert found == pytest.approx(difference)
    assert str(found) != "-0.0"


@pytest.mark.parametrize(
    ("kind", "control", "treatment", "difference", "text"),
    [
        ("accuracy", 0.9, 0.87, -0.03, "87 % with churn:2, 90 % with churn:1: 3 percentage points lower."),
        ("mse", 4.0, 9.0, 5.0, "9 (RMSE 3) with churn:2, 4 (RMSE 2) with churn:1: 5 higher."),
        ("mae", 1.5, 1.25, -0.25, "1.25 with churn:2, 1.5 with churn:1: 0.25 lower."),
    ],
)
def test_figures_of_classes_and_of_numbers_have_their_units(
    kind: Any, control: float, treatment: float, difference: float, text: str
) -> None:
    shown = story(Guardrail(kind, kind), control=control, treatment=treatment, difference=difference)
    assert told(shown, CONTROL, "").startswith(text)


RATE, LATENCY = Metric("conversion"), Guardrail("latency", "quantile", margin=0.25)


@pytest.mark.parametrize(
    ("figure", "low", "high", "text"),
    [
        (RATE, 0.01, 0.03, "between 1 and 3 percentage points higher"),
        (RATE, -0.03, -0.01, "between 1 and 3 percentage points lower"),
        (RATE, -0.011, 0.02, "between 1.1 lower and 2 percentage points higher"),
        (RATE, None, 0.02, "at most 2 percentage points higher"),
        (RATE, None, -0.02, "at least 2 percentage points lower"),
        (RATE, 0.01, None, "at least 1 percentage point higher"),
        (RATE, -0.01, None, "at most 1 percentage point lower"),
        (RATE, None, None, ""),
        (LATENCY, -0.05, 0.1, "between 5 shorter and 10 % longer"),
        (Metric("spent", "mean"), -2.0, 3.5, "between 2 lower and 3.5 higher"),
    ],
    ids=str,
)
def test_where_the_truth_lies_is_said_in_words(
    figure: Guardrail | Metric, low: float | None, high: float | None, text: str
) -> None:
    assert span(story(figure), low, high) == text


@pytest.mark.parametrize(
    ("figure", "status", "end"),
    [
        (Metric("conversion"), "held", "The goal (to be higher) is reached."),
        (Metric("conversion"), "violated", "That breaks its limit (not lower)."),
        (Metric("conversion"), "open", "Whether the goal (to be higher) is reached is not settled yet."),
        (Metric("conversion", margin=0.02), "held", "The goal (to be more than 2 percentage points higher) is reached."),
        (Metric("spent", "mean", goal="not worse", margin=2), "held", "The goal (to be at most 2 lower) is reached."),
        (Metric("spent", "mean", goal="not worse", margin=2), "violated", "That breaks its limit (at most 2 lower)."),
        (Guardrail("error_rate"), "held", "It keeps its limit (to be at most 1 percentage point higher)."),
        (Guardrail("error_rate", margin=0), "held", "It keeps its limit (to be lower)."),
        (LATENCY, "violated", "That breaks its limit (at most 25 % longer)."),
        (Guardrail("predictions", "distribution", margin=0.2), "open",
         "Whether it keeps its limit (a distance below 0.2) is not settled yet."),
    ],
    ids=str,
)  # fmt: skip
def test_what_was_judged_is_said_with_the_limit_it_was_judged_by(
    figure: Guardrail | Metric, status: str, end: str
) -> None:
    assert told(story(figure, status=status), CONTROL, "").endswith(end)


def test_figures_of_both_arms_are_told_where_they_are_known() -> None:
    known = story(RATE, control=0.102, treatment=0.119, difference=0.017, low=0.004, high=0.03)
    assert told(known, CONTROL, "").startswith(
        "11.9 % with churn:2, 10.2 % with churn:1: 1.7 percentage points higher. Chance considered, the truth is between 0.4"
    )
    without = story(RATE, difference=0.017)
    assert told(without, CONTROL, "").startswith(
        "With churn:2 it is 1.7 percentage points higher than with churn:1. How far chance reaches is not known yet."
    )
    latency = story(LATENCY, control=0.008, treatment=0.0095, difference=0.1875)
    assert told(latency, CONTROL, "").startswith("9.5 ms with churn:2, 8 ms with churn:1: 19 % longer.")


def test_why_a_figure_is_not_known_is_told() -> None:
    assert told(story(RATE, status="unknown", difference=None), CONTROL, "canary has no figure") == (
        "It could not be read: canary has no figure."
    )
    assert told(story(RATE, status="open", difference=None), CONTROL, "12 rows") == "It is too early to tell: 12 rows."


def test_a_limit_of_nothing_is_said_without_a_number() -> None:
    assert limit_of(story(RATE)) == "not lower"
    assert limit_of(story(Guardrail("latency", "quantile", margin=0))) == "not longer"
    assert difference_told(story(RATE), 0.0) == "no different"


@pytest.mark.parametrize(
    ("name", "title"), [("error_rate", "Requests that failed"), ("basket_size", "Basket size"), ("a", "A")]
)
def test_a_name_of_a_figure_becomes_words(name: str, title: str) -> None:
    assert title_of(Guardrail(name)) == title


def test_a_time_is_written_as_people_write_it() -> None:
    assert moment(BEGAN) == "2 March 2026, 08:00 UTC"
    assert moment(BEGAN + timedelta(days=300, minutes=5)) == "27 December 2026, 08:05 UTC"


@given(st.lists(st.text("abc", min_size=1), min_size=1, max_size=5))
def test_a_list_names_everything_once(texts: list[str]) -> None:
    found = listed(texts)
    assert found.replace(" and ", ", ").split(", ") == texts


@given(st.integers(0, 2_000), st.integers(2, 200))
def test_what_is_thinned_keeps_its_ends_and_its_order(count: int, most: int) -> None:
    points = [FigurePoint(number, 0, BEGAN, "open", 0.0, None, None) for number in range(count)]
    found = thinned(points, most)
    assert len(found) == min(count, most)
    assert [point.look for point in found] == sorted({point.look for point in found})
    assert found[:1] == points[:1]
    assert found[-1:] == points[-1:]
