"""What every loaded model must do; inherit it and give the fixture `scorer`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from keelway.errors import ServingError
from keelway.serve import Scorer

ROWS = 40


def columns_of(scorer: Scorer, rows: int = ROWS) -> dict[str, list[Any]]:
    """Return rows with values, nulls and categories that no training has seen."""
    numbers: list[Any] = [None if number % 7 == 0 else float(number) for number in range(rows)]
    texts: list[Any] = [("", "a", "b", "never seen \u2603")[number % 4] for number in range(rows)]
    return {each.name: list(numbers if each.kind == "numeric" else texts) for each in scorer.features}


class ScorerConformance:
    """Promises of `Scorer`. Subclasses give the fixture `scorer`."""

    def test_every_row_gets_a_probability(self, scorer: Scorer) -> None:
        answers = scorer.probabilities(columns_of(scorer))
        assert len(answers) == ROWS
        assert all(isinstance(answer, float) and 0 <= answer <= 1 for answer in answers)

    def test_a_row_alone_is_answered_as_among_others(self, scorer: Scorer) -> None:
        columns = columns_of(scorer)
        together = scorer.probabilities(columns)
        alone = [
            scorer.probabilities({name: [values[row]] for name, values in columns.items()})[0] for row in range(ROWS)
        ]
        assert alone == pytest.approx(together, abs=1e-6)

    def test_threads_get_the_same_answers(self, scorer: Scorer) -> None:
        columns = columns_of(scorer)
        expected = scorer.probabilities(columns)
        with ThreadPoolExecutor(4) as pool:
            assert all(answers == expected for answers in pool.map(scorer.probabilities, [columns] * 20))

    def test_a_missing_column_is_told(self, scorer: Scorer) -> None:
        columns = columns_of(scorer)
        gone = columns.popitem()[0]
        with pytest.raises(ServingError, match=gone):
            scorer.probabilities(columns)
