"""Explanations of any scorer by asking it, which version explains a row, and what cannot be explained."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from keelway.core import VersionName
from keelway.deploy import Deployment
from keelway.errors import BadRequestError, EngineError, OverloadedError, ServingError, UnavailableError
from keelway.features import FeatureColumn
from keelway.project import Task
from keelway.serve import Explainers, LoadedDeployment, LoadedVersion, RowExplainer, SampledExplainer, explained
from keelway.serve.explain import MOST_AT_ONCE, MOST_KEPT, MOST_UNDER_WAY
from keelway.serve.loaded import VersionAtHand, assembled
from keelway.testing.serving import FEATURES, NOW, FixedScorer, deployment_of

NUMBERS = tuple(FeatureColumn(f"n{place}", "numeric") for place in range(4))
REFERENCE = [[0.0, 1.0, 2.0, 3.0], [1.0, 0.0, -1.0, 0.5], [2.0, 2.0, 0.0, 0.0]]
ROW = [3.0, -1.0, 0.5, 1.0]


class FormulaScorer(FixedScorer):
    """Answers by a formula, and remembers how many rows it was asked for at once."""

    def __init__(self, task: Task = "regression") -> None:
        super().__init__(0.0, NUMBERS)
        self.task = task
        self.asked: list[int] = []

    def predictions(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        self.asked.append(len(rows))
        found = [2 * a - b + c * d for a, b, c, d in rows]
        if self.task == "multiclass":
            return [[1 / (1 + math.exp(-each)), 1 / (1 + math.exp(each))] for each in found]
        return found


def exact(row: Sequence[float]) -> Any:
    """Return the Shapley values of the formula against the reference, by their definition."""
    scorer = FormulaScorer()

    def game(known: tuple[int, ...]) -> float:
        rows = [[row[place] if place in known else start[place] for place in range(4)] for start in REFERENCE]
        return float(np.mean(scorer.predictions(rows)))

    told = []
    for player in range(4):
        others = [each for each in range(4) if each != player]
        total = 0.0
        for size in range(4):
            weight = math.factorial(size) * math.factorial(3 - size) / math.factorial(4)
            total += sum(
                weight * (game((*known, player)) - game(known)) for known in itertools.combinations(others, size)
            )
        told.append(total)
    return np.array(told)


def test_what_was_drawn_is_within_its_errors_of_the_definition() -> None:
    (told,) = SampledExplainer(FormulaScorer(), REFERENCE, permutations=2_000).explain([ROW])
    assert told.errors is not None
    assert (np.abs(told.contributions[:, 0] - exact(ROW)) <= 4 * told.errors[:, 0] + 1e-9).all()


@pytest.mark.parametrize("task", ["regression", "multiclass"])
def test_what_was_drawn_adds_up_to_the_answer(task: Task) -> None:
    scorer = FormulaScorer(task)
    explainer = SampledExplainer(scorer, REFERENCE)
    (told,) = explainer.explain([ROW])
    np.testing.assert_allclose(told.base + told.contributions.sum(axis=0), told.margin, atol=1e-9)
    assert told.margin.tolist() == np.ravel(scorer.predictions([ROW])).tolist()
    assert explainer.scale == ("number" if task == "regression" else "probability")
    assert max(scorer.asked) <= MOST_AT_ONCE


def test_the_same_seed_draws_the_same() -> None:
    first, again, other = (
        SampledExplainer(FormulaScorer(), REFERENCE, seed=seed).explain([ROW, ROW]) for seed in (1, 1, 2)
    )
    assert first[0].contributions.tolist() == again[1].contributions.tolist() != other[0].contributions.tolist()


def test_features_of_any_kind_are_put_into_rows_as_they_are() -> None:
    class Lengths(FixedScorer):
        def predictions(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
            return [0.1 * (number is None) + 0.01 * len(text) for number, text in rows]

    (told,) = SampledExplainer(Lengths(0.0), [[1.0, ""]], permutations=4).explain([[None, "gold"]])
    np.testing.assert_allclose(told.contributions[:, 0], [0.1, 0.04])
    assert told.errors is not None
    np.testing.assert_allclose(told.errors, 0.0, atol=1e-12)


def loaded_of(**percent: int) -> LoadedDeployment:
    deployment: Deployment = deployment_of(**percent)
    hands = {
        name: VersionAtHand(name, digest, FixedScorer(0.2 * number))
        for number, (name, digest) in enumerate(deployment.versions.items(), 1)
    }
    return assembled(deployment, hands)


def sampled(version: LoadedVersion) -> RowExplainer:
    return SampledExplainer(version.scorer, [[1.0, "free"]], permutations=2)


ROWS = [(f"{number}", NOW, [12.5, "gold"]) for number in range(12)]


def test_each_row_is_explained_by_the_version_of_its_entity() -> None:
    loaded = loaded_of(churn_1=50, churn_2=50)
    told = explained(ROWS, loaded, explainers=Explainers(sampled))
    assert [each.entity for each in told] == [row[0] for row in ROWS]
    assert [each.version.version for each in told] == [loaded.version_for(row[0]).version for row in ROWS]
    assert {each.version.version: each.value for each in told} == {"churn:1": "0.2", "churn:2": "0.4"}
    assert all(each.row.margin[0] == pytest.approx(float(each.value)) for each in told)


def test_a_version_is_looked_for_once_and_few_are_kept() -> None:
    found: list[VersionName] = []

    def find(version: LoadedVersion) -> RowExplainer:
        found.append(version.version)
        return sampled(version)

    explainers = Explainers(find)
    versions = [loaded_of(**{f"churn_{number}": 100}).stable for number in range(1, MOST_KEPT + 2)]
    for version in versions:
        assert explainers.of(version) is explainers.of(version)
    assert found == [version.version for version in versions]
    explainers.of(versions[-1])
    explainers.of(versions[0])
    assert found[-1] == versions[0].version
    assert len(found) == len(versions) + 1


def test_a_version_that_nothing_explains_is_told_with_the_reason() -> None:
    def find(_version: LoadedVersion) -> RowExplainer:
        raise NotImplementedError("it is a riddle")

    explainers = Explainers(find)
    for _ in range(2):
        with pytest.raises(BadRequestError, match="riddle") as refused:
            explained(ROWS, loaded_of(churn_1=100), explainers=explainers)
        assert refused.value.status == 501


def test_what_cannot_be_read_now_is_asked_for_again() -> None:
    troubles: list[Exception] = [EngineError("The store is down"), EngineError("The store is down")]

    def find(version: LoadedVersion) -> RowExplainer:
        if troubles:
            raise troubles.pop()
        return sampled(version)

    explainers = Explainers(find)
    for _ in range(2):
        with pytest.raises(UnavailableError, match="cannot be read"):
            explained(ROWS, loaded_of(churn_1=100), explainers=explainers)
    assert len(explained(ROWS, loaded_of(churn_1=100), explainers=explainers)) == len(ROWS)


def test_only_some_requests_are_explained_at_once() -> None:
    explainers = Explainers(sampled)
    for _ in range(MOST_UNDER_WAY):
        explainers.enter()
    with pytest.raises(OverloadedError, match="too much to explain"):
        explained(ROWS, loaded_of(churn_1=100), explainers=explainers)
    explainers.leave()
    assert explained(ROWS, loaded_of(churn_1=100), explainers=explainers)


def test_a_version_without_an_answer_has_no_explanation_and_frees_its_place() -> None:
    loaded = loaded_of(churn_1=100)
    explainers = Explainers(sampled)
    loaded.stable.scorer.answer = math.nan  # type: ignore[attr-defined]
    for _ in range(MOST_UNDER_WAY + 1):
        with pytest.raises(ServingError, match="no probability"):
            explained(ROWS, loaded, explainers=explainers)
    assert [each.name for each in FEATURES] == ["recency_d", "plan"]
