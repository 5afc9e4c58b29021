"""What was kept out can be looked at, let in once, or given up; nothing is lost or loaded twice on the way."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keelway.contract import (
    CheckedBatch,
    Discard,
    Discarded,
    HeldFile,
    HeldRow,
    ItemStatus,
    Recheck,
    Release,
    Released,
    Selection,
    StoppedBatch,
    discard,
    discard_batch,
    is_stopped,
    load_contract,
    pass_over,
    quarantined,
    quarantined_files,
    release,
    stopped_batch,
)
from keelway.contract.quarantine.kept_out import spans_of
from keelway.contract.quarantine.settle import PickedFile
from keelway.core import Action, digest_of
from keelway.engines.local.checker import DuckDbChecker
from keelway.engines.local.objects import LocalObjects
from keelway.errors import ConflictError, ContractError, IdentityError, MissingRecordError, UsageError
from keelway.identity import Principal
from keelway.ingest import Batch, SeenContent, pull
from keelway.ledger import audit, decisions
from keelway.snapshot import newest, read
from keelway.testing.crash import EXIT_CODE, CrashingArtifacts, CrashingState, CrashPoint, swept
from keelway.testing.shop import ANA as ANA_ID
from keelway.testing.shop import HEADER, NOW, ORDERS, Shop

ANA = Principal(ANA_ID, ("data-scientist",))
BO = Principal("user:bo", ("approver",))  # type: ignore[arg-type]
EVE = Principal("user:eve", ("deployer", "auditor"))  # type: ignore[arg-type]
LATER = NOW + timedelta(hours=1)
OPEN = Selection()
EVERYTHING = Selection(status=None)
BAD = "1,1997-01-01,1,2.5\n,1997-01-01,1,3\n3,1997-01-01,0,4\n4,never,1,5\n5,1997-01-01,0,-1\n"
"""One good row; then without a customer (line 3), no quantity (4), no date (5), no quantity and a negative amount (6)."""


class Desk(Shop):
    """The shop, taking files of any ending, with somebody who settles what was kept out."""

    def pull(self) -> Batch | None:
        return pull(
            replace(ORDERS, source="raw/orders/**/*"), source=LocalObjects(self.root / "objects"), state=self.state,
            artifacts=self.artifacts, now=NOW, actor=ANA_ID,
        ).batch  # fmt: skip

    def load(self) -> None:
        """Take in whatever is new; what brings no rows is passed over."""
        while (batch := self.pull()) is not None:
            checked = self.check(batch) if batch.files else None
            if checked is not None and checked.rows_ok:
                self.take(checked)
            else:
                pass_over(batch, checked=checked, state=self.state, now=NOW, actor=ANA_ID)

    def rows(self, selection: Selection = OPEN, *, limit: int = 1000) -> list[HeldRow]:
        with self.state.snapshot() as tx:
            return quarantined("orders", selection, tx=tx, artifacts=self.artifacts, limit=limit)

    def files(self, selection: Selection = OPEN) -> list[HeldFile]:
        with self.state.snapshot() as tx:
            return quarantined_files("orders", selection, tx=tx, artifacts=self.artifacts)

    def lines(self, selection: Selection = OPEN) -> list[int]:
        return [row.row for row in self.rows(selection)]

    def release(
        self, *items: str, waive: tuple[str, ...] = (), by: Principal = ANA, comment: str = "seen", **where: Any
    ) -> Released:
        recheck = Recheck(self.contract, "date", DuckDbChecker(threads=1), self.against)
        return release(
            "orders", Selection(items, **where), waive=waive, comment=comment, recheck=recheck,
            artifacts=self.artifacts, state=self.state, now=LATER, actor=by,
        )  # fmt: skip

    def discard(self, *items: str, by: Principal = ANA, comment: str = "gone", **where: Any) -> Discarded:
        return discard(
            "orders", Selection(items, **where), comment=comment, artifacts=self.artifacts, state=self.state,
            now=LATER, actor=by,
        )  # fmt: skip

    def discard_batch(self, number: int, *, by: Principal = ANA, comment: str = "gone") -> Discarded:
        return discard_batch("orders", number, comment=comment, state=self.state, now=LATER, actor=by)

    @property
    def against(self) -> Any:
        from keelway.contract import Against

        with self.state.snapshot() as tx:
            found = newest("orders", tx)
        return Against(tuple(read(found, tables=self.tables, artifacts=self.artifacts))) if found else Against()

    def mend(self, old: str, new: str) -> None:
        """Change the contract."""
        path = self.root / "orders.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        self.contract = load_contract(path, "orders")

    def stopped(self) -> StoppedBatch | None:
        with self.state.snapshot() as tx:
            return stopped_batch("orders", tx)

    def dataset(self) -> list[dict[str, Any]]:
        """Return the rows of the newest version, by customer."""
        with self.state.snapshot() as tx:
            found = newest("orders", tx)
        if found is None:
            return []
        rows = []
        for path in read(found, tables=self.tables, artifacts=self.artifacts):
            rows += pq.read_table(path).to_pylist()
        assert len(rows) == found.rows
        return sorted(rows, key=lambda row: (row["customer_id"] or "", row["_known_at"]))

    def customers(self) -> list[str | None]:
        return [row["customer_id"] for row in self.dataset()]

    def versions(self) -> int:
        with self.state.snapshot() as tx:
            found = newest("orders", tx)
        return found.number if found else 0

    def actions(self) -> list[Action]:
        with self.state.snapshot() as tx:
            return [decision.action for _, decision in decisions(tx)]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk.open(tmp_path / "shop")
    assert isinstance(made, Desk)
    yield made
    made.state.close()


def reopened(folder: Path, root: Path, *, share: float = 1.0) -> Desk:
    """Return a desk at a copy of a folder, as it stands there."""
    desk = Desk.open(shutil.copytree(folder, root), share=share)
    assert isinstance(desk, Desk)
    return desk


@pytest.fixture(scope="module")
def held_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A desk with one file of which four rows are in quarantine."""
    folder = tmp_path_factory.mktemp("held") / "shop"
    desk = Desk.open(folder)
    desk.upload("1997-01-01", BAD)
    desk.load()
    desk.state.close()
    return folder


@pytest.fixture
def held(held_folder: Path, tmp_path: Path) -> Iterator[Desk]:
    desk = reopened(held_folder, tmp_path / "shop")
    yield desk
    desk.state.close()


NAME = "raw/orders/dt=1997-01-01/orders.csv"


# --- looking ----------------------------------------------------------------------------------------------------------


def test_a_row_is_shown_with_every_reason_and_its_text(held: Desk) -> None:
    assert held.rows() == [
        HeldRow(1, NAME, 3, ("customer_id: missing",), ",1997-01-01,1,3", ItemStatus.OPEN),
        HeldRow(1, NAME, 4, ("quantity: below 1",), "3,1997-01-01,0,4", ItemStatus.OPEN),
        HeldRow(1, NAME, 5, ("date: not a date",), "4,never,1,5", ItemStatus.OPEN),
        HeldRow(1, NAME, 6, ("quantity: below 1", "amount: below 0"), "5,1997-01-01,0,-1", ItemStatus.OPEN),
    ]


def test_a_file_is_listed_with_its_counts_by_reason(held: Desk) -> None:
    [line] = held.files()
    assert (line.batch, line.name, line.why, line.rows) == (1, NAME, (), {"open": 4})
    assert line.reasons == {
        "amount: below 0": 1, "customer_id: missing": 1, "date: not a date": 1, "quantity: below 1": 2
    }  # fmt: skip


@pytest.mark.parametrize(
    ("selection", "lines"),
    [
        pytest.param(Selection(), [3, 4, 5, 6], id="all"),
        pytest.param(Selection((f"{NAME}:4",)), [4], id="a row"),
        pytest.param(Selection((f"{NAME}:4", f"{NAME}:6")), [4, 6], id="rows"),
        pytest.param(Selection((NAME,)), [3, 4, 5, 6], id="a file"),
        pytest.param(Selection((f"{NAME}:2",)), [], id="a row that was kept"),
        pytest.param(Selection(("raw/other.csv",)), [], id="another file"),
        pytest.param(Selection(("raw/other.csv:4",)), [], id="a row of another file"),
        pytest.param(Selection(reason="quantity: below 1"), [4, 6], id="a reason"),
        pytest.param(Selection(reason="the file: quantity: below 1"), [], id="another reason"),
        pytest.param(Selection(reason="quantity"), [], id="a part of a reason is none"),
        pytest.param(Selection(file="raw/*"), [3, 4, 5, 6], id="a glob"),
        pytest.param(Selection(file="*.json"), [], id="another glob"),
        pytest.param(Selection(batch=1), [3, 4, 5, 6], id="a batch"),
        pytest.param(Selection(batch=2), [], id="another batch"),
        pytest.param(Selection((f"{NAME}:4",), reason="date: not a date"), [], id="both must hold"),
        pytest.param(Selection(status=ItemStatus.RELEASED), [], id="released"),
        pytest.param(Selection(status=None), [3, 4, 5, 6], id="whatever became of it"),
    ],
)
def test_a_selection_has_what_everything_given_holds_for(held: Desk, selection: Selection, lines: list[int]) -> None:
    assert held.lines(selection) == lines
    assert sum(sum(file.rows.values()) for file in held.files(selection)) == len(lines)


def test_newer_batches_come_first_and_a_limit_holds(held: Desk) -> None:
    held.upload("1997-01-02", "9,1997-01-02,1,1\n10,1997-01-02,0,1\n")
    held.load()
    assert [(row.batch, row.row) for row in held.rows(limit=2)] == [(2, 3), (1, 3)]
    assert [file.batch for file in held.files()] == [2, 1]


def test_nothing_is_in_quarantine_before_anything_was_loaded(desk: Desk) -> None:
    assert desk.rows() == []
    assert desk.files() == []
    assert desk.stopped() is None
    desk.upload("1997-01-01", BAD)
    desk.pull()
    assert desk.files() == [], "a batch that is not loaded yet has no quarantine"


def test_a_batch_that_was_checked_by_two_contracts_counts_once(held: Desk) -> None:
    held.upload("1997-01-02", "7,1997-01-02,0,1\n8,1997-01-02,1,1\n")
    batch = held.pull()
    assert batch is not None
    held.check(batch)
    held.mend("minimum: 1", "minimum: 0")
    held.load()
    assert [row.batch for row in held.rows()] == [1, 1, 1, 1]


@given(st.lists(st.booleans(), max_size=60))
def test_spans_say_exactly_which_positions_are_chosen(chosen: list[bool]) -> None:
    spans = spans_of(np.array(chosen, np.bool_))
    assert [position for first, last in spans for position in range(first, last + 1)] == [
        position for position, is_chosen in enumerate(chosen) if is_chosen
    ]
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(spans)), "no two touch"


# --- releasing --------------------------------------------------------------------------------------------------------


def test_released_rows_enter_the_next_version_as_they_stood(held: Desk) -> None:
    done = held.release(reason="quantity: below 1", waive=("quantity: below 1", "amount: below 0"), by=BO)
    assert (done.batch, done.rows, done.files, done.kept_back) == (2, 2, (), {})
    assert held.versions() == 1, "nothing is loaded before the next ingest"
    held.load()
    assert held.versions() == 2
    assert held.customers() == ["1", "3", "5"]
    three = held.dataset()[1]
    assert (three["quantity"], three["amount"], three["_known_at"]) == (0, 4.0, LATER)
    assert held.lines() == [3, 5]
    assert held.lines(Selection(status=ItemStatus.RELEASED)) == [4, 6]


def test_a_row_is_released_once(held: Desk) -> None:
    held.release(f"{NAME}:4", waive=("all",), by=BO)
    again = held.release(f"{NAME}:4", waive=("all",), by=BO)
    assert (again.batch, again.rows) == (0, 0)
    held.load()
    held.load()
    assert held.customers() == ["1", "3"]
    assert held.actions().count(Action.RELEASE) == 1


def test_rows_that_keep_a_mended_contract_need_no_waiver(held: Desk) -> None:
    held.mend("minimum: 1", "minimum: 0")
    done = held.release(reason="quantity: below 1")
    assert done.rows == 1
    assert done.kept_back == {"amount: below 0": 1}, "the other still breaks a rule, and stays"
    held.load()
    assert held.customers() == ["1", "3"]
    assert held.lines() == [3, 5, 6]


def test_rows_that_would_all_be_quarantined_again_are_refused(held: Desk) -> None:
    before = held.actions()
    with pytest.raises(ContractError, match="quarantined again") as refused:
        held.release(reason="quantity: below 1")
    assert "2 x quantity: below 1" in refused.value.found
    assert "--waive" in refused.value.fix
    assert held.actions() == before
    assert held.pull() is None


def test_a_type_is_never_waived(held: Desk) -> None:
    with pytest.raises(ContractError, match="cannot be waived"):
        held.release(f"{NAME}:5", waive=("date: not a date",), by=BO)
    done = held.release(waive=("all",), by=BO)
    assert done.rows == 3
    assert done.kept_back == {"date: not a date": 1}


def test_the_time_a_row_happened_is_never_waived(desk: Desk) -> None:
    desk.upload("1997-01-01", "1,1997-01-01,1,1\n2,,1,1\n")
    desk.load()
    with pytest.raises(ContractError, match="cannot be waived"):
        desk.release(f"{NAME}:3", waive=("date: missing",), by=BO)


def test_a_reason_that_the_contract_does_not_have_cannot_be_waived(held: Desk) -> None:
    with pytest.raises(ContractError, match="cannot be waived") as refused:
        held.release(waive=("weight: below 0",), by=BO)
    assert "quantity: below 1" in refused.value.expected


@pytest.mark.parametrize(
    ("actor", "waive", "allowed"),
    [(ANA, (), True), (BO, (), True), (EVE, (), False), (ANA, ("all",), False), (BO, ("all",), True)],
    ids=["data-scientist", "approver", "deployer", "data-scientist who waives", "approver who waives"],
)
def test_who_may_release(held: Desk, actor: Principal, waive: tuple[str, ...], allowed: bool) -> None:
    held.mend("minimum: 1", "minimum: 0")
    if allowed:
        assert held.release(f"{NAME}:4", waive=waive, by=actor).rows == 1
    else:
        with pytest.raises(IdentityError):
            held.release(f"{NAME}:4", waive=waive, by=actor)
        assert held.lines() == [3, 4, 5, 6]


@pytest.mark.parametrize("comment", ["", "  \n"], ids=["nothing", "blanks"])
def test_whoever_settles_something_says_why(held: Desk, comment: str) -> None:
    with pytest.raises(UsageError, match="Nobody says why"):
        held.release(NAME, comment=comment)
    with pytest.raises(UsageError, match="Nobody says why"):
        held.discard(NAME, comment=comment)


@pytest.mark.parametrize("verb", ["release", "discard"])
def test_what_was_never_quarantined_is_told(held: Desk, verb: str) -> None:
    with pytest.raises(MissingRecordError, match="Nothing of that kind"):
        getattr(held, verb)("raw/orders/unknown.csv")


def test_the_ledger_says_who_released_what_and_why(held: Desk) -> None:
    held.release(f"{NAME}:4", waive=("quantity: below 1",), by=BO, comment="a gift, agreed with the shop")
    with held.state.snapshot() as tx:
        [record] = tx.newest(Release)
        [decision] = [item for _, item in decisions(tx) if item.action is Action.RELEASE]
        batch = tx.by_digest(Batch, decision.evidence["batch"])
        checked = tx.by_digest(CheckedBatch, record.rows[0].checked)
    assert (record.by, record.comment, record.waived, record.batch) == (
        "user:bo", "a gift, agreed with the shop", ("quantity: below 1",), 2
    )  # fmt: skip
    assert (record.rows[0].batch, record.rows[0].spans, checked.dataset) == (1, ((1, 1),), "orders")
    assert decision.evidence["release"] == digest_of(record) == batch.released
    assert batch.waived == ("quantity: below 1",)
    assert (decision.principal, decision.subject, decision.allowed) == ("user:bo", "orders", True)
    assert "a gift" in decision.comment


def test_rows_of_several_batches_and_files_come_in_one_batch(held: Desk) -> None:
    held.upload("1997-01-02", "7,1997-01-02,0,1\n8,1997-01-02,1,1\n")
    held.upload("1997-01-02", "9,1997-01-02,0,1\n10,1997-01-02,1,1\n", name="more.csv")
    held.load()
    done = held.release(reason="quantity: below 1", waive=("all",), by=BO)
    assert (done.batch, done.rows) == (3, 4)
    held.load()
    assert held.customers() == ["1", "10", "3", "5", "7", "8", "9"]
    assert held.versions() == 3


def test_a_released_row_that_fails_again_is_open_again(held: Desk) -> None:
    held.mend("minimum: 1", "minimum: 0")
    held.release(f"{NAME}:4")
    held.mend("minimum: 0}}", "minimum: 1}}")  # taken back before the ingest
    batch = held.pull()
    assert batch is not None
    checked = held.check(batch)
    pass_over(batch, checked=checked, state=held.state, now=NOW, actor=ANA_ID)
    [row] = held.rows(Selection(batch=2))
    assert (row.file, row.reasons) == (f"released/000002/000001/{NAME}", ("quantity: below 1",))
    held.mend("minimum: 1", "minimum: 0")
    assert held.release(f"{row.file}:{row.row}").rows == 1
    held.load()
    assert held.customers() == ["1", "3"]


# --- bytes ------------------------------------------------------------------------------------------------------------

FORMS = {
    "plain": (HEADER + "1,1997-01-01,1,2\n2,1997-01-01,0,3\n").encode(),
    "windows line ends": (HEADER + "1,1997-01-01,1,2\n2,1997-01-01,0,3\n").replace("\n", "\r\n").encode(),
    "old line ends": (HEADER + "1,1997-01-01,1,2\n2,1997-01-01,0,3\n").replace("\n", "\r").encode(),
    "byte order mark": b"\xef\xbb\xbf" + (HEADER + "1,1997-01-01,1,2\n2,1997-01-01,0,3\n").encode(),
    "blank lines": ("\n\n" + HEADER + "\n1,1997-01-01,1,2\n\n2,1997-01-01,0,3\n\n").encode(),
    "quotes": (HEADER + '"1","1997-01-01","1","2"\n"2","1997-01-01","0","3"\n').encode(),
    "extra column": b'note,customer_id,date,quantity,amount\n"a\nb",1,1997-01-01,1,2\n"c\nd",2,1997-01-01,0,3\n',
    "quoted header": b'"no\nte",customer_id,date,quantity,amount\na,1,1997-01-01,1,2\n"c\n",2,1997-01-01,0,3\n',
    "gzip": gzip.compress((HEADER + "1,1997-01-01,1,2\n2,1997-01-01,0,3\n").encode()),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_row_is_released_from_a_file_of_any_form(desk: Desk, form: str) -> None:
    desk.upload("1997-01-01", FORMS[form], name="orders.csv.gz" if form == "gzip" else "orders.csv")
    desk.load()
    [row] = desk.rows()
    assert row.reasons == ("quantity: below 1",)
    assert desk.release(f"{row.file}:{row.row}", waive=("all",), by=BO).rows == 1
    desk.load()
    assert [(item["customer_id"], item["quantity"], item["amount"]) for item in desk.dataset()] == [
        ("1", 1, 2.0), ("2", 0, 3.0)
    ]  # fmt: skip


@pytest.mark.parametrize("head", ["", "orders of the day\n\n"], ids=["bare", "below a title"])
@pytest.mark.parametrize("has_header", [True, False])
def test_a_row_is_released_with_or_without_a_header(desk: Desk, has_header: bool, head: str) -> None:
    lines = head.count("\n")
    own = f"- {{property: skipLines, value: {lines}}}" + (
        "" if has_header else "\n      - {property: header, value: none}"
    )
    desk.mend("value: 1.0}", f"value: 1.0}}\n      {own}")
    above = head + (HEADER if has_header else "")
    desk.upload("1997-01-01", f"{above}2,1997-01-01,0,3\n1,1997-01-01,1,2\n4,1997-01-01,0,5\n".encode())
    desk.load()
    assert desk.lines() == [lines + has_header + 1, lines + has_header + 3]
    assert desk.release(f"{NAME}:{lines + has_header + 3}", waive=("all",), by=BO).rows == 1
    desk.load()
    assert desk.customers() == ["1", "4"]


def test_single_rows_are_not_released_below_another_header(desk: Desk) -> None:
    desk.upload("1997-01-01", "1,1997-01-01,1,2\n2,1997-01-01,0,3\n")
    desk.load()
    desk.mend("value: 1.0}", "value: 1.0}\n      - {property: header, value: none}")
    with pytest.raises(ContractError, match="cannot be released") as caught:
        desk.release(f"{NAME}:3", waive=("all",), by=BO)
    assert (caught.value.expected[:20], caught.value.found[:14]) == ("files with no header", "a header below")
    assert desk.lines() == [3]


def test_bytes_of_another_encoding_stay_as_they_are(desk: Desk) -> None:
    desk.mend("value: 1.0}", "value: 1.0}\n      - {property: encoding, value: latin-1}")
    desk.mend("pattern: '^[0-9]+$'", "pattern: '^[a-zé]+$'")
    desk.upload("1997-01-01", (HEADER + "ana,1997-01-01,1,2\nrené,1997-01-01,0,3\n").encode("latin-1"))
    desk.load()
    desk.release(NAME, waive=("all",), by=BO)
    desk.load()
    assert desk.customers() == ["ana", "rené"]


def test_rows_of_json_lines_are_released(desk: Desk) -> None:
    good = json.dumps({"customer_id": "1", "date": "1997-01-01", "quantity": 1, "amount": 2})
    bad = json.dumps({"customer_id": "2", "date": "1997-01-01", "quantity": 0, "amount": 3})
    desk.upload("1997-01-01", f"{good}\n{bad}\n".encode(), name="orders.jsonl")
    desk.load()
    desk.release(reason="quantity: below 1", waive=("all",), by=BO)
    desk.load()
    assert desk.customers() == ["1", "2"]


def test_rows_of_parquet_are_released_with_their_types(desk: Desk, tmp_path: Path) -> None:
    table = pa.table(
        {
            "customer_id": ["1", "2", "3"],
            "date": pa.array([datetime(1997, 1, 1, tzinfo=UTC).date()] * 3, pa.date32()),
            "quantity": pa.array([1, 0, 0], pa.int16()),
            "amount": pa.array([2.0, 3.5, -1.0], pa.float32()),
        }
    )
    path = tmp_path / "orders.parquet"
    pq.write_table(table, path, row_group_size=2)
    desk.upload("1997-01-01", path.read_bytes(), name="orders.parquet")
    desk.load()
    assert [row.row for row in desk.rows()] == [2, 3]
    assert desk.release(waive=("quantity: below 1",), by=BO).rows == 1
    desk.load()
    assert [(row["customer_id"], row["amount"]) for row in desk.dataset()] == [("1", 2.0), ("2", 3.5)]


def test_a_last_line_that_may_be_cut_off_is_still_cut_off(desk: Desk) -> None:
    desk.upload("1997-01-01", (HEADER + "1,1997-01-01,1,2\n2,1997-01-01,0,3\n3,1997-01-01,1,4").encode())
    desk.load()
    assert desk.lines() == [3, 4]
    done = desk.release(waive=("all",), by=BO)
    assert done.rows == 1
    assert list(done.kept_back.values()) == [1]
    desk.load()
    assert desk.customers() == ["1", "2"]


# --- whole files ------------------------------------------------------------------------------------------------------

WITHOUT_AMOUNT = b"customer_id,date,quantity,price\n1,1997-01-01,1,2\n2,1997-01-01,1,3\n"


def test_a_whole_file_comes_in_by_its_own_bytes(desk: Desk) -> None:
    desk.upload("1997-01-01", WITHOUT_AMOUNT)
    desk.load()
    [file] = desk.files()
    assert file.why == ("column amount is missing",)
    assert (file.status, file.rows, desk.versions()) == (ItemStatus.OPEN, {"open": 2}, 0)
    with pytest.raises(ContractError) as refused:
        desk.release(NAME)
    assert "column amount is missing" in refused.value.found
    desk.mend("value: [dollar_value]", "value: [dollar_value, price]")
    done = desk.release(NAME)
    assert (done.rows, done.files) == (0, (NAME,))
    desk.load()
    assert desk.customers() == ["1", "2"]
    assert [row["_file"] for row in desk.dataset()] == [file.digest] * 2
    assert desk.files() == []
    [file] = desk.files(EVERYTHING)
    assert (file.status, file.rows) == (ItemStatus.RELEASED, {"released": 2})
    assert desk.release(NAME).batch == 0


def test_single_rows_of_a_whole_file_can_go_first(desk: Desk) -> None:
    desk.upload("1997-01-01", WITHOUT_AMOUNT)
    desk.load()
    desk.mend("value: [dollar_value]", "value: [dollar_value, price]")
    desk.discard(f"{NAME}:2")
    assert desk.files()[0].status is ItemStatus.OPEN
    done = desk.release(NAME)
    assert (done.rows, done.files) == (1, ()), "its own bytes would bring back the row that was given up"
    desk.load()
    assert desk.customers() == ["2"]
    assert desk.files() == []


def test_a_file_rule_judges_single_rows_when_they_are_released(desk: Desk) -> None:
    desk.mend("      - {name: quantity, logicalType: integer, required: true, logicalTypeOptions: {minimum: 1}}",
              "      - name: quantity\n        logicalType: integer\n        required: true\n"
              "        quality:\n          - {metric: invalidValues, mustBe: 0, severity: file,\n"
              "             arguments: {validValues: ['1', '2']}}")  # fmt: skip
    desk.upload("1997-01-01", "1,1997-01-01,1,2\n2,1997-01-01,7,3\n3,1997-01-01,2,4\n")
    desk.load()
    assert desk.lines() == [2, 3, 4]
    done = desk.release(f"{NAME}:2", f"{NAME}:3", f"{NAME}:4")
    assert done.rows == 2
    desk.load()
    assert desk.customers() == ["1", "3"]
    assert desk.lines() == [3]


def test_other_content_under_a_known_name_is_a_quarantined_file(held: Desk) -> None:
    held.upload("1997-01-01", "77,1997-01-01,1,1\n", after_h=50)
    held.load()
    assert held.versions() == 1, "a batch that only leaves files out makes no version"
    [changed, _] = held.files()
    assert (changed.batch, changed.name, changed.why, changed.rows) == (2, NAME, ("content changed",), {})
    done = held.release(reason="content changed")
    assert done.files == (NAME,)
    held.load()
    assert held.customers() == ["1", "77"]
    with held.state.snapshot() as tx:
        assert tx.find(SeenContent, f"orders/{changed.digest}") is not None


def test_content_that_was_released_is_a_duplicate_from_then_on(held: Desk) -> None:
    held.upload("1997-01-01", "77,1997-01-01,1,1\n", after_h=50)
    held.load()
    held.release(reason="content changed")
    held.load()
    held.upload("1997-01-02", "77,1997-01-01,1,1\n", name="copy.csv")
    held.load()
    assert held.customers() == ["1", "77"]


def test_changed_content_that_came_in_under_another_name_is_not_released_too(held: Desk) -> None:
    held.upload("1997-01-01", "77,1997-01-01,1,1\n", after_h=50)
    held.load()
    held.upload("1997-01-02", "77,1997-01-01,1,1\n", name="copy.csv")
    held.load()
    assert held.customers() == ["1", "77"]
    with pytest.raises(ConflictError, match="taken under another name") as refused:
        held.release(reason="content changed")
    assert refused.value.found.endswith("copy.csv")
    assert held.discard(reason="content changed").files == (NAME,)
    assert held.files(Selection(reason="content changed")) == []


# --- rules that would stop a release ----------------------------------------------------------------------------------


def test_rows_that_would_be_stopped_as_a_batch_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    desk = Desk.open(tmp_path / "shop", share=0.5)
    desk.upload(
        "1997-01-01", b"customer_id,date,quantity,price\n1,1997-01-01,1,2\n2,1997-01-01,0,3\n3,1997-01-01,0,3\n"
    )
    desk.upload("1997-01-01", "".join(f"{n},1997-01-01,1,2\n" for n in range(10, 20)), name="other.csv")
    desk.load()
    desk.mend("value: [dollar_value]", "value: [dollar_value, price]")
    with pytest.raises(ContractError, match="would stop these rows") as refused:
        desk.release(NAME)
    assert "2 of 3 rows" in refused.value.found
    assert desk.pull() is None
    assert desk.release(f"{NAME}:2").rows == 1
    desk.state.close()


def test_a_rule_on_batches_does_not_hold_a_release_back(desk: Desk) -> None:
    desk.mend("    properties:\n      - {name: customer_id",
              "    quality:\n      - {metric: rowCount, mustBeGreaterOrEqualTo: 3, severity: stop}\n"
              "    properties:\n      - {name: customer_id")  # fmt: skip
    desk.upload("1997-01-01", "1,1997-01-01,1,2\n2,1997-01-01,0,3\n3,1997-01-01,1,3\n4,1997-01-01,1,3\n")
    desk.load()
    done = desk.release(f"{NAME}:3", waive=("quantity: below 1",), by=BO)
    assert done.rows == 1
    assert len(done.waived) == 2, "the record says that the rule on batches was waived, too"
    desk.load()
    assert desk.customers() == ["1", "2", "3", "4"]


# --- discarding -------------------------------------------------------------------------------------------------------


def test_discarded_rows_are_done_with(held: Desk) -> None:
    done = held.discard(reason="quantity: below 1", comment="test orders")
    assert (done.rows, done.files, done.batch) == (2, (), 0)
    assert held.lines() == [3, 5]
    assert held.lines(Selection(status=ItemStatus.DISCARDED)) == [4, 6]
    assert held.release(f"{NAME}:4", waive=("all",), by=BO).batch == 0
    assert held.discard(f"{NAME}:4").rows == 0, "doing it again does nothing"
    held.load()
    assert held.versions() == 1
    with held.state.snapshot() as tx:
        [record] = tx.newest(Discard)
        [decision] = [item for _, item in decisions(tx) if item.action is Action.DISCARD]
    assert (record.comment, record.by, decision.evidence) == ("test orders", ANA_ID, {"discard": digest_of(record)})


def test_who_may_not_discard(held: Desk) -> None:
    with pytest.raises(IdentityError):
        held.discard(NAME, by=EVE)
    with pytest.raises(IdentityError):
        held.discard_batch(1, by=EVE)


@pytest.fixture(scope="module")
def stopped_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A desk with one version, whose second batch is stopped by its contract, with a third file behind it."""
    folder = tmp_path_factory.mktemp("stopped") / "shop"
    desk = Desk.open(folder, share=0.5)
    desk.upload("1997-01-01", "1,1997-01-01,1,2.5\n")
    desk.load()
    desk.upload("1997-01-02", "2,1997-01-02,0,1\n3,1997-01-02,0,1\n4,1997-01-02,1,1\n")
    with pytest.raises(ContractError, match="stops the load"):
        desk.load()
    desk.upload("1997-01-03", "5,1997-01-03,1,1\n")
    desk.state.close()
    return folder


@pytest.fixture
def stopped(stopped_folder: Path, tmp_path: Path) -> Iterator[Desk]:
    desk = reopened(stopped_folder, tmp_path / "shop", share=0.5)
    yield desk
    desk.state.close()


def test_a_stopped_batch_waits_and_is_told(stopped: Desk) -> None:
    found = stopped.stopped()
    assert found is not None
    assert (found.batch, found.stops, found.files) == (2, 1, ("raw/orders/dt=1997-01-02/orders.csv",))
    assert "2 of 3 rows" in found.reasons[0]
    with pytest.raises(ContractError):
        stopped.load()
    again = stopped.stopped()
    assert again is not None
    assert again.stops == 2
    assert stopped.customers() == ["1"]


def test_a_discarded_batch_is_passed_over_and_the_next_one_comes(stopped: Desk) -> None:
    with stopped.state.snapshot() as tx:
        assert is_stopped("orders", 2, tx)
    done = stopped.discard_batch(2, comment="the shop sent tests")
    assert (done.batch, done.files) == (2, ("raw/orders/dt=1997-01-02/orders.csv",))
    assert stopped.stopped() is None
    stopped.load()
    assert stopped.customers() == ["1", "5"]
    assert stopped.versions() == 2
    assert stopped.files(EVERYTHING) == [], "nothing of it is in quarantine: it was never loaded"
    with stopped.state.snapshot() as tx:
        [decision] = [item for _, item in decisions(tx) if item.action is Action.DISCARD]
        assert is_stopped("orders", 2, tx), "doing it again says so"
    assert [move.name for move in decision.moves] == ["loaded/orders"]
    assert stopped.discard_batch(2) == Discarded("orders", 0, (), 2)


@pytest.mark.parametrize("number", [1, 3, 99], ids=["loaded", "not pulled", "unknown"])
def test_only_the_stopped_batch_can_be_passed_over(stopped: Desk, number: int) -> None:
    with pytest.raises(MissingRecordError, match="is not stopped") as refused:
        stopped.discard_batch(number)
    assert refused.value.expected == "batch 2"


def test_a_batch_that_waits_for_its_check_is_not_stopped(desk: Desk) -> None:
    desk.upload("1997-01-01", BAD)
    desk.pull()
    with pytest.raises(MissingRecordError, match="is not stopped"):
        desk.discard_batch(1)


def test_a_mended_contract_loads_the_stopped_batch_after_all(stopped: Desk) -> None:
    stopped.mend("minimum: 1", "minimum: 0")
    stopped.load()
    assert stopped.customers() == ["1", "2", "3", "4", "5"]
    assert stopped.stopped() is None


# --- passing over -----------------------------------------------------------------------------------------------------


def test_a_batch_without_rows_is_passed_over_once(desk: Desk) -> None:
    desk.upload("1997-01-01", "1,never,1,1\n")
    batch = desk.pull()
    assert batch is not None
    checked = desk.check(batch)
    for _ in range(2):
        pass_over(batch, checked=checked, state=desk.state, now=NOW, actor=ANA_ID)
    assert desk.versions() == 0
    assert desk.pull() is None
    with desk.state.snapshot() as tx:
        told = [item for _, item in decisions(tx) if item.moves]
    assert [(item.action, item.evidence["checked"]) for item in told] == [(Action.INGEST, digest_of(checked))]
    assert desk.lines() == [2]


def test_only_the_next_batch_can_be_passed_over(held: Desk) -> None:
    with held.state.snapshot() as tx:
        first = tx.newest(Batch)[0]
    with pytest.raises(ConflictError, match="not the next one"):
        pass_over(replace(first, number=5), state=held.state, now=NOW, actor=ANA_ID)


# --- several at once, and deaths --------------------------------------------------------------------------------------


class Racing:
    """A state store in which somebody else is faster: acts just before the next transaction opens."""

    def __init__(self, inner: Any, act: Any) -> None:
        self._inner = inner
        self._act = act

    def transaction(self) -> Any:
        act, self._act = self._act, None
        if act is not None:
            act()
        return self._inner.transaction()

    def snapshot(self) -> Any:
        return self._inner.snapshot()


@pytest.mark.parametrize("mine", ["release", "discard"])
@pytest.mark.parametrize("theirs", ["release", "discard"])
def test_of_two_who_settle_the_same_row_one_wins(held: Desk, mine: str, theirs: str) -> None:
    held.mend("minimum: 1", "minimum: 0")
    slow = held.through(state=Racing(held.state, lambda: getattr(held, theirs)(f"{NAME}:4")))
    with pytest.raises(ConflictError):
        getattr(slow, mine)(f"{NAME}:4")
    held.load()
    assert held.customers() == (["1", "3"] if theirs == "release" else ["1"])
    assert len([action for action in held.actions() if action in (Action.RELEASE, Action.DISCARD)]) == 1


def test_a_release_that_a_pull_overtakes_is_told_to_try_again(held: Desk) -> None:
    held.mend("minimum: 1", "minimum: 0")

    def pull() -> None:
        held.upload("1997-01-02", "9,1997-01-02,1,1\n")
        held.pull()

    slow = held.through(state=Racing(held.state, pull))
    with pytest.raises(ConflictError, match="came meanwhile"):
        slow.release(f"{NAME}:4")
    assert held.release(f"{NAME}:4").batch == 3
    held.load()
    assert held.customers() == ["1", "3", "9"]


def settle(root: Path, crash: CrashPoint) -> None:
    """Release and discard, in a world that may end at any write."""
    desk = Desk.open(root)
    desk = desk.through(state=CrashingState(desk.state, crash), artifacts=CrashingArtifacts(desk.artifacts, crash))
    desk.release(reason="quantity: below 1", waive=("all",), by=BO)
    desk.discard(f"{NAME}:5")
    desk.state.close()


def outcome(root: Path) -> dict[str, Any]:
    """Load what is left to load and return how everything ended."""
    desk = Desk.open(root)
    desk.load()
    try:
        return {
            "customers": desk.customers(),
            "versions": desk.versions(),
            "statuses": [(row.row, row.status) for row in desk.rows(EVERYTHING)],
            "actions": desk.actions(),
        }
    finally:
        desk.state.close()


def sweep(folder: Path) -> list[str]:
    """Die at each instant in turn and run again; return what went wrong. Runs in a process of its own."""
    base = Desk.open(folder / "base")
    base.upload("1997-01-01", BAD)
    base.load()
    base.state.close()
    whole = CrashPoint()
    settle(shutil.copytree(folder / "base", folder / "whole"), whole)
    expected = outcome(folder / "whole")
    wrong = [] if whole.count > 7 else [f"only {whole.count} instants"]
    for at in swept(whole.count):
        root = shutil.copytree(folder / "base", folder / f"at-{at}")
        child = os.fork()
        if child == 0:
            settle(root, CrashPoint(at))
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != EXIT_CODE:
            wrong.append(f"{at}: did not die")
        settle(root, CrashPoint())
        if (found := outcome(root)) != expected:
            wrong.append(f"{at}: ended elsewhere: {found}")
    return wrong


@pytest.mark.crash
def test_dying_at_any_write_settles_everything_once_in_the_end(tmp_path: Path) -> None:
    code = f"import sys, json; sys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom pathlib import Path\n"
    code += "import test_quarantine as t\nprint(json.dumps(t.sweep(Path(sys.argv[1]))))"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from(["release", "discard", "load"]), st.integers(3, 7)), max_size=8))
def test_whatever_is_settled_in_whatever_order_each_row_ends_in_one_place(
    steps: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    desk = Desk.open(tmp_path_factory.mktemp("steps"))
    desk.upload("1997-01-01", "1,1997-01-01,1,2\n" + "".join(f"{n},1997-01-01,0,2\n" for n in range(3, 8)))
    desk.load()
    fate: dict[int, str] = {}
    for verb, line in steps:
        if verb == "load":
            desk.load()
            continue
        more = {"waive": ("all",), "by": BO} if verb == "release" else {}
        done = getattr(desk, verb)(f"{NAME}:{line}", **more)
        assert bool(done.rows) is (line not in fate)
        fate.setdefault(line, verb)
    desk.load()
    released = sorted(line for line, verb in fate.items() if verb == "release")
    assert desk.customers() == sorted(["1", *map(str, released)])
    assert desk.lines(Selection(status=ItemStatus.RELEASED)) == released
    assert desk.lines(Selection(status=ItemStatus.DISCARDED)) == sorted(set(fate) - set(released))
    assert desk.lines() == sorted(set(range(3, 8)) - set(fate))
    desk.state.close()


def test_the_ledger_holds_after_all_of_it(stopped: Desk, tmp_path: Path) -> None:
    from keelway.ledger import SigningKey

    stopped.discard_batch(2)
    stopped.upload("1997-01-03", "6,1997-01-03,0,1\n7,1997-01-03,1,1\n", name="more.csv")
    stopped.load()
    stopped.release(waive=("all",), by=BO)
    stopped.load()
    key = SigningKey.generate("test")
    report = audit(stopped.state, key=key.public, checkpoints=None, artifacts=stopped.artifacts)
    assert report.problems == ()


def test_a_picked_file_says_where_its_bytes_are(desk: Desk) -> None:
    desk.upload("1997-01-01", WITHOUT_AMOUNT)
    desk.load()
    desk.mend("value: [dollar_value]", "value: [dollar_value, price]")
    desk.release(NAME)
    with desk.state.snapshot() as tx:
        [record] = tx.newest(Release)
    [file] = record.files
    assert file == PickedFile(1, NAME, file.digest)
    assert desk.artifacts.get(file.digest) == WITHOUT_AMOUNT
