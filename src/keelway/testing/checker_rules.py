"""What every checker must make of a contract's rules; inherit it and give the fixture `checker`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keelway.contract import Against, Checker, Column, Contract, Rule, RuleKind, Severity
from keelway.errors import ContractError
from keelway.testing.checks import DAY, KNOWN_AT, CheckRoom, contract_of, kept, quarantined

ID, SHOP, AMOUNT = Column("id", "integer"), Column("shop", "string"), Column("amount", "number")
POSITIVE = Rule(RuleKind.MINIMUM, ("amount",), "amount: below 0", minimum="0")
ONCE = Rule(RuleKind.UNIQUE, ("id",), "id: repeats an earlier row")
KNOWN = Rule(RuleKind.REFERENCE, ("shop",), "shop: not in shops", dataset="shops", references=("name",))
HEAD = "id,shop,amount,day\n"


def body(*rows: str) -> str:
    """Return rows of `id,shop,amount` as a file."""
    return HEAD + "".join(f"{row},2026-03-01\n" for row in rows)


def orders(*rules: Rule) -> Contract:
    """Return the contract of these files, with some rules."""
    return contract_of(ID, SHOP, AMOUNT, DAY, rules=rules)


class CheckerRules:
    """Promises of `Checker` about rules. Subclasses give the fixture `checker`."""

    @pytest.fixture
    def room(self, checker: Checker, tmp_path: Path) -> CheckRoom:
        """A folder to check files in."""
        return CheckRoom(checker, tmp_path)

    @pytest.mark.parametrize(
        ("rule", "column", "good", "bad"),
        [
            (Rule(RuleKind.MAXIMUM, ("v",), "r", maximum="3", exclusive=True), "integer", "2", "3"),
            (Rule(RuleKind.MINIMUM, ("v",), "r", minimum="2026-03-01"), "date", "2026-03-01", "2026-02-28"),
            (Rule(RuleKind.MIN_LENGTH, ("v",), "r", minimum="2"), "string", "ää", "ä"),
            (Rule(RuleKind.MAX_LENGTH, ("v",), "r", maximum="2"), "string", "ää", "äää"),
            (Rule(RuleKind.PATTERN, ("v",), "r", text="^[a-z]+$"), "string", "abc", "aBc"),
            (Rule(RuleKind.ALLOWED, ("v",), "r", allowed=("it's", "b")), "string", "it's", "c"),
            (Rule(RuleKind.ALLOWED, ("v",), "r", allowed=("1", "2")), "integer", "2", "3"),
            (Rule(RuleKind.EXPRESSION, (), "r", text="v > 1 OR v IS NULL"), "integer", "2", "1"),
        ],
        ids=lambda value: value.kind.value if isinstance(value, Rule) else str(value),
    )
    def test_a_row_rule_keeps_good_rows_and_rows_without_a_value(
        self, room: CheckRoom, rule: Rule, column: str, good: str, bad: str
    ) -> None:
        contract = contract_of(Column("v", column), DAY, rules=(rule,))
        found = room.check(contract, {"a.csv": f'v,day\n"{good}",2026-03-01\n"{bad}",2026-03-01\n,2026-03-01\n'})
        assert kept(found, "_row") == [2, 4]
        assert found.reasons == {"r": 1}

    def test_the_event_time_is_always_required(self, room: CheckRoom) -> None:
        contract = contract_of(ID, replace(DAY, required=False))
        found = room.check(contract, {"a.csv": "id,day\n1,\n2,2026-03-01\n"})
        assert kept(found, "id") == [2]
        assert found.reasons == {"day: missing": 1}

    def test_a_warning_counts_and_keeps_the_row(self, room: CheckRoom) -> None:
        contract = orders(replace(POSITIVE, severity=Severity.WARN))
        found = room.check(contract, {"a.csv": body("1,x,-1", "2,x,1", "3,x,-5")})
        assert found.warnings == {"amount: below 0": 2}
        assert kept(found, "id") == [1, 2, 3]
        assert (found.reasons, found.quarantine) == ({}, None)

    def test_a_rule_against_files_takes_the_file_with_the_row(self, room: CheckRoom) -> None:
        contract = orders(replace(POSITIVE, severity=Severity.FILE), ONCE)
        found = room.check(contract, {"a.csv": body("1,x,1", "2,x,-1"), "b.csv": body("1,x,1", "3,x,2")})
        assert found.files[0].reasons == ("the file: amount: below 0",)
        assert kept(found, "id") == [1, 3]  # the row of the file that was kept out holds no key
        assert [why for _, _, why in quarantined(found)] == [
            ("the file: amount: below 0",),
            ("amount: below 0", "the file: amount: below 0"),
        ]
        assert found.reasons == {"amount: below 0": 1, "the file: amount: below 0": 2}

    def test_a_released_file_keeps_only_its_bad_rows_out(self, room: CheckRoom) -> None:
        contract = orders(replace(POSITIVE, severity=Severity.FILE))
        files = {"a.csv": body("1,x,1", "2,x,-1")}
        found = room.check(contract, files, waived=["the file: amount: below 0"])
        assert (kept(found, "id"), found.reasons) == ([1], {"amount: below 0": 1})

    def test_a_rule_that_stops_says_so_with_figures(self, room: CheckRoom) -> None:
        contract = orders(replace(POSITIVE, severity=Severity.STOP), replace(ONCE, severity=Severity.STOP))
        found = room.check(contract, {"a.csv": body("1,x,-1", "1,x,1", "1,x,2")})
        assert set(found.stops) == {"amount: below 0: 1 of 3 rows", "id: repeats an earlier row: 1 of 3 rows"}

    def test_waived_reasons_are_not_held_against_a_row(self, room: CheckRoom) -> None:
        files = {"a.csv": body("1,x,-1", "x,x,-1")}
        found = room.check(orders(POSITIVE), files, waived=["amount: below 0"])
        assert kept(found, "amount") == [-1.0]
        assert found.reasons == {"id: not integer": 1}

    def test_a_waived_problem_of_a_file_lets_its_rows_in(self, room: CheckRoom) -> None:
        contract = contract_of(replace(ID, required=True), DAY)
        files = {"a.csv": "day\n2026-03-01\n"}
        assert room.check(contract, files).files[0].reasons == ("column id is missing",)
        found = room.check(contract, files, waived=["column id is missing", "id: missing"])
        assert kept(found, "id") == [None]

    def test_without_keep_the_same_is_found_and_nothing_is_written(self, room: CheckRoom) -> None:
        files: dict[str, bytes | str] = {
            "a.csv": body("1,x,-1", "2,x,1", "2,x,1"),
            "b.parquet": room.parquet({"id": [2], "day": ["2026-03-01"]}),
        }
        written, not_written = (room.check(orders(POSITIVE, ONCE), files, keep=keep) for keep in (True, False))
        assert not_written.rows is None
        assert quarantined(written) == quarantined(not_written)
        assert replace(written, rows=None, quarantine=None) == replace(not_written, rows=None, quarantine=None)

    def test_of_a_repeated_key_the_first_sound_row_stays(self, room: CheckRoom) -> None:
        files = {"b.csv": body("1,x,3", "2,x,4"), "a.csv": body("1,x,-1", "1,y,2", ",x,1", ",x,1")}
        found = room.check(orders(POSITIVE, ONCE), files)
        assert kept(found, "id", "amount") == [(1, 2.0), (None, 1.0), (None, 1.0), (2, 4.0)]
        assert [(row, why) for row, _, why in quarantined(found)] == [
            (2, ("amount: below 0",)),
            (2, ("id: repeats an earlier row",)),
        ]

    def test_a_key_of_several_columns_is_compared_as_a_whole(self, room: CheckRoom) -> None:
        pair = Rule(RuleKind.UNIQUE, ("id", "shop"), "id, shop: repeats an earlier row")
        found = room.check(orders(pair), {"a.csv": body("1,x,1", "1,y,2", "1,x,3", "1,,4", "1,,5")})
        assert kept(found, "amount") == [1.0, 2.0, 4.0, 5.0]

    def test_a_key_of_an_earlier_version_does_not_come_again(self, room: CheckRoom) -> None:
        earlier = Against(previous=room.version("earlier", {"id": [1, None], "shop": ["q", "q"]}))
        files = {"a.csv": body("1,x,1", "2,x,2", ",x,3"), "b.csv": body("1,x,4", "2,x,5")}
        found = room.check(orders(ONCE), files, against=earlier)
        assert kept(found, "amount") == [2.0, 3.0]
        assert found.reasons == {"id: repeats an earlier row": 3}

    def test_a_key_that_only_warns_is_counted_once_a_row(self, room: CheckRoom) -> None:
        earlier = Against(previous=room.version("earlier", {"id": [1]}))
        warning = orders(replace(ONCE, severity=Severity.WARN))
        found = room.check(warning, {"a.csv": body("1,x,1", "1,x,2", "2,x,3", "2,x,4")}, against=earlier)
        assert found.warnings == {"id: repeats an earlier row": 3}
        assert kept(found, "id") == [1, 1, 2, 2]

    def test_an_earlier_version_may_have_got_its_columns_over_time(self, room: CheckRoom) -> None:
        first, second = room.version("first", {"other": [7]}), room.version("second", {"id": [1], "other": [8]})
        found = room.check(orders(ONCE), {"a.csv": body("1,x,1", "2,x,2")}, against=Against(previous=first + second))
        assert kept(found, "id") == [2]

    def test_a_time_is_the_same_key_in_an_earlier_version(self, room: CheckRoom) -> None:
        once = Rule(RuleKind.UNIQUE, ("at",), "at: repeats an earlier row")
        contract = contract_of(Column("at", "timestamp"), DAY, rules=(once,))
        first = room.check(contract, {"a.csv": "at,day\n2026-03-01T10:00:00+01:00,2026-03-01\n"})
        assert first.rows is not None
        again = {"b.csv": "at,day\n2026-03-01 09:00,2026-03-01\n2026-03-01 10:00,2026-03-01\n"}
        found = room.check(contract, again, against=Against(previous=(first.rows,)))
        assert kept(found, "_row") == [3]

    def test_a_column_that_the_earlier_version_lacks_has_no_keys_there(self, room: CheckRoom) -> None:
        earlier = Against(previous=room.version("earlier", {"other": [1]}))
        assert kept(room.check(orders(ONCE), {"a.csv": body("1,x,1")}, against=earlier), "id") == [1]

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        files=st.lists(st.lists(st.integers(1, 4), max_size=6), min_size=1, max_size=3), old=st.sets(st.integers(1, 4))
    )
    def test_a_key_never_stands_twice_and_the_first_always_stays(
        self, room: CheckRoom, files: list[list[int]], old: set[int]
    ) -> None:
        earlier = Against(previous=room.version("earlier", {"id": [*old]})) if old else Against()
        given = {f"{name}.csv": body(*(f"{key},x,1" for key in keys)) for name, keys in enumerate(files)}
        found = room.check(orders(ONCE), given, against=earlier)
        first = dict.fromkeys(key for keys in files for key in keys if key not in old)
        assert kept(found, "id") == [*first]
        assert len(quarantined(found)) == sum(map(len, files)) - len(first)

    def test_a_reference_stands_in_the_other_dataset_or_says_nothing(self, room: CheckRoom) -> None:
        shops = Against(references={"shops": room.version("shops", {"name": ["x", "y", "y", None]})})
        files = {"a.csv": body("1,x,1", "2,z,2", "3,,3", "4,y,-4", "5,q,-5")}
        found = room.check(orders(POSITIVE, KNOWN), files, against=shops)
        assert kept(found, "id") == [1, 3]
        assert quarantined(found)[-1][2] == ("amount: below 0", "shop: not in shops")

    def test_a_reference_to_nothing_is_never_passed_over(self, room: CheckRoom) -> None:
        files = {"a.csv": body("1,x,1", "2,,2")}
        assert kept(room.check(orders(KNOWN), files, against=Against(references={"shops": ()})), "id") == [2]
        with pytest.raises(ContractError, match="shops"):
            room.check(orders(KNOWN), files)
        lacking = Against(references={"shops": room.version("shops", {"other": ["x"]})})
        with pytest.raises(ContractError, match="name"):
            room.check(orders(KNOWN), files, against=lacking)


class CheckerBatches:
    """Promises of `Checker` about whole batches. Subclasses give the fixture `checker`."""

    @pytest.fixture
    def room(self, checker: Checker, tmp_path: Path) -> CheckRoom:
        """A folder to check files in."""
        return CheckRoom(checker, tmp_path)

    @pytest.mark.parametrize("keep", [True, False])
    def test_the_number_of_rows_counts_those_that_are_kept(self, room: CheckRoom, keep: bool) -> None:
        enough = Rule(RuleKind.ROW_COUNT, (), "rows", minimum="2", severity=Severity.STOP)
        good = room.check(orders(enough, POSITIVE), {"a.csv": body("1,x,1", "2,x,1")}, keep=keep)
        assert good.stops == ()
        bad = room.check(orders(enough, POSITIVE), {"a.csv": body("1,x,1", "2,x,-1")}, keep=keep)
        assert bad.stops == ("rows: 1, at least 2 expected",)

    def test_freshness_looks_from_the_youngest_file_to_the_youngest_row(self, room: CheckRoom) -> None:
        fresh = Rule(RuleKind.FRESHNESS, (), "stale", maximum="97200", severity=Severity.WARN)
        room.known_at = {"b.csv": KNOWN_AT + timedelta(seconds=1)}
        files = {"a.csv": body("1,x,1"), "b.csv": body("2,x,1")}
        assert room.check(orders(fresh), files).warnings == {"stale": 1}
        assert room.check(orders(fresh), {"a.csv": body("1,x,1")}).warnings == {}
        assert room.check(orders(fresh), {"a.csv": HEAD}).warnings == {}

    @pytest.mark.parametrize("keep", [True, False])
    @pytest.mark.parametrize("later", ["2026-03-03", "2099-01-01"])
    def test_a_row_from_the_future_does_not_make_old_rows_fresh(self, room: CheckRoom, later: str, keep: bool) -> None:
        fresh = Rule(RuleKind.FRESHNESS, (), "stale", maximum="97199", severity=Severity.STOP)
        rows = body("1,x,1", "2,x,1") + f"3,x,1,{later}\n"
        assert room.check(orders(fresh), {"a.csv": rows}, keep=keep).stops == ("stale: 97200, at most 97199 expected",)
        assert room.check(orders(replace(fresh, maximum="97200")), {"a.csv": rows}, keep=keep).stops == ()

    def test_where_all_rows_are_from_the_future_freshness_says_so(self, room: CheckRoom) -> None:
        fresh = Rule(RuleKind.FRESHNESS, (), "stale", maximum="97200", severity=Severity.STOP)
        told = "stale: every row is dated after 2026-03-02T03:00:00Z"
        rows = HEAD + "1,x,1,2099-01-01\n"
        assert room.check(orders(fresh), {"a.csv": rows}).stops == (told,)
        warned = room.check(orders(replace(fresh, severity=Severity.WARN)), {"a.csv": rows})
        assert (warned.warnings, warned.stops) == ({told: 1}, ())

    @pytest.mark.parametrize("keep", [True, False])
    @pytest.mark.parametrize(
        ("column", "same"), [("amount", [float(n) for n in range(100)]), ("shop", ["x", "y"] * 50)]
    )
    def test_a_distribution_is_compared_with_the_version_before(
        self, room: CheckRoom, column: str, same: list[object], keep: bool
    ) -> None:
        steady = Rule(RuleKind.DISTRIBUTION, (column,), "drift", maximum="0.1", severity=Severity.STOP)
        earlier = Against(previous=room.version("earlier", {column: same}))
        alike = {"a.csv": body(*(f"1,{same[n] if column == 'shop' else 'x'},{n}" for n in range(100)))}
        other = {"a.csv": body(*(f"1,{'q' if column == 'shop' else 'x'},{n + 500}" for n in range(100)))}
        assert room.check(orders(steady), alike, against=earlier, keep=keep).stops == ()
        (told,) = room.check(orders(steady), other, against=earlier, keep=keep).stops
        assert told.startswith("drift: ")
        assert told.endswith(", at most 0.1 expected")
        assert room.check(orders(steady), other, keep=keep).stops == ()

    @pytest.mark.parametrize("keep", [True, False])
    def test_a_query_gives_one_number_within_its_bounds(self, room: CheckRoom, keep: bool) -> None:
        share = Rule(
            RuleKind.SQL, (), "share", text="SELECT avg(amount) FROM {object}", maximum="2", exclusive=True,
            severity=Severity.STOP,
        )  # fmt: skip
        assert room.check(orders(share), {"a.csv": body("1,x,1", "2,x,1")}, keep=keep).stops == ()
        found = room.check(orders(share), {"a.csv": body("1,x,1", "2,x,3")}, keep=keep)
        assert found.stops == ("share: 2, less than 2 expected",)

    def test_a_query_reads_the_batch_only(self, room: CheckRoom, tmp_path: Path) -> None:
        (tmp_path / "secret.csv").write_text("n\n1\n")
        text = f"SELECT count(*) FROM '{tmp_path}/secret.csv', {{object}}"
        reading = Rule(RuleKind.SQL, (), "reading", text=text, severity=Severity.STOP, maximum="0")
        with pytest.raises(ContractError):
            room.check(orders(reading), {"a.csv": body("1,x,1")})
