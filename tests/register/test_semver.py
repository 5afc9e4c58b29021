"""The proposed semantic version follows what changed, and says what that was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.core import CodeState, PrincipalId, VersionName, digest_bytes
from keelway.features import FeatureColumn
from keelway.register import Candidate, ModelVersion, Parity, Proposal, proposal_of, propose
from keelway.testing.training import BOOSTED, NOW, PLAN, RECENCY, SPEND, TrainingWorld
from keelway.train import TrainedModel

A, B = digest_bytes(b"a"), digest_bytes(b"b")
TRAINED = TrainedModel(
    "churn", "logistic", "sklearn.linear_model.LogisticRegression", {"C": 1.0}, {}, A, (RECENCY, PLAN), A, (NOW,), NOW, 9,
    0, 7, A, A, CodeState(A, A),
)  # fmt: skip
OLD = Candidate(TRAINED, "customer", A)


def version(semver: str) -> ModelVersion:
    parity = Parity(1, 0.0, 1e-5, True, True)
    return ModelVersion(
        VersionName("churn:1"), "churn", 1, semver, A, A, (RECENCY, PLAN), "customer", parity, A, A, A, A, "r",
        PrincipalId("user:ana"), NOW, A, "",
    )  # fmt: skip


def trained(**changed: Any) -> Candidate:
    return replace(OLD, trained=replace(TRAINED, **changed))


CASES: dict[str, tuple[Candidate, str, str]] = {
    "column added": (trained(features=(RECENCY, PLAN, SPEND)), "2.0.0", "columns added: spend"),
    "column gone": (trained(features=(RECENCY,)), "2.0.0", "removed: plan"),
    "other kind": (trained(features=(FeatureColumn("recency_d", "text"), PLAN)), "2.0.0", "of another kind: recency_d"),
    "other order": (trained(features=(PLAN, RECENCY)), "2.0.0", "the columns come in another order"),
    "other task": (trained(task="regression"), "2.0.0", "the task is regression, no longer binary"),
    "other classes": (trained(classes=("a", "b")), "2.0.0", "the classes are others"),
    "other entity": (replace(OLD, entity="order"), "2.0.0", "the entity is order, no longer customer"),
    "two at once": (
        replace(trained(features=(RECENCY, SPEND)), entity="order"),
        "2.0.0",
        "the entity is order, no longer customer; columns added: spend; removed: plan",
    ),
    "features": (replace(trained(definition=B), data=B), "1.3.0", "features or label are computed otherwise"),
    "estimator": (
        trained(definition=B, factory="sklearn.tree.DecisionTreeClassifier"),
        "1.3.0",
        "the estimator is DecisionTreeClassifier, no longer logistic",
    ),
    "parameters": (trained(definition=B, parameters={"C": 2.0}), "1.3.0", "the estimator has other parameters"),
    "preprocessing": (trained(definition=B), "1.3.0", "the preprocessing is another one"),
    "data": (trained(feature_table=B), "1.2.4", "trained again on other data"),
    "seed": (trained(seed=8), "1.2.4", "trained again with seed 8, no longer 7"),
    "code": (trained(code=CodeState(B, A)), "1.2.4", "trained again with other code"),
    "packages": (trained(code=CodeState(A, B)), "1.2.4", "trained again with other packages"),
    "nothing": (OLD, "1.2.4", "trained again in the same way"),
}


@pytest.mark.parametrize(("now", "semver", "reason"), CASES.values(), ids=CASES.keys())
def test_each_change_has_its_part_and_its_reason(now: Candidate, semver: str, reason: str) -> None:
    found = propose(version("1.2.3"), OLD, now)
    assert (found.semver, found.reason) == (semver, reason)


def test_the_first_version_is_the_first() -> None:
    assert propose(None, None, OLD) == Proposal("1.0.0", "first", "the first version")


@given(
    parts=st.tuples(*[st.integers(0, 10**6)] * 3),
    now=st.sampled_from([candidate for candidate, _, _ in CASES.values()]),
)
def test_a_later_version_is_always_the_greater_one(parts: tuple[int, int, int], now: Candidate) -> None:
    before = ".".join(map(str, parts))
    after = propose(version(before), OLD, now).semver
    assert tuple(map(int, after.split("."))) > parts


def test_why_a_registered_version_is_called_so_is_told_from_its_records(tmp_path: Any) -> None:
    world = TrainingWorld(tmp_path, rows=300)
    first = world.register(world.fit())
    second = world.register(world.fit(BOOSTED))
    with world.state.snapshot() as tx:
        assert proposal_of(first, tx=tx).reason == "the first version"
        told = proposal_of(second, tx=tx)
    assert (told.semver, told.level) == (second.semver, "minor") == ("1.1.0", "minor")
    assert told.reason == "the estimator is HistGradientBoostingClassifier, no longer logistic"
