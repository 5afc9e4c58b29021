"""An entity stays where it was sent, and a canary gets the share it was given."""

from datetime import UTC, datetime
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.core import Digest, Environment, PrincipalId, VersionName
from keelway.deploy import CANARY, Deployment, assign

A, B = VersionName("churn:1"), VersionName("churn:2")
DIGEST = Digest("sha256:" + "0" * 64)


def canary(percent: int) -> Deployment:
    return Deployment(
        "churn", Environment("prod"), 2, "canary", A, {A: 100 - percent, B: percent}, {A: DIGEST, B: DIGEST},
        "prod/churn:2", None, datetime(1998, 1, 1, tzinfo=UTC), PrincipalId("sp:ci"),
    )  # fmt: skip


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(1, 98))
def test_a_canary_that_grows_keeps_its_entities(entity, percent):
    assert assign(entity, canary(percent)) == assign(entity, canary(percent))
    if assign(entity, canary(percent)) == (B, CANARY):
        assert assign(entity, canary(percent + 1)) == (B, CANARY)


@pytest.mark.parametrize("percent", [1, 10, 50, 99])
def test_shares_are_within_binomial_bounds(percent):
    count, share = 20_000, percent / 100
    found = sum(assign(f"{number:05d}", canary(percent))[0] == B for number in range(count))
    assert abs(found - count * share) <= 4 * sqrt(count * share * (1 - share))
