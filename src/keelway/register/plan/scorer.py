"""PlanScorer: answers rows by a plan, without pandas, scikit-learn or any library that fitted the model.

    scorer = PlanScorer(read_plan(data))
    scorer.predictions([[12.5, "gold"], [None, ""]])

A single row goes through plain Python and a few operations on short arrays; many rows go through arrays, with the same answers
to the last bit.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from keelway.errors import ServingError
from keelway.register.plan.answers import Vector, answer_of, answers_of, mean_of, mixed
from keelway.register.plan.masks import MaskTables, trees_in
from keelway.register.plan.records import PlanMember, PlanModel, ScoringPlan
from keelway.register.plan.rows import RowColumns
from keelway.register.plan.walk import WalkedTrees
from keelway.register.plan.weights import FoldedWeights
from keelway.register.row_lengths import check_row_lengths

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class RowSums(Protocol):
    """What a fitted estimator sums up before a link makes an answer of it.

    Attributes:
        few: Up to so many rows are answered one after the other, which is faster than arrays.
    """

    few: int

    def one(self, row: Sequence[Any]) -> Vector:
        """Return the sums of one row."""
        ...

    def many(self, rows: RowColumns) -> NDArray[np.float64]:
        """Return the sums of rows, one column an output; the same to the last bit as of each row alone."""
        ...


_Step = tuple[RowSums, Callable[[Vector], Vector], Callable[[list[Vector]], list[Vector]]]
"""The sums of an estimator, what makes the answer of those of one row, and what makes the answers of those of many."""


class PlanScorer:
    """Answers rows by a plan; pure, so it may be called from several threads."""

    def __init__(self, plan: ScoringPlan) -> None:
        head = plan.head
        self.features = head.features
        self.task = head.task
        self.classes = head.classes
        self._width = len(head.features)
        self._mixture = head.mixture
        self._members: list[list[_Step]] = [
            [(_sums(model, member, plan), answer_of(model), answers_of(model)) for model in member.models]
            for member in head.members
        ]
        self._few = min(sums.few for member in self._members for sums, *_ in member)

    def predictions(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """Return the answer to each row: a probability, a number, or a probability for each class.

        Args:
            rows: A value for each feature, in order: a number or None, a text or None.

        Raises:
            ServingError: A row is too short or too long, a value has the wrong type, or does not fit 32 bits.
        """
        check_row_lengths(rows, self._width)
        try:
            if len(rows) <= self._few:
                return [self._shown(self._one(row)) for row in rows]
            return self._many(RowColumns(rows))
        except (TypeError, ValueError, ArithmeticError, struct.error) as error:
            raise ServingError(
                "Features cannot be read", expected="numbers, texts and nulls", found=str(error)[:200]
            ) from error

    def predictions_in(self, columns: Sequence[Sequence[Any]]) -> list[Any]:
        """Return the answer to each row of columns, the same to the last bit as `predictions` gives.

        Args:
            columns: One for each feature, in order, with at least one row: numbers as an array of float64 with NaN where they
                are missing, texts as a list of texts and None.

        Raises:
            ServingError: A number does not fit 32 bits.
        """
        return self._many(RowColumns.of_columns(columns))

    def _one(self, row: Sequence[Any]) -> Vector:
        return self._mixed([mean_of([answer(sums.one(row)) for sums, answer, _ in member]) for member in self._members])

    def _many(self, rows: RowColumns) -> list[Any]:
        told = []
        for member in self._members:
            each = [answers(sums.many(rows).tolist()) for sums, _, answers in member]
            told.append(each[0] if len(each) == 1 else list(map(mean_of, zip(*each, strict=True))))
        if len(told) == 1:
            return told[0] if self.task == "multiclass" else [answer for [answer] in told[0]]
        return [self._shown(self._mixed(answers)) for answers in zip(*told, strict=True)]

    def _mixed(self, answers: Sequence[Vector]) -> Vector:
        return answers[0] if self._mixture is None else mixed(self._mixture, answers, self.task)

    def _shown(self, answer: Vector) -> Any:
        return answer if self.task == "multiclass" else answer[0]


def _sums(model: PlanModel, member: PlanMember, plan: ScoringPlan) -> RowSums:
    if model.kind == "linear":
        return FoldedWeights(model, member, plan)
    trees = trees_in(model, plan)
    try:
        return MaskTables(trees, model, member, plan)
    except MemoryError:
        return WalkedTrees(model, member, plan)
