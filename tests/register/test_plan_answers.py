"""From sums to answers: what is computed for many rows at once is what each row gets alone."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.register.plan.answers import answer_of, answers_of
from keelway.register.plan.records import PlanCalibration, PlanLink, PlanModel

SCORES = st.floats(allow_nan=False) | st.sampled_from([-0.0, -708.9, -709.0, -709.1, 709.0, 1e6, -1e6])


@pytest.mark.parametrize("link", ["identity", "sigmoid", "exponent"])
@pytest.mark.parametrize(
    "more",
    [{}, {"slope": 2.0}, {"divisor": 3.0}, {"calibrations": (PlanCalibration(-1.5, 0.25),)}],
    ids=["plain", "slope", "divisor", "calibrated"],
)
@given(scores=st.lists(SCORES, max_size=9))
def test_many_answers_are_those_of_each_row_alone_to_the_last_bit(
    link: PlanLink, more: dict[str, object], scores: list[float]
) -> None:
    model = PlanModel("trees", "t.", 1, link, **more)  # type: ignore[arg-type]
    sums = [[score] for score in scores]
    assert answers_of(model)(sums) == [answer_of(model)(each) for each in sums]


def test_a_sum_that_is_no_number_gives_no_probability() -> None:
    [[answer]] = answers_of(PlanModel("trees", "t.", 1, "sigmoid"))([[math.nan]])
    assert math.isnan(answer)
