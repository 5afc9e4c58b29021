"""Files arrive over days, good and bad, and people settle what was kept out: all by the command line."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from keelway.surfaces.cli.main import main

HEAD = "order_id,customer_id,order_date,amount"
BO = ("--as", "user:approver")
RELEASE = ("--as", "sp:release", "--token", "file:.keelway/secrets/sp-release.token")
CONTRACT, PROJECT = "contracts/orders.odcs.yaml", "src/shop/project.py"


def file_name(day: int) -> str:
    return f"raw/orders/dt=2026-03-{day:02d}/orders.csv"


def rows_of(day: int) -> list[str]:
    """Return the orders of a day: eight good ones, one with a negative amount, one without a date."""
    good = [f"o{day:02d}{n},c{n % 4},2026-03-{day:02d},{n}.5" for n in range(8)]
    return [*good, f"o{day:02d}8,c1,2026-03-{day:02d},-1", f"o{day:02d}9,c1,never,1"]


@dataclass
class Shop:
    """A project that orders arrive at, and somebody at its command line."""

    desk: Any

    @property
    def root(self) -> Path:
        root: Path = self.desk.root
        return root

    def on(self, day: int, hour: int = 4) -> Any:
        """Return the command line on a day of March, at an hour."""
        return self.desk.at(datetime(2026, 3, day, hour, tzinfo=UTC).isoformat())

    def upload(self, day: int, rows: list[str] | None = None, *, name: str = "", hour: int = 3) -> str:
        """Upload the file of a day on the morning after."""
        place = name or file_name(day)
        path = self.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([HEAD, *(rows_of(day) if rows is None else rows)]) + "\n")
        moment = (datetime(2026, 3, day, hour, tzinfo=UTC) + timedelta(days=1)).timestamp()
        os.utime(path, (moment, moment))
        return place

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of the newest version, by order."""
        shown = self.desk("snapshots", "show", "orders")
        table = next(path for path in (self.root / ".keelway" / "tables").rglob("*") if path.name == "orders")
        rows = [row for name, _, _ in shown["files"] for row in pq.read_table(table / name).to_pylist()]
        assert len(rows) == shown["snapshot"]["rows"]
        return sorted(rows, key=lambda row: row["order_id"])

    def orders(self) -> list[str]:
        return [row["order_id"] for row in self.rows()]

    def edit(self, *words: str) -> None:
        self.desk.edit(*words)


@pytest.fixture(scope="module")
def empty_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("init") / "shop"
    assert CliRunner().invoke(main, ["init", str(root)]).exit_code == 0
    contract = root / CONTRACT
    contract.write_text(contract.read_text().replace("value: 0.2", "value: 0.9"))
    return root


@pytest.fixture
def shop(empty_shop: Path, tmp_path: Path, desk_at: Callable[[Path], Any]) -> Shop:
    shutil.copytree(empty_shop, tmp_path / "shop")
    return Shop(desk_at(tmp_path / "shop"))


# --- days -------------------------------------------------------------------------------------------------------------


def test_files_that_arrive_over_days_are_told_in_exact_figures(shop: Shop) -> None:
    shop.upload(1)
    [first] = shop.on(2)("ingest")
    assert {name: first[name] for name in ("batches", "files", "rows_in", "rows_ok", "rows_quarantined", "rows")} == {
        "batches": 1, "files": 1, "rows_in": 10, "rows_ok": 8, "rows_quarantined": 2, "rows": 8
    }  # fmt: skip
    assert first["reasons"] == {"amount: below 0": 1, "order_date: not a date": 1}
    assert (first["repairs"], first["warnings"], first["alerts"], first["waits"]) == ({}, {}, [], {})
    assert first["rows_per_s"] == pytest.approx(first["rows_in"] / first["seconds"])
    fresh = first["freshness"]
    assert (fresh["newest_event"], fresh["newest_file"]) == ("2026-03-01T00:00:00Z", "2026-03-02T03:00:00Z")
    assert (fresh["event_age_s"], fresh["file_age_s"], fresh["stale"]) == (28 * 3600, 3600, False)

    shop.upload(2)
    shop.upload(3)
    shop.upload(3, rows_of(2), name="raw/orders/dt=2026-03-03/again.csv", hour=4)
    [second] = shop.on(4, hour=5)("ingest")
    assert (second["files"], second["skipped"], second["rows_in"], second["rows"]) == (2, 1, 20, 24)
    assert second["told"][0] == f"raw/orders/dt=2026-03-03/again.csv: skipped, duplicate of {file_name(2)}"
    assert len(shop.orders()) == 24
    [third] = shop.on(4, hour=6)("ingest")
    assert (third["batches"], third["snapshot_number"], third["rows"]) == (0, 2, 24)


@pytest.mark.parametrize("seed", range(2))
def test_the_order_of_arrival_changes_nothing_but_the_batches(shop: Shop, seed: int) -> None:
    days = random.Random(seed).sample(range(1, 5), 4)
    for number, day in enumerate(days):
        shop.upload(day)
        if number % 2 == seed:
            shop.on(10, hour=number)("ingest")
    shop.on(10, hour=9)("ingest")
    rows = shop.rows()
    assert [row["order_id"] for row in rows] == [f"o{day:02d}{n}" for day in range(1, 5) for n in range(8)]
    assert all(row["_known_at"].day == int(row["order_id"][1:3]) + 1 for row in rows)
    assert shop.on(10)("quarantine", "orders")["total_rows"] == 8


def test_people_are_told_the_same_in_words(shop: Shop) -> None:
    shop.upload(1)
    told = shop.on(2).call("ingest", json_wanted=False).stdout
    assert "orders: 1 files, 10 rows in, 0 repaired, 2 quarantined, 0 files skipped, 0 late -> snapshot 1" in told
    assert "  quarantined: 1 x amount: below 0" in told
    assert "  youngest row 2026-03-01T00:00:00Z (28.0 h ago), youngest file 2026-03-02T03:00:00Z" in told
    again = shop.on(2).call("ingest", json_wanted=False).stdout
    assert again == "orders: nothing new; snapshot 1 stands\n"


# --- quarantine -------------------------------------------------------------------------------------------------------


def test_released_rows_enter_a_new_version(shop: Shop) -> None:
    shop.upload(1)
    shop.on(2)("ingest")
    listed = shop.on(2)("quarantine", "orders", "--reason", "amount: below 0")
    assert [(line["batch"], line["name"], line["rows"]) for line in listed["files"]] == [(1, file_name(1), {"open": 1})]
    [row] = shop.on(2)("quarantine", "show", "orders", "--reason", "amount: below 0")["rows"]
    assert (row["row"], row["raw"], row["reasons"]) == (10, "o018,c1,2026-03-01,-1", ["amount: below 0"])

    words = ("quarantine", "release", "orders", f"{file_name(1)}:10", "--comment", "a refund, agreed")
    refused = shop.on(3).refused(*words)
    assert (refused["error"], refused["found"]) == ("ContractError", "1 x amount: below 0")
    assert shop.on(3).refused(*words, "--waive", "amount: below 0")["error"] == "IdentityError"
    done = shop.on(3)(*words, "--waive", "amount: below 0", *BO)
    assert (done["batch"], done["rows"], done["waived"]) == (2, 1, ["amount: below 0"])
    [report] = shop.on(4)("ingest")
    assert (report["files"], report["rows_in"], report["rows_released"], report["snapshot_number"]) == (0, 1, 1, 2)
    [back] = [row for row in shop.rows() if row["order_id"] == "o018"]
    assert (back["amount"], back["_known_at"]) == (-1.0, datetime(2026, 3, 3, 4, tzinfo=UTC))
    assert shop.on(4)(*words, "--waive", "amount: below 0", *BO)["batch"] == 0
    assert shop.on(4)("ingest")[0]["rows"] == 9
    statuses = shop.on(4)("quarantine", "orders", "--status", "any")["files"][0]["rows"]
    assert statuses == {"open": 1, "released": 1}
    told = [line["decision"] for line in shop.desk("audit")["decisions"] if line["decision"]["action"] == "release"]
    refusal, release = told
    assert (refusal["allowed"], refusal["subject"], refusal["moves"]) == (False, "orders", [])
    assert "user:root may not do this" in refusal["reasons"][0]
    assert (release["allowed"], release["principal"]) == (True, "user:approver")
    assert release["comment"].endswith("a refund, agreed")


def test_a_mended_contract_lets_rows_in_without_a_waiver(shop: Shop) -> None:
    shop.upload(1)
    shop.on(2)("ingest")
    shop.edit(CONTRACT, "minimum: 0", "minimum: -5")
    done = shop.on(3)("quarantine", "release", "orders", "--all", "--comment", "refunds count")
    assert (done["rows"], done["kept_back"]) == (1, {"order_date: not a date": 1})
    shop.on(3)("ingest")
    assert "o018" in shop.orders()


def test_discarded_rows_are_done_with(shop: Shop) -> None:
    shop.upload(1)
    shop.on(2)("ingest")
    done = shop.on(2)("quarantine", "discard", "orders", "--all", "--comment", "test orders")
    assert (done["rows"], done["batch"]) == (2, 0)
    assert shop.on(2)("quarantine", "orders")["files"] == []
    assert shop.on(2)("quarantine", "show", "orders", "--status", "discarded")["total_rows"] == 2
    told = shop.on(2).call("quarantine", "orders", json_wanted=False).stdout
    assert told == "nothing yet\n0 rows in 0 files\n"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        pytest.param(("release", "orders", "--comment", "x"), "UsageError", id="nothing is named"),
        pytest.param(("discard", "orders", "a.csv", "--all", "--comment", "x"), "UsageError", id="all and something"),
        pytest.param(("release", "orders", "--all"), "UsageError", id="no comment"),
        pytest.param(("release", "orders", "a.csv", "--comment", "x"), "MissingRecordError", id="an unknown file"),
        pytest.param(("list", "nowhere"), "ProjectError", id="an unknown dataset"),
    ],
)
def test_wrong_use_of_the_quarantine_changes_nothing(shop: Shop, words: tuple[str, ...], error: str) -> None:
    shop.upload(1)
    shop.on(2)("ingest")
    before = shop.desk.standing()
    assert shop.on(2).refused("quarantine", *words)["error"] == error
    assert shop.desk.standing() == before


def test_somebody_who_may_not_discard_changes_nothing_but_the_ledger(shop: Shop) -> None:
    shop.upload(1)
    shop.on(2)("ingest")
    before, listed = shop.desk.standing(), shop.on(2)("quarantine", "orders", "--status", "any")
    size = shop.desk.ledger_size()
    words = ("quarantine", "discard", "orders", "--all", "--comment", "x", *RELEASE)
    assert shop.on(2).refused(*words)["error"] == "IdentityError"
    after = shop.desk.standing()
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"records", "sqlite_sequence", "log_leaves", "log_nodes"}
    assert set(before["records"]) < set(after["records"])
    assert shop.on(2)("quarantine", "orders", "--status", "any") == listed
    assert shop.desk.ledger_size() == size + 1
    refusal = shop.desk("audit")["decisions"][-1]["decision"]
    assert (refusal["action"], refusal["subject"], refusal["principal"]) == ("discard", "orders", "sp:release")
    assert (refusal["allowed"], refusal["moves"]) == (False, [])


def test_a_stopped_batch_can_be_passed_over(shop: Shop) -> None:
    shop.edit(CONTRACT, "value: 0.9", "value: 0.2")
    shop.upload(1)
    shop.on(2)("ingest")
    shop.upload(2, ["x1,c1,never,1", "x2,c1,2026-03-02,1"])
    for hour in (4, 5):
        assert shop.on(3, hour=hour).refused("ingest")["error"] == "ContractError"
    stopped = shop.on(3)("quarantine", "orders")["stopped"]
    assert (stopped["batch"], stopped["stops"], stopped["files"]) == (2, 2, [file_name(2)])
    [alert] = shop.on(3)("ingest", "--alerts")
    assert (alert["kind"], alert["about"]) == ("stopped again", "batch 2")
    told = shop.on(3).call("quarantine", "orders", json_wanted=False).stdout
    assert "keelway quarantine discard orders --batch 2" in told
    done = shop.on(3)("quarantine", "discard", "orders", "--batch", "2", "--comment", "tests")
    assert (done["batch"], done["files"]) == (2, [file_name(2)])
    assert shop.on(3)("quarantine", "discard", "orders", "--batch", "2", "--comment", "tests")["files"] == []
    shop.upload(3)
    [report] = shop.on(4)("ingest")
    assert (report["snapshot_number"], report["rows"]) == (2, 16)
    assert not [order for order in shop.orders() if order.startswith("x")]


def test_other_content_under_a_known_name_is_told_kept_and_can_be_released(shop: Shop) -> None:
    shop.upload(1)
    shop.on(2)("ingest")
    shop.upload(1, ["late,c1,2026-03-01,1"], hour=6)
    [report] = shop.on(2, hour=7)("ingest")
    assert (report["files"], report["skipped"], report["snapshot_number"]) == (0, 1, 1)
    assert [(alert["kind"], alert["about"]) for alert in report["alerts"]] == [("content changed", "batch 2")]
    listed = shop.on(2)("quarantine", "orders", file_name(1), "--reason", "content changed")["files"]
    assert [(line["batch"], line["why"], line["status"]) for line in listed] == [(2, ["content changed"], "open")]
    shop.on(2)("quarantine", "release", "orders", "--batch", "2", "--comment", "the shop corrected it")
    shop.on(2)("ingest")
    assert "late" in shop.orders()


# --- looking ahead ----------------------------------------------------------------------------------------------------


def test_a_dry_run_says_what_would_happen_and_records_nothing(shop: Shop) -> None:
    shop.upload(1)
    shop.on(2)("ingest")
    shop.upload(2)
    shop.upload(3, rows_of(1), name="raw/orders/dt=2026-03-03/copy.csv")
    (shop.root / "raw/orders/dt=2026-03-03/empty.csv").touch()
    before, artifacts = shop.desk.standing(), sorted((shop.root / ".keelway" / "artifacts").rglob("*"))
    [found] = shop.on(5)("ingest", "--dry-run")
    assert (found["batch"], found["files"], found["later"], found["stops"]) == (2, [file_name(2)], 0, [])
    assert found["skipped"] == [
        f"raw/orders/dt=2026-03-03/copy.csv: duplicate of {file_name(1)}",
        "raw/orders/dt=2026-03-03/empty.csv: zero bytes",
    ]
    assert (found["rows_in"], found["rows_ok"], found["rows_quarantined"]) == (10, 8, 2)
    assert found["reasons"] == {"amount: below 0": 1, "order_date: not a date": 1}
    assert shop.desk.standing() == before
    assert sorted((shop.root / ".keelway" / "artifacts").rglob("*")) == artifacts
    told = shop.on(5).call("ingest", "--dry-run", json_wanted=False).stdout
    assert "batch 2 would take 1 files, 10 rows in, 8 fit the contract, 2 would be quarantined" in told
    [report] = shop.on(5)("ingest")
    assert (report["rows_in"], report["rows_ok"]) == (10, 8), "and so it happens"
    assert shop.on(5)("ingest", "--dry-run")[0]["batch"] == 0


def test_a_dry_run_says_that_the_contract_would_stop_the_batch(shop: Shop) -> None:
    shop.edit(CONTRACT, "value: 0.9", "value: 0.1")
    shop.upload(1)
    [found] = shop.on(2)("ingest", "--dry-run")
    assert found["stops"] == ["2 of 10 rows (20.0%) would be quarantined, at most 10.0% may be"]
    assert shop.on(2).refused("ingest")["error"] == "ContractError"


def test_a_backfill_takes_the_files_of_its_days(shop: Shop) -> None:
    for day in range(1, 6):
        shop.upload(day)
    [report] = shop.on(10)("ingest", "--backfill", "2026-03-02..2026-03-03")
    assert (report["files"], report["rows"]) == (2, 16)
    [rest] = shop.on(10)("ingest", "--backfill", "..2026-03-04")
    assert (rest["files"], rest["rows"]) == (2, 32)
    [last] = shop.on(10)("ingest")
    assert last["rows"] == 40


@pytest.mark.parametrize(
    "words",
    [
        ("--backfill", "yesterday"),
        ("--backfill", ".."),
        ("--backfill", "2026-03-01..soon"),
        ("--every", "5m"),
        ("--watch", "--dry-run"),
        ("--watch", "--backfill", "2026-03-01.."),
        ("--watch", "--every", "0s"),
        ("--alerts", "--dry-run"),
    ],
    ids=" ".join,
)
def test_options_that_make_no_sense_are_told(shop: Shop, words: tuple[str, ...]) -> None:
    assert shop.on(2).refused("ingest", *words)["error"] == "UsageError"


def test_files_that_wait_are_told(shop: Shop) -> None:
    shop.edit(PROJECT, 'keys=("order_id",),', 'keys=("order_id",), settle_s=7200,')
    shop.upload(1)
    [report] = shop.on(2)("ingest")
    assert (report["snapshot_number"], report["waits"]) == (0, {"too young": 1})
    assert report["waiting"] == [
        {"modified_at": "2026-03-02T03:00:00Z", "name": file_name(1), "reason": "too young"}
    ]  # fmt: skip
    assert "waiting: 1 files, too young" in shop.on(2).call("ingest", json_wanted=False).stdout
    assert shop.on(2, hour=6)("ingest")[0]["rows"] == 8


# --- alerts -----------------------------------------------------------------------------------------------------------


def test_a_missing_file_and_an_odd_volume_raise_alerts_once(shop: Shop) -> None:
    shop.edit(PROJECT, 'keys=("order_id",),', 'keys=("order_id",), schedule="0 3 * * *",')
    good = {day: [f"o{day:02d}{n},c1,2026-03-{day:02d},1" for n in range(200 + day)] for day in range(1, 15)}
    for day in range(1, 13):
        shop.upload(day, good[day])
        if day in (1, 9, 12):
            assert shop.on(day + 1)("ingest")[0]["alerts"] == []
    [late] = shop.on(14, hour=5)("ingest")
    assert [(alert["kind"], alert["about"]) for alert in late["alerts"]] == [("missing", "2026-03-14T03:00:00Z")]
    assert late["freshness"]["overdue_since"] == "2026-03-14T03:00:00Z"
    assert shop.on(14, hour=6)("ingest")[0]["alerts"] == []
    shop.upload(14, good[14][:1])
    [odd] = shop.on(15)("ingest")
    [alert] = odd["alerts"]
    assert (alert["kind"], alert["about"]) == ("volume", "2026-03-15T03:00:00Z")
    assert alert["reasons"][0].startswith("1 rows came for 2026-03-15T03:00:00Z; usual are 20")
    assert [volume["verdict"] for volume in odd["volumes"]] == ["low"]
    listed = shop.on(15)("ingest", "orders", "--alerts")
    assert [line["kind"] for line in listed] == ["volume", "missing"]
    assert "usual are 20" in shop.on(15).call("ingest", "--alerts", json_wanted=False).stdout


def test_rows_older_than_the_contract_promises_raise_an_alert(shop: Shop) -> None:
    shop.edit(CONTRACT, "schema:", "slaProperties:\n  - {property: latency, value: 2, unit: d}\nschema:")
    shop.upload(1)
    [report] = shop.on(2)("ingest")
    assert (report["alerts"], report["freshness"]["max_age_s"]) == ([], 2 * 86_400)
    [stale] = shop.on(4)("ingest")
    assert [alert["kind"] for alert in stale["alerts"]] == ["stale"]
    assert stale["freshness"]["stale"]


# --- watching ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_watch_goes_on_until_it_is_told_to_stop(shop: Shop, number: int) -> None:
    shop.upload(1)
    words = shop.on(9).command("ingest", "--watch", "--every", "1s")
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    assert (first["dataset"], first["error"], first["report"]["rows"]) == ("orders", "", 8)
    shop.upload(2)
    turn = first
    while turn["report"]["rows"] < 16:
        turn = json.loads(process.stdout.readline())
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert shop.on(9)("ingest")[0]["batches"] == 0


def test_two_watches_never_load_a_file_twice(shop: Shop) -> None:
    words = shop.on(9).command("ingest", "--watch", "--every", "1s")
    shop.upload(1)
    watches = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for day in (2, 3):
        for process in watches:
            assert process.stdout is not None
            json.loads(process.stdout.readline())
        shop.upload(day)
    for process in watches:
        assert process.stdout is not None
        while (json.loads(process.stdout.readline())["report"] or {"rows": 0})["rows"] < 24:
            pass
        process.send_signal(signal.SIGTERM)
        assert (process.communicate(timeout=60)[1], process.returncode) == ("", 0)
    assert shop.orders() == [f"o{day:02d}{n}" for day in (1, 2, 3) for n in range(8)]


def test_a_watch_outlives_a_store_that_is_away(shop: Shop) -> None:
    shop.upload(1)
    (shop.root / "raw").rename(shop.root / "away")
    shop.edit("keelway.toml", 'objects = "."', 'objects = "store"')
    process = subprocess.Popen(
        shop.on(9).command("ingest", "--watch", "--every", "1s"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    turn = json.loads(process.stdout.readline())
    assert (turn["report"], turn["error"].partition(":")[0]) == (None, "SourceError")
    assert turn["fix"]
    process.send_signal(signal.SIGTERM)
    assert (process.communicate(timeout=60)[1], process.returncode) == ("", 0)
