"""Records are read newest first, every one of them once, and not many more than were looked at."""

from __future__ import annotations

from datetime import timedelta
from itertools import islice
from typing import Any

import pytest

from keelway.promote import PromotionGroup
from keelway.promote.lately import last_first, newest_first
from keelway.testing.door import CI, NOW, DoorWorld


class Counting:
    """A transaction that counts the records it hands out."""

    def __init__(self, inner: Any) -> None:
        self._inner, self.read = inner, 0

    def newest(self, kind: type, **wanted: Any) -> list[Any]:
        found: list[Any] = self._inner.newest(kind, **wanted)
        self.read += len(found)
        return found


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 32, 40])
def test_every_record_comes_once_and_few_are_read_for_few(open_door: DoorWorld, size: int) -> None:
    with open_door.state.transaction() as tx:
        for number in range(size):
            moment = NOW + timedelta(hours=number)
            tx.insert(f"{number}", PromotionGroup((), f"{number}", CI.id, moment), parent="here", at=moment)
        found = [one.environment for one in newest_first(PromotionGroup, parent="here", tx=tx)]
        assert found == [f"{number}" for number in reversed(range(size))]
        counting: Any = Counting(tx)
        assert len(list(islice(newest_first(PromotionGroup, parent="here", tx=counting), 2))) == min(size, 2)
        assert counting.read <= 4


def test_the_last_written_comes_first_whatever_the_clock_said(open_door: DoorWorld) -> None:
    with open_door.state.transaction() as tx:
        for number, hours in enumerate((5, 9, 1), start=1):
            group = PromotionGroup((), f"{number}", CI.id, NOW)
            tx.insert(f"here/{number}", group, parent="here", at=NOW + timedelta(hours=hours))
        assert [one.environment for one in last_first(PromotionGroup, parent="here", tx=tx)] == ["3", "2", "1"]
        assert list(last_first(PromotionGroup, parent="there", tx=tx)) == []
