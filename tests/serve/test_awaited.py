"""What another process answers is awaited first and handed out afterwards: the same answers, the same fallbacks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from keelway.core import Digest
from keelway.errors import ServingError, UndefinedAnswerError
from keelway.serve import Row, answer_rows, parse_fallback, with_answers
from keelway.serve.loaded import VersionAtHand, assembled
from keelway.testing.serving import NOW, ONE, TWO, FixedScorer, MemoryLog, deployment_of

ROWS: list[Row] = [("c1", NOW, [1.0, "gold"]), ("c2", NOW, [2.0, None])]
DIGEST = Digest("sha256:" + "0" * 64)
AT = "2026-03-01T00:00:00Z"


class AfarScorer(FixedScorer):
    """Answers when it is awaited, and counts how often somebody waited for it instead."""

    waits = True

    def __init__(self, answer: float, error: ServingError | None = None) -> None:
        super().__init__(answer)
        self.error, self.waited_for = error, 0

    async def awaited(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return super().predictions(rows)

    def predictions(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        self.waited_for += 1
        return super().predictions(rows)


def loaded_with(one: Any, two: Any = None, *, fallback: str = "", **percent: int) -> Any:
    deployment = deployment_of(**(percent or {"churn_1": 100}))
    hands = {ONE: VersionAtHand(ONE, DIGEST, one)}
    if two is not None:
        hands[TWO] = VersionAtHand(TWO, DIGEST, two)
    return assembled(deployment, hands, chain=(parse_fallback(fallback),) if fallback else ())


def test_answers_are_at_hand_after_they_were_awaited() -> None:
    scorer, log = AfarScorer(0.25), MemoryLog()
    loaded = loaded_with(scorer)
    assert loaded.waits
    known = asyncio.run(with_answers(ROWS, loaded))
    assert not known.waits
    found = answer_rows(ROWS, known, log=log, at=AT)
    assert [(each.entity, each.value, each.version.version) for each in found] == [
        ("c1", "0.25", ONE),
        ("c2", "0.25", ONE),
    ]
    assert scorer.waited_for == 0
    assert loaded.stable.scorer is scorer, "the next request asks again"


def test_a_model_that_gave_none_is_answered_for_by_its_backup() -> None:
    failed: list[Any] = []
    scorer = AfarScorer(0.25, error=UndefinedAnswerError("It gave no number"))
    known = asyncio.run(with_answers(ROWS, loaded_with(scorer, fallback="constant:0.5")))
    assert known.waits, "a backup may be in another process too"
    found = answer_rows(ROWS, known, log=MemoryLog(), at=AT, on_failure=lambda *told: failed.append(told[1]))
    assert [(each.value, each.version.fallback) for each in found] == [("0.5", "constant:0.5")] * 2
    assert (failed, scorer.waited_for) == ([True], 0)


def test_a_model_that_gave_none_and_has_no_backup_is_told() -> None:
    known = asyncio.run(with_answers(ROWS, loaded_with(AfarScorer(0.25, error=ServingError("It is gone")))))
    assert not known.waits
    with pytest.raises(ServingError, match="It is gone"):
        answer_rows(ROWS, known, log=MemoryLog(), at=AT)


def test_what_cannot_be_awaited_stays_as_it_is() -> None:
    plain = loaded_with(FixedScorer(0.5))
    assert asyncio.run(with_answers(ROWS, plain)) is plain
    several = loaded_with(AfarScorer(0.25), AfarScorer(0.75), churn_1=50, churn_2=50)
    assert asyncio.run(with_answers(ROWS, several)) is several
    assert several.waits
