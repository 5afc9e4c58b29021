"""What every checker must make of values: tokens for those that name a person, one unit, one time zone.

Inherit the suites and give the fixture `checker`.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from keelway.contract import Against, Checker, Column, PiiClass, Rule, RuleKind
from keelway.errors import ContractError
from keelway.testing.checks import DAY, CheckRoom, PlainTokenizer, contract_of, kept, quarantined

NAME = Column("name", "string", pii=PiiClass.SUBJECT)
PHONE = Column("phone", "string", pii=PiiClass.DROP, required=True)
PEOPLE = contract_of(NAME, PHONE, DAY, rules=(Rule(RuleKind.PATTERN, ("name",), "name: no name", text="^[A-Z]"),))
PEOPLE_FILE = "name,phone,day\nAna,1,2026-03-01\nBo,2,2026-03-01\nAna,3,2026-03-01\nz,4,2026-03-01\n,5,2026-03-01\n"


class CheckerTokens:
    """Promises of `Checker` about columns that name a person. Subclasses give the fixture `checker`."""

    @pytest.fixture
    def room(self, checker: Checker, tmp_path: Path) -> CheckRoom:
        """A folder to check files in."""
        return CheckRoom(checker, tmp_path)

    def test_kept_rows_hold_tokens_and_each_value_is_asked_for_once(self, room: CheckRoom) -> None:
        tokenizer = PlainTokenizer()
        found = room.check(PEOPLE, {"a.csv": PEOPLE_FILE}, tokenizer=tokenizer)
        ana, bo = tokenizer.token("Ana"), tokenizer.token("Bo")
        assert kept(found, "name", "phone", "_row") == [(ana, None, 2), (bo, None, 3), (ana, None, 4), (None, None, 6)]
        assert sorted(tokenizer.asked["name"]) == ["Ana", "Bo"]
        assert found.reasons == {"name: no name": 1}
        assert found.columns["name"] == "string"

    def test_nothing_is_left_of_the_values_but_in_the_quarantine(self, room: CheckRoom) -> None:
        found = room.check(PEOPLE, {"a.csv": PEOPLE_FILE}, tokenizer=PlainTokenizer())
        assert found.rows is not None
        left = [path for path in found.rows.parent.rglob("*") if path.is_file()]
        assert sorted(path.name for path in left) == ["quarantine.parquet", "rows.parquet"]
        assert b"Ana" not in found.rows.read_bytes()

    def test_without_a_tokenizer_nothing_is_checked(self, room: CheckRoom) -> None:
        with pytest.raises(ContractError, match="name a person") as caught:
            room.check(PEOPLE, {"a.csv": PEOPLE_FILE})
        assert caught.value.fix

    def test_a_column_that_is_dropped_needs_no_tokenizer(self, room: CheckRoom) -> None:
        found = room.check(contract_of(PHONE, DAY), {"a.csv": "phone,day\n1,2026-03-01\n,2026-03-01\n"})
        assert kept(found, "phone") == [None]
        assert found.reasons == {"phone: missing": 1}

    def test_earlier_versions_are_compared_by_token(self, room: CheckRoom) -> None:
        tokenizer = PlainTokenizer()
        once = Rule(RuleKind.UNIQUE, ("name",), "name: repeats an earlier row")
        known = Rule(RuleKind.REFERENCE, ("name",), "name: unknown", dataset="people", references=("name",))
        contract = contract_of(NAME, DAY, rules=(once, known))
        against = Against(
            previous=room.version("earlier", {"name": [tokenizer.token("Ana")]}),
            references={"people": room.version("people", {"name": [tokenizer.token(name) for name in ("Ana", "Bo")]})},
        )
        rows = "name,day\nAna,2026-03-01\nBo,2026-03-01\nBo,2026-03-01\nCy,2026-03-01\n"
        for keep in (True, False):
            found = room.check(contract, {"a.csv": rows}, against=against, tokenizer=tokenizer, keep=keep)
            assert [row for row, _, _ in quarantined(found)] == [2, 4, 5]

    def test_a_column_that_is_no_text_becomes_one(self, room: CheckRoom) -> None:
        contract = contract_of(Column("number", "integer", pii=PiiClass.DIRECT), DAY)
        tokenizer = PlainTokenizer()
        body_ = room.parquet({"number": [7, 8], "day": [date(2026, 3, 1)] * 2})
        found = room.check(contract, {"a.parquet": body_}, tokenizer=tokenizer)
        assert kept(found, "number") == [tokenizer.token("7"), tokenizer.token("8")]


class CheckerRepairs:
    """Promises of `Checker` about repairs of units and time zones. Subclasses give the fixture `checker`."""

    @pytest.fixture
    def room(self, checker: Checker, tmp_path: Path) -> CheckRoom:
        """A folder to check files in."""
        return CheckRoom(checker, tmp_path)

    @pytest.mark.parametrize(
        ("kind", "factor", "text", "value"),
        [
            ("number", 0.01, "250", 2.5),
            ("integer", 100.0, "3", 300),
            ("integer", 0.5, "4", 2),
            ("integer", 0.5, "3", None),
            ("integer", 10.0, "9223372036854775807", None),
            ("number", 10.0, "1e308", None),
        ],
    )
    def test_a_unit_is_converted_before_the_rules_and_counted(
        self, room: CheckRoom, kind: str, factor: float, text: str, value: float | None
    ) -> None:
        contract = contract_of(Column("v", kind, multiply_by=factor), DAY)
        found = room.check(contract, {"a.csv": f"v,day\n{text},2026-03-01\n,2026-03-01\n"})
        if value is None:
            assert found.reasons == {f"v: not {kind}": 1}
            return
        assert kept(found, "v") == [value, None]
        assert found.repairs == {"v": {"unit": 1}}
        assert found.rows_repaired == 1

    @pytest.mark.parametrize(
        ("text", "utc"),
        [
            ("2026-01-01 12:00:00", datetime(2026, 1, 1, 11, tzinfo=UTC)),
            ("2026-07-01T12:00", datetime(2026, 7, 1, 10, tzinfo=UTC)),
            ("2026-10-25 02:30", datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),  # comes twice: the second
            ("01.07.2026 12:00", datetime(2026, 7, 1, 10, tzinfo=UTC)),
        ],
    )
    def test_a_time_without_an_offset_is_one_of_its_zone(self, room: CheckRoom, text: str, utc: datetime) -> None:
        column = Column("at", "timestamp", time_zone="Europe/Berlin", formats=("%d.%m.%Y %H:%M",))
        found = room.check(contract_of(column, DAY), {"a.csv": f"at,day\n{text},2026-03-01\n,2026-03-01\n"})
        assert kept(found, "at") == [utc, None]
        assert found.repairs["at"]["time_zone"] == 1

    def test_a_time_that_the_clock_jumped_over_is_no_time(self, room: CheckRoom) -> None:
        contract = contract_of(Column("at", "timestamp", time_zone="Europe/Berlin"), DAY)
        found = room.check(contract, {"a.csv": "at,day\n2026-03-29 02:30,2026-03-01\n"})
        assert found.reasons == {"at: not timestamp": 1}

    def test_a_time_with_an_offset_keeps_it(self, room: CheckRoom) -> None:
        contract = contract_of(Column("at", "timestamp", time_zone="Europe/Berlin"), DAY)
        found = room.check(contract, {"a.csv": "at,day\n2026-01-01T12:00:00Z,2026-03-01\n"})
        assert kept(found, "at") == [datetime(2026, 1, 1, 12, tzinfo=UTC)]
        assert found.repairs == {}
