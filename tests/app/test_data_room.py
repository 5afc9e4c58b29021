"""Datasets are brought in, looked at and settled as one project, whatever refers to what and whoever is named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keelway.app import App
from keelway.app.rehearsal import RehearsalArtifacts, RehearsalState, RehearsalTokens
from keelway.contract import Column, ItemStatus, PiiClass, Selection
from keelway.core import ArtifactKind, SimulatedClock, digest_bytes
from keelway.engines.local.artifacts import LocalArtifacts
from keelway.engines.sql import SqlState
from keelway.errors import ContractError, IdentityError, MissingRecordError, ProjectError, SourceError
from keelway.surfaces.cli.start import equip
from keelway.template import write_project

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
CUSTOMERS = """\
apiVersion: v3.1.0
kind: DataContract
id: shop-customers
version: 1.0.0
status: draft
schema:
  - name: customers
    properties:
      - {name: customer_id, logicalType: string, required: true}
      - {name: since, logicalType: date, required: true}
"""
SECOND = """
customers = Dataset("customers", contract="contracts/customers.odcs.yaml", source="raw/customers/*.csv", event_time="since")


@feature_set(entity="customer_id", sources=[orders, customers])
def activity(orders: Any, customers: Any, as_of: Any) -> Any:"""
FIRST = """
@feature_set(entity="customer_id", sources=[orders])
def activity(orders: Any, as_of: Any) -> Any:"""
REFERS = "        relationships: [{to: customers.customer_id}]\n        classification: restricted"
PERSONAL = "        customProperties: [{property: pii, value: subject}]\n        classification: restricted"


@dataclass
class Counter:
    """A project with its files, opened anew by whoever acts."""

    root: Path
    clock: SimulatedClock
    opened: list[App]

    def app(self, actor: str = "") -> App:
        self.opened.append(App.open(self.root, clock=self.clock, actor=actor))
        return self.opened[-1]

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.root / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    def upload(self, name: str, *lines: str, age: timedelta = timedelta(hours=1)) -> None:
        path = self.root / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
        moment = (NOW - age).timestamp()
        os.utime(path, (moment, moment))

    def orders(self, *rows: str, name: str = "orders/a.csv") -> None:
        self.upload(name, "order_id,customer_id,order_date,amount", *rows)


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[Counter]:
    root = tmp_path / "shop"
    write_project(root, "shop")
    equip(root)
    made = Counter(root, SimulatedClock(NOW), [])
    made.edit("contracts/orders.odcs.yaml", "value: 0.2", "value: 0.9")
    yield made
    for app in made.opened:
        app.close()


@pytest.fixture
def two(counter: Counter) -> Counter:
    """A project in which orders refer to customers."""
    (counter.root / "contracts/customers.odcs.yaml").write_text(CUSTOMERS)
    counter.edit("src/shop/project.py", FIRST, SECOND)
    counter.edit("contracts/orders.odcs.yaml", "        classification: restricted", REFERS)
    counter.orders("o1,c1,2026-03-01,5", "o2,c9,2026-03-01,5")
    counter.upload("customers/a.csv", "customer_id,since", "c1,2026-01-01")
    return counter


# --- what refers to what ----------------------------------------------------------------------------------------------


def test_a_dataset_comes_after_those_it_refers_to(two: Counter) -> None:
    customers, orders = two.app().data.ingest()
    assert (customers.dataset, orders.dataset) == ("customers", "orders")
    assert (orders.rows, orders.rows_quarantined) == (1, 1)


def test_datasets_that_refer_to_each_other_are_told_which_comes_first(two: Counter) -> None:
    text = CUSTOMERS.replace("name: customer_id, ", "name: customer_id, relationships: [{to: orders.customer_id}], ")
    (two.root / "contracts/customers.odcs.yaml").write_text(text)
    with pytest.raises(ContractError, match="without a version") as told:
        two.app().data.ingest()
    assert told.value.fix == "Bring it in first: keelway ingest orders"


def test_a_row_can_be_released_once_what_it_refers_to_came(two: Counter) -> None:
    app = two.app()
    app.data.ingest()
    with pytest.raises(ContractError, match="quarantined again"):
        app.data.release("orders", Selection(), comment="late customer")
    two.upload("customers/b.csv", "customer_id,since", "c9,2026-03-01")
    app.data.ingest("customers")
    assert app.data.release("orders", Selection(), comment="late customer").rows == 1
    assert app.data.ingest("orders")[0].rows == 2


def test_a_check_of_files_compares_with_what_stands_and_records_nothing(two: Counter, tmp_path: Path) -> None:
    app = two.app()
    app.data.ingest()
    size = app.evidence.status().ledger_size
    file = tmp_path / "new.csv"
    file.write_text(
        "order_id,customer_id,order_date,amount\no1,c1,2026-03-02,1\no5,c1,2026-03-02,1\no6,c8,2026-03-02,1\n"
    )
    found = app.data.check("orders", [file])
    assert (found.rows_in, found.rows_ok) == (3, 1)
    assert sorted(found.compared) == ["customers", "previous"]
    assert app.evidence.status().ledger_size == size


def test_the_preview_of_every_dataset_is_in_the_order_of_the_ingest(two: Counter) -> None:
    app = two.app()
    app.data.ingest("customers")
    customers, orders = app.data.preview()
    assert (customers.batch, orders.batch, orders.rows_ok, orders.rows_quarantined) == (0, 1, 1, 1)


# --- nothing there ----------------------------------------------------------------------------------------------------


def test_no_data_is_told_and_an_unknown_dataset_too(counter: Counter) -> None:
    data = counter.app().data
    with pytest.raises(SourceError, match="no data of orders"):
        data.ingest()
    for call in (data.ingest, data.preview, data.alerts, data.check):
        with pytest.raises(ProjectError, match="nowhere"):
            call("nowhere")
    with pytest.raises(MissingRecordError, match="nothing to check"):
        data.check("orders")


def test_only_bad_rows_are_a_report_without_a_version(counter: Counter) -> None:
    counter.orders("o1,c1,never,5", "o2,c1,2026-03-01,5")
    counter.edit("contracts/orders.odcs.yaml", "minimum: 0", "minimum: 10")
    counter.edit("contracts/orders.odcs.yaml", "value: 0.9", "value: 1")
    [report] = counter.app().data.ingest()
    assert (report.batches, report.rows_quarantined, report.snapshot_number, report.rows) == (1, 2, 0, 0)
    assert report.freshness.newest_event is None


def test_an_alert_is_raised_even_when_the_store_cannot_be_read(counter: Counter) -> None:
    counter.edit("src/shop/project.py", 'keys=("order_id",),', 'keys=("order_id",), schedule="0 * * * *",')
    counter.orders("o1,c1,2026-03-01,5")
    counter.app().data.ingest()
    counter.edit("keelway.toml", 'objects = "."', 'objects = "gone"')
    counter.clock.set(NOW + timedelta(hours=3))
    data = counter.app().data
    with pytest.raises(SourceError):
        data.ingest()
    assert [alert.kind for alert in data.alerts()] == ["missing"]


# --- people -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def personal(counter: Counter) -> Counter:
    """A project in which the column of customers names a person; one row is quarantined."""
    counter.edit("contracts/orders.odcs.yaml", "        classification: restricted", PERSONAL)
    counter.orders("o1,Ana Sol,2026-03-01,5", "o2,Bo Luna,2026-03-01,-5")
    counter.app().data.ingest()
    return counter


def written(root: Path) -> bytes:
    """Return every byte that the project wrote."""
    return b"".join(path.read_bytes() for path in sorted((root / ".keelway").rglob("*")) if path.is_file())


def test_quarantined_people_are_hidden_but_for_those_who_may_and_ask(personal: Counter) -> None:
    data = personal.app().data
    [hidden] = data.quarantine("orders", Selection(), limit=5).rows
    [row] = data.quarantine("orders", Selection(), limit=5, clear=True).rows
    assert (row.raw, "Bo Luna" in hidden.raw, hidden.reasons) == ("o2,Bo Luna,2026-03-01,-5", False, row.reasons)
    release = personal.app("sp:release")
    release.workspace._token = "file:.keelway/secrets/sp-release.token"
    assert release.data.quarantine("orders", Selection(), limit=5).rows == (hidden,)
    with pytest.raises(IdentityError):
        release.data.quarantine("orders", Selection(), limit=5, clear=True)


def test_a_released_person_is_a_token_and_no_file_names_them(personal: Counter) -> None:
    app = personal.app("user:approver")
    done = app.data.release("orders", Selection(), waive=("all",), comment="a refund")
    assert done.rows == 1
    [report] = app.data.ingest()
    assert (report.rows, report.rows_released) == (2, 1)
    app.close()
    assert b"Bo Luna" not in written(personal.root)
    assert b"Ana Sol" not in written(personal.root)


def test_a_preview_makes_no_keys_for_people(personal: Counter) -> None:
    personal.orders("o3,Cy Mar,2026-03-01,5", "o4,Di Rio,2026-03-01,-5", name="orders/b.csv")
    vault = personal.root / ".keelway/keys/vault.db"
    before = vault.read_bytes()
    [found] = personal.app().data.preview()
    assert (found.rows_ok, found.rows_quarantined) == (1, 1)
    assert vault.read_bytes() == before
    assert b"Cy Mar" not in written(personal.root)


def test_settled_rows_are_listed_by_what_became_of_them(personal: Counter) -> None:
    app = personal.app()
    app.data.discard("orders", Selection(), comment="gone")
    found = app.data.quarantine("orders", Selection(status=ItemStatus.DISCARDED), limit=5)
    assert [row.status for row in found.rows] == [ItemStatus.DISCARDED]
    assert not app.data.is_stopped("orders", 1)


# --- rehearsals -------------------------------------------------------------------------------------------------------


def test_nothing_that_is_rehearsed_stays(tmp_path: Path) -> None:
    real = SqlState(f"sqlite:///{tmp_path}/state.db")
    rehearsal: Any = RehearsalState(real)
    with rehearsal.transaction() as tx:
        tx.insert("a", Column("id", "string"), at=NOW)
        assert tx.find(Column, "a") is not None
    with rehearsal.snapshot() as tx:
        assert tx.find(Column, "a") is None
    with pytest.raises(ZeroDivisionError), rehearsal.transaction():
        raise ZeroDivisionError
    rehearsal.close()
    with real.transaction() as tx:
        tx.insert("a", Column("id", "string"), at=NOW)
    real.close()


def test_rehearsed_bytes_lie_elsewhere_and_real_ones_are_found(tmp_path: Path) -> None:
    real, scratch = LocalArtifacts(tmp_path / "real"), LocalArtifacts(tmp_path / "scratch")
    old = real.put(b"old", kind=ArtifactKind.RAW_FILE)
    stores = RehearsalArtifacts(scratch, real)
    path = tmp_path / "new"
    path.write_bytes(b"new")
    new = stores.put_file(path, kind=ArtifactKind.RAW_FILE)
    newer = stores.put(b"newer", kind=ArtifactKind.RAW_FILE)
    assert (stores.get(old.digest), stores.get(newer.digest), stores.path_of(new.digest).read_bytes()) == (
        b"old", b"newer", b"new"
    )  # fmt: skip
    assert old.digest in stores
    assert new.digest in stores
    assert digest_bytes(b"none") not in stores
    assert new.digest not in real


def test_rehearsed_tokens_tell_values_apart_and_nothing_else() -> None:
    column = Column("customer", "string", pii=PiiClass.SUBJECT)
    one, other, again = RehearsalTokens().tokens(["ana", "bo", "ana"], column)
    assert one == again != other
    assert "ana" not in one


def test_a_check_of_the_whole_source_is_not_compared_with_the_version_it_made(counter: Counter) -> None:
    counter.orders("o1,c1,2026-03-01,5", "o2,c1,2026-03-01,5")
    app = counter.app()
    app.data.ingest()
    assert app.data.check("orders").rows_ok == 2


# --- a second opinion -------------------------------------------------------------------------------------------------


def test_a_second_opinion_reads_a_version_whose_earlier_files_lack_a_column(counter: Counter) -> None:
    pytest.importorskip("great_expectations", reason="the package for a second opinion is not installed")
    counter.orders("o1,c1,2026-03-01,5")
    counter.app().data.ingest()
    counter.edit(
        "contracts/orders.odcs.yaml",
        "    properties:\n",
        "    properties:\n      - {name: plan, logicalType: string, logicalTypeOptions: {maxLength: 4}}\n",
    )
    counter.edit("contracts/orders.odcs.yaml", "version: 1.0.0", "version: 1.1.0")
    counter.upload("orders/b.csv", "order_id,customer_id,order_date,amount,plan", "o2,c2,2026-03-02,6,gold")
    app = counter.app()
    app.data.ingest()
    opinion = app.contracts.second_opinion("orders")
    assert opinion.rows == 2
    assert opinion.agree
