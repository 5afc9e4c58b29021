"""A version that was loaded answers rows of nothing and rows of its training before it answers anybody."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from keelway.errors import ServingError
from keelway.features import FeatureColumn
from keelway.serve import MemoryBudget, Router, ServingCare
from keelway.serve.warm import warm_up
from keelway.testing.serving import PROD, FixedScorer, ScorerShelf, ServedTraffic


class Remembering(FixedScorer):
    """Remembers the rows of each call, and answers some value with no number."""

    def __init__(self, strange: Any = "nothing") -> None:
        super().__init__(0.5, (FeatureColumn("n", "numeric"), FeatureColumn("v", "array", 2)))
        self.calls: list[list[Any]] = []
        self.strange = strange

    def predictions(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        self.calls.append([row[0] for row in rows])
        return [math.nan if row[0] == self.strange else 0.5 for row in rows]


def test_rows_of_nothing_come_first_then_those_of_the_training_as_often_as_they_are_needed() -> None:
    scorer = Remembering()
    warm_up(scorer, [[1.0, [0.0, 0.0]], [2.0, [0.0, 1.0]]])
    assert scorer.calls == [[None], [None], [None] * 64, [1.0], [1.0], [1.0, 2.0] * 32]


def test_without_rows_of_the_training_nothing_is_missing() -> None:
    scorer = Remembering()
    warm_up(scorer)
    assert [len(each) for each in scorer.calls] == [1, 1, 64]


@pytest.mark.parametrize(("strange", "what"), [(None, "rows of nulls"), (2.0, "rows of its training")])
def test_no_number_for_either_is_told(strange: Any, what: str) -> None:
    with pytest.raises(ServingError, match=what):
        warm_up(Remembering(strange), [[1.0, [0.0, 0.0]], [2.0, [0.0, 1.0]]])


def test_a_server_warms_with_what_is_at_hand(tmp_path: Path) -> None:
    traffic = ServedTraffic(tmp_path)
    traffic.send(churn_1=100)
    scorer = FixedScorer(0.25)
    care = ServingCare(MemoryBudget(), rows_of=lambda name, _digest: [[float(name[-1]), "gold"]] * 5)
    Router("churn", PROD, state=traffic.state, load=ScorerShelf(churn_1=scorer).load, care=care)
    assert scorer.rows == 2 * (1 + 1 + 64)
