"""A plan of an experiment: each number says where it comes from, and smaller effects take longer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.core import canonical_json
from keelway.errors import UsageError
from keelway.report import (
    EFFECT_HEADS,
    Assumption,
    PlannedExperiment,
    PlanWish,
    assumption_rows,
    effect_rows,
    plan_sentences,
    planned_experiment,
)
from keelway.report.experiment.planning import effect_of

GIVEN = {"baseline": 0.10, "per_day": 500.0}
MEASURED = {
    "baseline": Assumption(0.2, "measured", "300 outcomes that are known"),
    "per_day": Assumption(1_000.0, "measured", "28,000 different entities were answered in 28 days"),
    "alpha": Assumption(0.01, "declared", "the rollout of the model in prod"),
}


def planned(effect: str = "0.02", **given: float) -> PlannedExperiment:
    return planned_experiment(PlanWish("conversion", effect, given={**GIVEN, **given}), {})


def test_a_plan_says_what_the_documentation_says() -> None:
    found = planned()
    assert found.plan.rows_fixed == (3_841, 3_841)
    assert found.plan.rows == (6_526, 6_526)
    assert plan_sentences(found)[0] == (
        "To show that conversion goes from 10 % to 12 %: at most 27 days (4 whole weeks), 6,526 entities in the control and "
        "6,526 in the treatment."
    )
    assert plan_sentences(found)[2].startswith("A test that is read once, at the end, takes 16 days (3,841 and 3,841)")


def test_what_is_given_stands_before_what_was_measured() -> None:
    wish = PlanWish("conversion", "10%", given={"baseline": 0.5})
    found = planned_experiment(wish, MEASURED)
    assert found.effect == pytest.approx(0.05)
    assert {name: each.source for name, each in found.assumptions.items()} == {
        "baseline": "given",
        "per_day": "measured",
        "share": "usual",
        "treatments": "usual",
        "alpha": "declared",
        "power": "usual",
        "correlation": "usual",
    }
    rows = {row[0]: row for row in assumption_rows(found)}
    assert rows["entities a day"][1:] == ["1,000", "measured: 28,000 different entities were answered in 28 days"]
    assert rows["baseline"][2] == "given: as you said"


@pytest.mark.parametrize(
    ("given", "kind", "missing", "fix"),
    [
        ({"per_day": 10.0}, None, "The baseline of sold is not known", "--baseline"),
        ({"baseline": 0.1}, None, "The traffic a day of sold is not known", "--traffic-per-day"),
        ({"baseline": 5.0, "per_day": 10.0}, "mean", "The standard deviation of one value of sold", "--deviation"),
    ],
    ids=["baseline", "traffic", "deviation"],
)
def test_what_is_not_known_is_asked_for(given: dict[str, float], kind: str | None, missing: str, fix: str) -> None:
    wish = PlanWish("sold", "0.02", kind, given)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=missing) as caught:
        planned_experiment(wish, {})
    assert fix in caught.value.fix


@pytest.mark.parametrize("effect", ["", "much", "%", "0.1.2"])
def test_an_effect_is_a_number(effect: str) -> None:
    with pytest.raises(UsageError, match="This is no effect"):
        planned(effect)


@pytest.mark.parametrize("effect", ["0", "0%"])
def test_an_effect_of_nothing_cannot_be_planned(effect: str) -> None:
    with pytest.raises(UsageError, match="cannot be planned"):
        planned(effect)


@pytest.mark.parametrize(
    ("effect", "baseline"), [("0.5", 0.9), ("-0.1", 0.1), ("1", 10.0), ("nan", 0.1), ("0.1", float("nan"))]
)
def test_a_rate_that_is_none_is_named(effect: str, baseline: float) -> None:
    with pytest.raises(UsageError, match="conversion is no rate there") as caught:
        planned(effect, baseline=baseline)
    assert "10 %" in caught.value.fix


@pytest.mark.parametrize(("text", "baseline", "effect"), [("0.02", 0.1, 0.02), ("-10%", 0.5, -0.05), (" 5 % ", 2, 0.1)])
def test_an_effect_is_absolute_or_a_part_of_the_baseline(text: str, baseline: float, effect: float) -> None:
    assert effect_of(text, baseline) == pytest.approx(effect)


@settings(max_examples=15, deadline=None)
@given(st.floats(0.05, 0.6), st.floats(0.05, 0.3), st.integers(1, 3))
def test_smaller_effects_take_longer_and_reading_at_any_time_takes_more(
    baseline: float, part: float, treatments: int
) -> None:
    found = planned(f"{part * 100}%", baseline=baseline, treatments=treatments)
    rows = [sum(plan.rows) for plan in found.others]
    assert rows == sorted(rows, reverse=True)
    assert found.plan in found.others
    for plan in found.others:
        assert plan.rows_fixed < plan.rows
        assert plan.days_likely <= plan.days
    assert found.weeks * 7 >= found.plan.days > (found.weeks - 1) * 7


def test_rows_of_the_table_fit_its_heads_and_mark_what_was_asked() -> None:
    found = planned("10%")
    rows = effect_rows(found)
    assert {len(row) for row in rows} == {len(EFFECT_HEADS)}
    assert [row[0].endswith("*") for row in rows] == [False, False, True, False, False]
    assert rows[2][1] == "11 %"


def test_effects_that_cannot_be_are_left_out() -> None:
    assert [plan.question.effect for plan in planned("0.06", baseline=0.9).others] == pytest.approx(
        [0.03, 0.045, 0.06, 0.09]
    )


def test_a_mean_takes_its_deviation_and_what_is_known_before() -> None:
    given = {"baseline": 40.0, "per_day": 500.0, "deviation": 30.0}
    plain = planned_experiment(PlanWish("spent", "2", "mean", given), {})
    helped = planned_experiment(PlanWish("spent", "2", "mean", {**given, "correlation": 0.8}), {})
    assert sum(helped.plan.rows) == pytest.approx(0.36 * sum(plain.plan.rows), rel=0.01)
    assert "goes from 40 to 42" in plan_sentences(plain)[0]


def test_a_mean_that_was_measured_is_planned_as_one() -> None:
    measured = {**MEASURED, "deviation": Assumption(3.0, "measured", "10 outcomes")}
    assert planned_experiment(PlanWish("spent", "50%"), measured, kind="mean").plan.question.kind == "mean"


def test_a_short_experiment_is_warned_of() -> None:
    assert any("less than a week" in line for line in planned(per_day=100_000).warnings)
    assert planned(per_day=100).warnings == ()
    assert any("fewer than 200" in line for line in planned("0.5", per_day=1).warnings)


def test_a_plan_can_be_written_as_json() -> None:
    assert b'"source":"given"' in canonical_json(planned())
