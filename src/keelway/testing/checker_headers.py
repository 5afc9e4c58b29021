"""What every checker must read of CSV files without a header, or with lines above it; inherit it and give `checker`."""

from __future__ import annotations

import gzip
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keelway.contract import Checker
from keelway.testing.checker_formats import NASTY, PLAIN, TEXTS, write_csv
from keelway.testing.checks import CheckRoom, kept, quarantined


class CheckerHeaders:
    """Promises of `Checker` about what stands above the rows. Subclasses give the fixture `checker`."""

    @pytest.fixture
    def room(self, checker: Checker, tmp_path: Path) -> CheckRoom:
        """A folder to check files in."""
        return CheckRoom(checker, tmp_path)

    @pytest.mark.parametrize("pack", [bytes, gzip.compress])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_without_a_header_columns_come_in_the_order_of_the_contract(
        self, room: CheckRoom, encoding: str, pack: Any
    ) -> None:
        text = '"a;\n1";2026-03-01;1\n\nb;2026-03-01;2;x\nc;2026-03-01\nd;2026-03-01;lots\ne;2026-03-01;3'
        read_as = encoding.removesuffix("-sig")
        contract = replace(PLAIN, has_header=False, delimiter=";", encoding=read_as, format="csv")
        found = room.check(contract, {"a": pack(text.encode(encoding))})
        assert kept(found, "id", "amount", "_row") == [("a;\n1", 1.0, 1)]
        assert quarantined(found) == [
            (4, "b;2026-03-01;2;x", ("4 fields instead of 3",)),
            (5, "c;2026-03-01", ("2 fields instead of 3",)),
            (6, "d;2026-03-01;lots", ("amount: not number",)),
            (7, "e;2026-03-01;3", ("the last line has no line end, it may be cut off",)),
        ]
        (file,) = found.files
        assert (file.rows_in, file.renamed, file.extra, file.missing) == (5, {}, (), ())

    def test_a_cut_last_line_is_told_without_a_header_too(self, room: CheckRoom) -> None:
        found = room.check(replace(PLAIN, has_header=False), {"a.csv": "a,2026-03-01,1\nb,2026"})
        assert quarantined(found) == [(2, "b,2026", ("cut off: 2 of 3 fields",))]

    def test_without_a_header_what_the_partitions_give_is_not_in_the_file(self, room: CheckRoom) -> None:
        contract = replace(PLAIN, has_header=False)
        found = room.check(contract, {"day=2026-03-01/a.csv": "a,1\n", "b.csv": "b,2026-03-02,2\n"})
        assert kept(found, "id", "day", "amount") == [("b", date(2026, 3, 2), 2.0), ("a", date(2026, 3, 1), 1.0)]

    def test_without_a_header_a_file_of_blank_lines_has_no_rows(self, room: CheckRoom) -> None:
        found = room.check(replace(PLAIN, has_header=False), {"a.csv": "\n\n"})
        assert (kept(found), found.files[0].reasons) == ([], ())

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    @pytest.mark.parametrize("pack", [bytes, gzip.compress])
    @pytest.mark.parametrize("has_header", [True, False])
    def test_lines_above_are_passed_over_and_counted(
        self, room: CheckRoom, has_header: bool, pack: Any, end: str
    ) -> None:
        head = "id,day,amount\n" if has_header else ""
        body = f'Q1 "draft, never closed\n\nsecond\n{head}"a\nb",2026-03-01,1\nc,2026-03-01,2\n'.replace("\n", end)
        contract = replace(PLAIN, has_header=has_header, skip_lines=3)
        found = room.check(contract, {"a.csv": pack(body.encode())})
        first = 4 + has_header
        assert kept(found, "id", "_row") == [(f"a{end}b", first), ("c", first + 2)]

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            ("title\n\n", "the file has no header"),
            ("title\n", "the file ends within the 2 lines that are passed over"),
            ("", "the file ends within the 2 lines that are passed over"),
            ("title\nid,day,amount\na,2026-03-01,1\n", "column id is missing"),
        ],
    )
    def test_too_few_or_too_many_lines_above_quarantine_the_file(self, room: CheckRoom, body: str, reason: str) -> None:
        found = room.check(replace(PLAIN, skip_lines=2), {"a.csv": body})
        assert (kept(found), found.files[0].reasons[:1]) == ([], (reason,))

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        rows=st.lists(st.tuples(NASTY, NASTY), min_size=1, max_size=6),
        above=st.lists(st.text(alphabet='a",', max_size=5), max_size=4),
        has_header=st.booleans(),
    )
    def test_what_stands_above_the_rows_changes_nothing_about_them(
        self, room: CheckRoom, rows: list[tuple[str, str]], above: list[str], has_header: bool
    ) -> None:
        written = write_csv([[a, "2026-03-01", b] for a, b in rows])
        plain = room.check(TEXTS, {"a.csv": written})
        body = written if has_header else written.partition("\n")[2]
        contract = replace(TEXTS, has_header=has_header, skip_lines=len(above))
        found = room.check(contract, {"a.csv": "".join(f"{line}\n" for line in above) + body})
        shift = len(above) - (not has_header)
        assert kept(found, "a", "b", "_row") == [(a, b, row + shift) for a, b, row in kept(plain, "a", "b", "_row")]
