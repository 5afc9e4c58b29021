"""Bringing in: batch by batch, exactly once, compared with what stands, in whatever order files come."""

from __future__ import annotations

import functools
import importlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keelway.contract import CheckedBatch, Column, Selection, quarantined
from keelway.core import Action, Digest, digest_file, digest_of
from keelway.engines.delta import DeltaTables
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.local.checker import DuckDbChecker
from keelway.errors import ContractError, IntegrityError, SourceError
from keelway.flow import Context, Loaded, bring_in, bring_in_batches, comparison, terms_of
from keelway.ingest import Batch, ObjectInfo, Pulled, WaitReason, pull
from keelway.ledger import decisions
from keelway.privacy import PersonalData
from keelway.project import Dataset
from keelway.snapshot import Snapshot, newest, read
from keelway.testing.flow import step_context
from keelway.testing.objects import MemoryObjects

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
ORDERS = Dataset("orders", contract="orders.yaml", source="raw/orders/**/*.csv", event_time="at")
CUSTOMERS = Dataset("customers", contract="customers.yaml", source="raw/customers/**/*.csv", event_time="since")
ORDERS_HEAD, CUSTOMERS_HEAD = "id,customer,at,amount\n", "customer,since\n"
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: NAME
version: 1.0.0
status: active
schema:
  - name: NAME
    properties:
"""
COLUMNS = {
    "orders": """\
      - {name: id, logicalType: string, required: true}
      - {name: customer, logicalType: string, required: true}
      - {name: at, logicalType: date, required: true}
      - {name: amount, logicalType: number, required: true, logicalTypeOptions: {minimum: 0}}
""",
    "customers": """\
      - {name: customer, logicalType: string, required: true}
      - {name: since, logicalType: date, required: true}
""",
}
UNIQUE = (
    "{name: id, logicalType: string, required: true}",
    "{name: id, logicalType: string, required: true, unique: true}",
)
REFERS = (
    "{name: customer, logicalType: string, required: true}",
    "{name: customer, logicalType: string, required: true, relationships: [{to: customers.customer}]}",
)
PERSONAL = (
    "{name: customer, logicalType: string, required: true}",
    "{name: customer, logicalType: string, required: true, customProperties: [{property: pii, value: subject}]}",
)


@dataclass
class Ticking:
    """A clock on the wall that moves on by two seconds each time it is looked at."""

    moment: datetime = NOON

    def now(self) -> datetime:
        self.moment += timedelta(seconds=2)
        return self.moment


@dataclass
class Dock:
    """Two datasets at the place where their files arrive, with all the real engines behind it."""

    root: Path
    context: Context
    source: MemoryObjects
    said: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, root: Path) -> Dock:
        source, said = MemoryObjects(), []
        context = step_context(
            root, artifacts=LocalArtifacts(root / "artifacts"), tables=DeltaTables.below(root / "tables"),
            checker=DuckDbChecker(threads=1), source=source,
        )  # fmt: skip
        dock = cls(root, replace(context, now=NOON, progress=said.append, wall=Ticking()), source, said)
        dock.write("orders")
        dock.write("customers")
        return dock

    def write(self, name: str, *changes: tuple[str, str]) -> None:
        """Write a contract, with words in it changed."""
        text = COLUMNS[name]
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (self.root / f"{name}.yaml").write_text(CONTRACT.replace("NAME", name) + text)

    def upload(self, name: str, *rows: str, head: str = ORDERS_HEAD, age: timedelta = timedelta(hours=1)) -> None:
        text = head + "".join(f"{row}\n" for row in rows)
        self.source.upload(f"raw/{name}", text.encode(), self.context.now - age)

    def bring_in(self, dataset: Dataset = ORDERS, **more: Any) -> list[Loaded]:
        loaded: list[Loaded] = []
        bring_in_batches(dataset, self.context, told=loaded.append, **more)
        return loaded

    def version(self, dataset: str = "orders") -> Snapshot | None:
        with self.context.state.snapshot() as tx:
            return newest(dataset, tx)

    def rows(self, dataset: str = "orders") -> list[dict[str, Any]]:
        found = self.version(dataset)
        if found is None:
            return []
        paths = read(found, tables=self.context.tables, artifacts=self.context.artifacts)
        return [row for path in paths for row in pq.read_table(path).to_pylist()]

    def ids(self) -> list[str]:
        return sorted(row["id"] for row in self.rows())

    def reasons(self) -> list[tuple[str, ...]]:
        with self.context.state.snapshot() as tx:
            found = quarantined("orders", Selection(), tx=tx, artifacts=self.context.artifacts, limit=100)
        return [row.reasons for row in found]


@pytest.fixture
def dock(tmp_path: Path) -> Iterator[Dock]:
    made = Dock.open(tmp_path)
    yield made
    made.context.state.close()


# --- batch by batch ---------------------------------------------------------------------------------------------------


def test_what_is_new_becomes_a_version_and_nothing_new_changes_nothing(dock: Dock) -> None:
    dock.upload("orders/a.csv", "1,ana,2026-03-01,5", "2,bo,2026-03-01,6")
    first = bring_in(ORDERS, dock.context)
    assert (first.number, first.rows) == (1, 2)
    assert bring_in(ORDERS, dock.context) == first
    dock.upload("orders/b.csv", "3,ana,2026-03-02,7")
    assert bring_in(ORDERS, dock.context).rows == 3


def test_no_data_at_all_is_told(dock: Dock) -> None:
    with pytest.raises(SourceError, match="no data of orders") as told:
        bring_in(ORDERS, dock.context)
    assert "keelway quarantine list orders" in told.value.fix
    assert dock.bring_in() == []


def test_each_batch_is_told_with_what_became_of_it(dock: Dock) -> None:
    dock.upload("orders/a.csv", "1,ana,2026-03-01,5", "2,bo,never,6")
    [loaded] = dock.bring_in()
    assert loaded.checked is not None
    assert loaded.snapshot is not None
    assert (loaded.batch.number, loaded.checked.rows_ok, loaded.snapshot.rows, loaded.seconds) == (1, 1, 1, 2.0)
    assert dock.said == [
        "orders: batch 1 pulled, 1 files, 0.0 MB",
        "orders: batch 1 is in, 2 rows, 1 quarantined, 2.0 s (1 rows/s)",
    ]


def test_only_files_of_a_span_are_brought_in(dock: Dock) -> None:
    for day in (1, 2, 3, 4):
        dock.upload(f"orders/dt=2026-03-0{day}/a.csv", f"{day},ana,2026-03-0{day},5")
    dock.bring_in(since=date(2026, 3, 2), until=date(2026, 3, 3))
    assert dock.ids() == ["2", "3"]
    dock.bring_in()
    assert dock.ids() == ["1", "2", "3", "4"]


def test_what_waits_is_told_by_the_last_pull(dock: Dock) -> None:
    dock.upload("orders/a.csv", "1,ana,2026-03-01,5")
    dock.upload("orders/b.csv", "2,ana,2026-03-01,5", age=timedelta(seconds=10))
    last = bring_in_batches(replace(ORDERS, settle_s=60), dock.context)
    assert isinstance(last, Pulled)
    assert [(file.name, file.reason) for file in last.waiting] == [("raw/orders/b.csv", WaitReason.SETTLING)]
    assert dock.ids() == ["1"]


def test_it_can_be_told_to_leave_the_rest_for_later(dock: Dock) -> None:
    dock.upload("orders/a.csv", "1,ana,2026-03-01,5")
    bring_in_batches(ORDERS, dock.context, enough=lambda: True)
    assert dock.ids() == ["1"]
    assert dock.said[-1].startswith("orders: batch 1 is in")


def test_a_batch_that_comes_back_is_no_endless_loop(dock: Dock, monkeypatch: pytest.MonkeyPatch) -> None:
    dock.upload("orders/a.csv", "1,ana,2026-03-01,5")
    dock.bring_in()
    with dock.context.state.snapshot() as tx:
        [batch] = tx.newest(Batch)
    monkeypatch.setattr("keelway.ingest.pull", lambda *_, **__: Pulled(batch, unfinished=True))
    with pytest.raises(IntegrityError, match="comes back"):
        dock.bring_in()


@pytest.fixture
def two_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a batch hold two files at most."""
    monkeypatch.setattr("keelway.ingest.pull", functools.partial(pull, max_files=2))


@dataclass
class Listed:
    """A source that counts how often it is listed."""

    inner: MemoryObjects
    globs: list[str] = field(default_factory=list)

    def list(self, glob: str) -> Iterator[ObjectInfo]:
        self.globs.append(glob)
        return self.inner.list(glob)

    def fetch(self, info: ObjectInfo, target: Path) -> Digest:
        return self.inner.fetch(info, target)


@pytest.mark.usefixtures("two_at_once")
def test_a_run_of_several_batches_lists_the_source_once(dock: Dock) -> None:
    source = Listed(dock.source)
    dock.context = replace(dock.context, source=source)
    for number in range(1, 6):
        dock.upload(f"orders/{number}.csv", f"{number},ana,2026-03-01,5", age=timedelta(hours=10 - number))
    assert [len(loaded.batch.files) for loaded in dock.bring_in()] == [2, 2, 1]
    assert source.globs == [ORDERS.source]
    assert dock.bring_in() == []
    assert len(source.globs) == 2, "the next run looks anew"


@pytest.mark.usefixtures("two_at_once")
def test_a_batch_whose_files_all_change_does_not_end_the_run(dock: Dock) -> None:
    for number in range(1, 5):
        dock.upload(f"orders/{number}.csv", f"{number},ana,2026-03-01,5", age=timedelta(hours=10 - number))
    for name in ("raw/orders/1.csv", "raw/orders/2.csv"):
        dock.source.meddling[name] = lambda name=name: dock.source.objects.pop(name)
    last = bring_in_batches(ORDERS, dock.context)
    assert dock.ids() == ["3", "4"]
    assert last.waits == {WaitReason.CHANGED: 2}


@pytest.mark.usefixtures("two_at_once")
def test_a_run_of_several_batches_checks_each_earlier_file_once(dock: Dock, monkeypatch: pytest.MonkeyPatch) -> None:
    dock.write("orders", UNIQUE)
    dock.upload("orders/0.csv", "0,ana,2026-03-01,5")
    dock.bring_in()
    for number in range(1, 9):
        dock.upload(f"orders/{number}.csv", f"{number},ana,2026-03-01,5", age=timedelta(minutes=50 - number))
    hashed: list[str] = []

    def noted(path: Path) -> Digest:
        hashed.append(path.name)
        return digest_file(path)

    monkeypatch.setattr(importlib.import_module("keelway.snapshot.read"), "digest_file", noted)
    assert len(dock.bring_in()) == 4
    assert len(hashed) == len(set(hashed)) == 4, "the version before, and each new one but the last"
    assert dock.ids() == [f"{number}" for number in range(9)]


@pytest.mark.usefixtures("two_at_once")
def test_an_earlier_file_that_is_altered_between_two_batches_stops_the_run(dock: Dock) -> None:
    dock.write("orders", UNIQUE)
    for number in range(1, 7):
        dock.upload(f"orders/{number}.csv", f"{number},ana,2026-03-01,5", age=timedelta(minutes=50 - number))
    loaded: list[Loaded] = []

    def told(one: Loaded) -> None:
        loaded.append(one)
        if len(loaded) == 2:
            found = dock.version()
            assert found is not None
            path = read(found, tables=dock.context.tables, artifacts=dock.context.artifacts)[0]
            path.chmod(0o644)
            path.write_bytes(path.read_bytes()[::-1])

    with pytest.raises(IntegrityError, match="was altered"):
        bring_in_batches(ORDERS, dock.context, told=told)
    assert len(loaded) == 2


# --- batches that bring no rows ---------------------------------------------------------------------------------------


def test_files_that_are_only_left_out_make_no_version(dock: Dock) -> None:
    dock.upload("orders/a.csv", "1,ana,2026-03-01,5")
    dock.bring_in()
    dock.upload("orders/copy.csv", "1,ana,2026-03-01,5")
    dock.source.upload("raw/orders/empty.csv", b"", NOON - timedelta(hours=1))
    [loaded] = dock.bring_in()
    assert (loaded.checked, loaded.snapshot, len(loaded.batch.skipped)) == (None, None, 2)
    found = dock.version()
    assert found is not None
    assert found.number == 1
    assert dock.bring_in() == [], "it is done with"
    assert "2 files left out" in dock.said[-1]


def test_rows_that_are_all_quarantined_make_no_version(dock: Dock) -> None:
    dock.upload("orders/a.csv", "1,ana,2026-03-01,5")
    dock.bring_in()
    dock.upload("orders/b.csv", "2,ana,2026-03-01,-5", "3,ana,never,5")
    [loaded] = dock.bring_in()
    assert loaded.checked is not None
    assert (loaded.checked.rows_quarantined, loaded.snapshot) == (2, None)
    assert dock.ids() == ["1"]
    assert len(dock.reasons()) == 2
    dock.upload("orders/c.csv", "4,ana,2026-03-01,5")
    [third] = dock.bring_in()
    assert third.snapshot is not None
    assert third.snapshot.number == 2
    with dock.context.state.snapshot() as tx:
        moved = [item.action for _, item in decisions(tx) if any(move.name == "loaded/orders" for move in item.moves)]
    assert moved == [Action.SNAPSHOT, Action.INGEST, Action.SNAPSHOT]


def test_a_first_batch_without_good_rows_is_no_data(dock: Dock) -> None:
    dock.upload("orders/a.csv", "1,ana,2026-03-01,-5")
    with pytest.raises(SourceError, match="no data of orders"):
        bring_in(ORDERS, dock.context)
    assert dock.reasons() == [("amount: below 0",)]


def test_a_file_that_says_nothing_happened_moves_what_is_known_on(dock: Dock) -> None:
    dock.upload("orders/a.csv", "1,ana,2026-03-01,5", age=timedelta(hours=5))
    first = bring_in(ORDERS, dock.context)
    dock.upload("orders/b.csv", age=timedelta(hours=1))
    second = bring_in(ORDERS, dock.context)
    assert (second.number, second.rows, second.rows_added) == (2, 1, 0)
    assert (first.watermark, second.watermark) == (NOON - timedelta(hours=5), NOON - timedelta(hours=1))


# --- contracts --------------------------------------------------------------------------------------------------------


def test_a_contract_that_does_not_parse_pulls_nothing(dock: Dock) -> None:
    (dock.root / "orders.yaml").write_text("schema: [")
    dock.upload("orders/a.csv", "1,ana,2026-03-01,5")
    with pytest.raises(ContractError):
        dock.bring_in()
    with dock.context.state.snapshot() as tx:
        assert tx.newest(Batch) == []


def test_what_was_loaded_before_a_stop_stays(dock: Dock) -> None:
    stop = "    customProperties: [{property: stopAtQuarantinedShare, value: 0.5}]\n    properties:"
    path = dock.root / "orders.yaml"
    path.write_text(path.read_text().replace("    properties:", stop, 1))
    dock.upload("orders/a.csv", "1,ana,2026-03-01,5")
    dock.bring_in()
    dock.upload("orders/b.csv", "2,ana,never,5")
    loaded: list[Loaded] = []
    with pytest.raises(ContractError, match="stops the load"):
        bring_in_batches(ORDERS, dock.context, told=loaded.append)
    assert loaded == []
    assert dock.ids() == ["1"]


def test_a_key_must_not_come_again_in_a_later_batch(dock: Dock) -> None:
    dock.write("orders", UNIQUE)
    dock.upload("orders/a.csv", "1,ana,2026-03-01,5", "2,bo,2026-03-01,5")
    first = bring_in(ORDERS, dock.context)
    dock.upload("orders/b.csv", "2,bo,2026-03-01,5", "3,bo,2026-03-01,5")
    bring_in(ORDERS, dock.context)
    assert dock.ids() == ["1", "2", "3"]
    assert [reason for reasons in dock.reasons() for reason in reasons] == ["id: repeats an earlier row"]
    with dock.context.state.snapshot() as tx:
        second, one = tx.newest(CheckedBatch, parent="orders")
    assert (one.compared, second.compared) == ({}, {"previous": digest_of(first)})


def test_rows_must_refer_to_what_stands_in_the_other_dataset(dock: Dock) -> None:
    dock.write("orders", REFERS)
    dock.upload("orders/a.csv", "1,ana,2026-03-01,5", "2,eve,2026-03-01,5")
    dock.upload("customers/a.csv", "ana,2026-01-01", "bo,2026-01-01", head=CUSTOMERS_HEAD)
    with pytest.raises(ContractError, match="without a version") as told:
        dock.bring_in()
    assert told.value.fix == "Bring it in first: keelway ingest customers"
    customers = bring_in(CUSTOMERS, dock.context)
    dock.bring_in()
    assert dock.ids() == ["1"]
    assert len(dock.reasons()) == 1
    with dock.context.state.snapshot() as tx:
        [checked] = tx.newest(CheckedBatch, parent="orders")
    assert checked.compared == {"customers": digest_of(customers)}


def test_a_contract_that_compares_nothing_reads_nothing(dock: Dock) -> None:
    dock.upload("orders/a.csv", "1,ana,2026-03-01,5")
    dock.bring_in()
    against, digests = comparison(terms_of(ORDERS, dock.context).contract, dock.context)
    assert (against.previous, against.references, digests) == ((), {}, {})


# --- personal data ----------------------------------------------------------------------------------------------------


class Nicknames:
    """Gives everybody a name that does not say who they are."""

    def tokens(self, values: list[str], column: Column) -> list[str]:
        return [f"tok_{len(value)}_{column.name}" for value in values]


def test_columns_that_name_a_person_need_keys(dock: Dock) -> None:
    dock.write("orders", PERSONAL)
    dock.upload("orders/a.csv", "1,ana,2026-03-01,5")
    with pytest.raises(ContractError, match="name a person") as told:
        dock.bring_in()
    assert told.value.found == "customer"


def test_a_person_is_a_token_in_the_version_and_the_raw_file_lies_elsewhere(dock: Dock, tmp_path: Path) -> None:
    dock.write("orders", PERSONAL)
    dock.upload("orders/a.csv", "1,ana,2026-03-01,5")
    sealed = Sealed(tmp_path / "sealed")
    personal = PersonalData(tokens=Nicknames(), artifacts=sealed)
    dock.context = replace(dock.context, personal=lambda: personal, artifacts=sealed)
    [loaded] = dock.bring_in()
    assert [row["customer"] for row in dock.rows()] == ["tok_3_customer"]
    assert loaded.batch.files[0].digest in sealed
    assert sealed.released == 1, "plain copies go when the last batch is in"


class Sealed(LocalArtifacts):
    """Stands for a store that seals, and counts how often its plain copies are let go."""

    released = 0

    def release(self) -> None:
        self.released += 1


# --- the order of arrival ---------------------------------------------------------------------------------------------


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(5)), pulls=st.sets(st.integers(0, 4)), seed=st.integers(0, 3))
def test_the_content_does_not_depend_on_the_order_of_arrival(
    order: list[int], pulls: set[int], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = random.Random(seed)
    files = {
        number: [f"{number}-{line},ana,2026-03-0{number + 1},{rng.choice(['5', '-1', 'x'])}" for line in range(4)]
        for number in range(5)
    }
    dock = Dock.open(tmp_path_factory.mktemp("order"))
    for place, number in enumerate(order):
        dock.upload(f"orders/dt=2026-03-0{number + 1}/a.csv", *files[number], age=timedelta(days=5 - number))
        if place in pulls:
            dock.bring_in()
    dock.bring_in()
    good = sorted(row.split(",")[0] for rows in files.values() for row in rows if row.endswith(",5"))
    assert dock.ids() == good
    assert len(dock.reasons()) == 20 - len(good)
    by_id = {row["id"]: row for row in dock.rows()}
    assert all(row["_known_at"] == NOON - timedelta(days=5 - int(key.split("-")[0])) for key, row in by_id.items())
    dock.context.state.close()
