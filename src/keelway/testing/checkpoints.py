"""What every place for checkpoints must do; inherit it and say how an empty one is made.

class TestMyTarget(CheckpointTargetConformance):
    @pytest.fixture
    def target(self): return MyTarget(...)
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from keelway.errors import MissingRecordError, RecordExistsError
from keelway.ledger import CheckpointTarget

NAME = "000000000042-1f0c5a7be2d49c03.note"
OTHER = "000000000007-ffffffffffffffff.leaves"
TEXT = "keelway.example/ü\n42\nCsUYapGGPo4=\n\n— keelway.example Az3grlgt\n"


class MemoryCheckpoints:
    """A place in memory whose mishaps a test decides."""

    where = "memory"

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.failing: Exception | None = None
        """What every call raises while it is set."""

    def put(self, name: str, text: str) -> None:
        """Keep a text."""
        self._fail()
        if self.texts.setdefault(name, text) != text:
            raise RecordExistsError("There is another text", expected="a free name", found=name)

    def names(self) -> list[str]:
        """Return the names that hold a text."""
        self._fail()
        return sorted(self.texts)

    def get(self, name: str) -> str:
        """Return a text."""
        self._fail()
        try:
            return self.texts[name]
        except KeyError as error:
            raise MissingRecordError("Nothing is published", expected=name, found="nothing") from error

    def _fail(self) -> None:
        if self.failing is not None:
            raise self.failing


class CheckpointTargetConformance:
    """Promises of `CheckpointTarget`. Subclasses give the fixture `target`."""

    @pytest.fixture
    def target(self) -> CheckpointTarget:
        """Return an empty place. To be overridden."""
        raise NotImplementedError

    def test_an_empty_place_has_no_names(self, target: CheckpointTarget) -> None:
        assert target.names() == []
        with pytest.raises(MissingRecordError):
            target.get(NAME)

    def test_a_text_comes_back_letter_by_letter(self, target: CheckpointTarget) -> None:
        target.put(NAME, TEXT)
        target.put(OTHER, "")
        assert target.get(NAME) == TEXT
        assert target.get(OTHER) == ""
        assert target.names() == [OTHER, NAME]

    def test_the_same_text_may_be_put_again(self, target: CheckpointTarget) -> None:
        target.put(NAME, TEXT)
        target.put(NAME, TEXT)
        assert target.names() == [NAME]

    def test_a_text_is_never_replaced(self, target: CheckpointTarget) -> None:
        target.put(NAME, TEXT)
        with pytest.raises(RecordExistsError):
            target.put(NAME, TEXT.replace("42", "41"))
        assert target.get(NAME) == TEXT

    def test_of_writers_that_race_one_wins(self, target: CheckpointTarget) -> None:
        def put(number: int) -> bool:
            try:
                target.put(NAME, f"{number}\n")
            except RecordExistsError:
                return False
            return True

        with ThreadPoolExecutor(6) as pool:
            won = list(pool.map(put, range(6)))
        assert won.count(True) == 1
        assert target.get(NAME) == f"{won.index(True)}\n"

    def test_it_can_be_told_where_it_is(self, target: CheckpointTarget) -> None:
        assert target.where
