"""`keelway snapshots`: what a person and a machine are told of versions, and every choice on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from keelway.core import digest_of, short
from keelway.snapshot import Snapshot
from keelway.surfaces.cli.main import main
from keelway.surfaces.cli.snapshots import snapshots as group
from keelway.testing.versions import Versions

SETTINGS = """
[project]
name = "shop"
module = "shop_of_versions.project"
actor = "user:ana"
[signing]
name = "shop.keelway"
[principals."user:ana"]
roles = ["admin", "data-scientist"]
[principals."user:eve"]
roles = ["auditor"]
"""
PROJECT = """
from keelway import Cuts, Dataset, Estimator, Label, Model, Project, feature_set
from datetime import UTC, datetime

orders = Dataset("orders", contract="contracts/orders.yaml", source="raw/orders/**/*.csv", event_time="at")

@feature_set(entity="customer", sources=[orders])
def activity(orders, as_of):
    return orders

@Label.define(entity="customer", source=orders, horizon="90d")
def churned(orders, as_of):
    return orders

churn = Model("churn", features=[activity], label=churned, estimators=[Estimator("one", "x.Y")],
              cuts=Cuts(first=datetime(2026, 1, 1, tzinfo=UTC), every="month"), trivial_rule="recency")
project = Project("shop", models=[churn])
"""
NOW = "2026-02-01T00:00:00Z"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "keelway.toml").write_text(SETTINGS)
    source = tmp_path / "src/shop_of_versions"
    source.mkdir(parents=True)
    (source / "__init__.py").touch()
    (source / "project.py").write_text(PROJECT)
    return tmp_path


@pytest.fixture
def orders(root: Path) -> Versions:
    """Two versions of a row each, then a compaction; taken at midnight, one and two o'clock."""
    made = Versions.open(root / ".keelway")
    made.numbers(1)
    made.numbers(2)
    made.compact()
    return made


@pytest.fixture
def call(root: Path) -> Callable[..., Result]:
    def invoke(*words: str) -> Result:
        return CliRunner().invoke(main, ["snapshots", *words, *([] if "--help" in words else place(root))])

    return invoke


@pytest.fixture
def told(call: Callable[..., Result]) -> Callable[..., Any]:
    """Call a command and return what it tells a machine."""

    def ask(*words: str) -> Any:
        answer = call(*words, "--json")
        assert answer.exit_code == 0, answer.output
        return json.loads(answer.stdout)

    return ask


def place(root: Path) -> list[str]:
    return ["--project", str(root), "--now", NOW]


def version(orders: Versions, number: int) -> Snapshot:
    with orders.state.snapshot() as tx:
        return tx.get(Snapshot, f"orders/{number:06d}")


@pytest.mark.parametrize("words", [(), ("list",), ("orders",), ("list", "orders")], ids=str)
def test_listing_is_what_happens_by_itself(orders: Versions, told: Callable[..., Any], words: tuple[str, ...]) -> None:
    assert [(each["number"], each["rows"], each["compacted"]) for each in told(*words)] == [
        (3, 2, True),
        (2, 2, False),
        (1, 1, False),
    ]


def test_a_person_sees_a_table(orders: Versions, call: Callable[..., Result], told: Callable[..., Any]) -> None:
    told("tag", "orders", "1", "audit")
    lines = call().stdout.splitlines()
    assert lines[0].split()[:4] == ["dataset", "number", "id", "rows"]
    assert "compacted" in lines[1]
    assert lines[3].endswith("audit")
    assert short(version(orders, 1).snapshot_id) in lines[3]


def test_a_dataset_without_versions_says_so(root: Path, call: Callable[..., Result]) -> None:
    assert call("orders").stdout == "nothing yet\n"


def test_an_unknown_dataset_is_told(orders: Versions, call: Callable[..., Result]) -> None:
    for words in (("nobody",), ("show", "nobody"), ("vacuum", "nobody"), ("compact", "nobody")):
        assert call(*words).exit_code != 0


@pytest.mark.parametrize(
    ("words", "number"),
    [
        ((), 3),
        (("2",), 2),
        (("newest",), 3),
        (("2026-01-01T01:30:00Z",), 2),
        (("--at", "2026-01-01"), 1),
        (("--at", "2026-01-01T01:59:59Z"), 2),
    ],
)
def test_a_version_is_shown(orders: Versions, told: Callable[..., Any], words: tuple[str, ...], number: int) -> None:
    shown = told("show", "orders", *words)
    assert shown["snapshot"]["number"] == number
    assert shown["digest"] == digest_of(version(orders, number))
    assert shown["kept"] is True


def test_a_version_is_shown_by_its_id_and_its_tag(orders: Versions, told: Callable[..., Any]) -> None:
    told("tag", "orders", "2", "audit")
    by_id = told("show", "orders", short(version(orders, 2).snapshot_id))
    assert by_id == told("show", "orders", "audit")
    assert by_id["tags"] == ["audit"]


def test_the_first_rows_are_read(orders: Versions, told: Callable[..., Any], call: Callable[..., Result]) -> None:
    (row,) = told("show", "orders", "--head", "1")["head"]
    assert (row["amount"], row["customer"], row["_row"]) == (1.0, "c1", 0)
    assert row["_known_at"] == "2026-01-01 00:00:00+00"
    assert "c1" in call("show", "orders", "--head", "1").stdout
    assert "table version" in call("show", "orders").stdout


def test_a_version_and_a_time_are_too_much(orders: Versions, call: Callable[..., Result]) -> None:
    answer = call("show", "orders", "1", "--at", "2026-01-01")
    assert answer.exit_code == 2
    assert "not both" in answer.stderr


def test_a_version_that_is_not_there_is_told_with_the_fix(orders: Versions, call: Callable[..., Result]) -> None:
    answer = call("show", "orders", "9")
    assert answer.exit_code == 1
    assert "keelway snapshots list orders" in answer.stderr


def test_two_versions_are_compared(orders: Versions, told: Callable[..., Any], call: Callable[..., Result]) -> None:
    found = told("diff", "orders", "1", "2")
    assert (found["rows"]["added"], found["rows"]["removed"], found["rows"]["same"]) == (1, 0, 1)
    assert {each["name"] for each in found["columns"]} == {"amount", "customer"}
    assert told("diff", "orders", "1")["after"] == 3
    text = call("diff", "orders", "1").stdout
    assert "rows: 1 added, 0 removed, 0 changed, 1 the same" in text
    assert "chance reaches" in text


def test_what_changed_in_the_columns_is_told(orders: Versions, call: Callable[..., Result]) -> None:
    orders.add([{"customer": "c9", "amount": 9.0, "plan": "gold"}], plan="string")
    assert "new column plan" in call("diff", "orders", "3").stdout
    assert "column plan is gone" in call("diff", "orders", "4", "3").stdout


def test_a_tag_moves_with_the_flag(orders: Versions, told: Callable[..., Any], call: Callable[..., Result]) -> None:
    assert told("tag", "orders", "1", "audit")["number"] == 1
    refused = call("tag", "orders", "2", "audit")
    assert refused.exit_code == 1
    assert "--move" in refused.stderr
    assert told("tag", "orders", "2", "audit", "--move", "--comment", "the right one")["turn"] == 2
    assert call("tag", "orders", "2", "audit").stdout == "audit: version 2 of orders\n"


def test_a_dataset_is_compacted(orders: Versions, told: Callable[..., Any], call: Callable[..., Result]) -> None:
    assert told("compact", "orders")["number"] == 3
    orders.numbers(7)
    assert call("compact", "orders").stdout.startswith("version 5 of orders (")


def test_an_auditor_may_look_what_a_vacuum_would_do_and_no_more(orders: Versions, call: Callable[..., Result]) -> None:
    assert call("vacuum", "orders", "--dry-run", "--as", "user:eve").exit_code == 0
    assert call("vacuum", "orders", "--as", "user:eve").exit_code == 3


def test_a_vacuum_is_tried_and_done(orders: Versions, told: Callable[..., Any], call: Callable[..., Result]) -> None:
    assert told("vacuum", "orders", "--keep-days", "40")["expired"] == []
    told("tag", "orders", "1", "audit")
    dry = call("vacuum", "orders", "--dry-run").stdout
    assert "would be expired: 2" in dry
    assert "kept because something refers to them: 1" in dry
    assert told("vacuum", "orders")["expired"] == [2]
    assert [each["kept"] for each in told("list", "orders")] == [True, False, True]
    assert "expired" in call("orders").stdout
    assert "vacuumed" in call("show", "orders", "2").stdout
    refused = call("show", "orders", "2", "--head", "1")
    assert refused.exit_code == 1
    assert "no longer kept" in refused.stderr


def test_less_than_no_time_is_refused(orders: Versions, call: Callable[..., Result]) -> None:
    for days in ("-1", "nan"):
        assert call("vacuum", "orders", "--keep-days", days).exit_code == 2


@pytest.mark.parametrize("name", sorted(group.commands))
def test_every_command_explains_itself(name: str, call: Callable[..., Result]) -> None:
    answer = call(name, "--help")
    assert answer.exit_code == 0
    assert "--json" in answer.output
    made = group.commands[name]
    assert isinstance(made, click.Command)
    assert made.help


def test_the_group_explains_itself(call: Callable[..., Result]) -> None:
    answer = call("--help")
    assert answer.exit_code == 0
    assert all(name in answer.output for name in group.commands)


def test_the_clock_of_the_call_decides_what_is_old(orders: Versions, root: Path) -> None:
    early = (orders.now + timedelta(days=1)).isoformat()
    answer = CliRunner().invoke(
        main, ["snapshots", "vacuum", "orders", "--dry-run", "--json", "--project", str(root), "--now", early]
    )
    assert json.loads(answer.stdout)["expired"] == []
