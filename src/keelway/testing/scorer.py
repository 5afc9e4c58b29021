"""What every loaded model must do; inherit it and give the fixture `scorer`."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from keelway.errors import ServingError
from keelway.serve import Scorer

ROWS = 40


def rows_for(scorer: Scorer, rows: int = ROWS) -> list[list[Any]]:
    """Return rows with values, nulls and categories that no training has seen."""
    numbers: list[Any] = [None if number % 7 == 0 else float(number) for number in range(rows)]
    texts: list[Any] = [("", "a", "b", None, "never seen \u2603")[number % 5] for number in range(rows)]
    values = {"numeric": numbers, "categorical": texts, "text": texts}
    columns = [
        [[0.5] * (each.length or 0)] * rows if each.kind == "array" else values[each.kind] for each in scorer.features
    ]
    return [list(row) for row in zip(*columns, strict=True)]


def flat(answers: list[Any]) -> list[float]:
    """Return all numbers of answers, one after the other."""
    return [number for answer in answers for number in (answer if isinstance(answer, list) else [answer])]


class ScorerConformance:
    """Promises of `Scorer`. Subclasses give the fixture `scorer`."""

    def test_every_row_gets_an_answer_of_its_task(self, scorer: Scorer) -> None:
        answers = scorer.predictions(rows_for(scorer))
        assert len(answers) == ROWS
        if scorer.task == "multiclass":
            assert {len(answer) for answer in answers} == {len(scorer.classes)}
            assert [sum(answer) for answer in answers] == pytest.approx([1.0] * ROWS, abs=1e-5)
        assert all(isinstance(number, float) and math.isfinite(number) for number in flat(answers))
        if scorer.task != "regression":
            assert all(0 <= number <= 1 for number in flat(answers))
        assert len(set(flat(answers))) > 1

    def test_only_several_classes_have_names(self, scorer: Scorer) -> None:
        assert bool(scorer.classes) == (scorer.task == "multiclass")

    def test_no_rows_get_no_answers(self, scorer: Scorer) -> None:
        assert scorer.predictions([]) == []

    def test_a_row_alone_is_answered_as_among_others(self, scorer: Scorer) -> None:
        rows = rows_for(scorer)
        alone = [scorer.predictions([row])[0] for row in rows]
        assert flat(alone) == pytest.approx(flat(scorer.predictions(rows)), rel=1e-5, abs=1e-6)

    def test_rows_are_lists_or_tuples(self, scorer: Scorer) -> None:
        rows = rows_for(scorer)
        assert scorer.predictions([tuple(row) for row in rows]) == scorer.predictions(rows)

    def test_a_missing_value_may_be_written_either_way(self, scorer: Scorer) -> None:
        none: list[Any] = [[0.5] * (each.length or 0) if each.kind == "array" else None for each in scorer.features]
        kinds = {"numeric": math.nan, "categorical": "", "text": ""}
        empty = [
            none[place] if each.kind == "array" else kinds[each.kind] for place, each in enumerate(scorer.features)
        ]
        for count in (1, ROWS):
            assert scorer.predictions([none] * count) == scorer.predictions([empty] * count)

    def test_threads_get_the_same_answers(self, scorer: Scorer) -> None:
        rows = rows_for(scorer)
        expected = scorer.predictions(rows)
        with ThreadPoolExecutor(4) as pool:
            assert all(answers == expected for answers in pool.map(scorer.predictions, [rows] * 20))

    def test_a_row_of_another_length_is_told(self, scorer: Scorer) -> None:
        for rows in ([rows_for(scorer)[0][:-1]], [*rows_for(scorer), [*rows_for(scorer)[0], 1.0]]):
            with pytest.raises(ServingError, match="length"):
                scorer.predictions(rows)

    def test_a_text_in_the_place_of_a_number_is_told(self, scorer: Scorer) -> None:
        place = next(place for place, each in enumerate(scorer.features) if each.kind == "numeric")
        for count in (1, ROWS):
            rows = rows_for(scorer, count)
            rows[-1][place] = "much"
            with pytest.raises(ServingError):
                scorer.predictions(rows)
