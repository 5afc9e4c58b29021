"""The projects that Keelway writes are ones that it can read, and the example's shop is the same every time."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from keelway.contract import load_contract
from keelway.errors import UsageError
from keelway.project import load_project
from keelway.template import copy_example, example_module, write_project


def test_the_example_is_a_project(tmp_path: Path) -> None:
    files = copy_example(tmp_path / "churn")
    project = load_project(tmp_path / "churn", module="churn.project", source="src")
    assert [model.name for model in project.models] == ["churn"]
    assert load_contract(tmp_path / "churn/contracts/transactions.odcs.yaml", "transactions").key == ("order_id",)
    assert ".gitignore" in files


def test_a_plain_project_carries_its_name_everywhere(tmp_path: Path) -> None:
    files = write_project(tmp_path / "shop", "shop")
    assert "src/shop/project.py" in files
    assert [file for file in files if "{{" in file or "{{name}}" in (tmp_path / "shop" / file).read_text("utf8")] == []
    assert load_project(tmp_path / "shop", module="shop.project", source="src").name == "shop"
    assert load_contract(tmp_path / "shop/contracts/orders.odcs.yaml", "orders").key == ("order_id",)


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("work")
    with pytest.raises(UsageError, match="something there"):
        write_project(tmp_path, "shop")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_name_that_python_cannot_import_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Python package"):
        write_project(tmp_path / "new", "my-shop")


@pytest.fixture
def shop(tmp_path: Path):
    copy_example(tmp_path / "churn")
    module = example_module(tmp_path / "churn")
    try:
        module.orders_path()
    except module.OrdersMissingError as error:
        pytest.skip(str(error))
    return module


def test_the_shop_uploads_in_two_phases_what_it_would_in_one(shop, tmp_path: Path) -> None:
    book = shop.orders_path()
    first = shop.lay_out(book, tmp_path / "two", until=date(1998, 1, 2))
    rest = shop.lay_out(book, tmp_path / "two", until=date(1998, 7, 2), since=date(1998, 1, 2))
    whole = shop.lay_out(book, tmp_path / "one", until=date(1998, 7, 2))
    split = [path.relative_to(tmp_path / "two") for path in sorted(first + rest)]
    assert split == [path.relative_to(tmp_path / "one") for path in whole]
    assert all((tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes() for name in split)


def test_laying_out_twice_touches_nothing(shop, tmp_path: Path) -> None:
    files = shop.lay_out(shop.orders_path(), tmp_path, until=date(1997, 2, 1))
    before = [path.stat().st_ino for path in files]
    assert [path.stat().st_ino for path in shop.lay_out(shop.orders_path(), tmp_path, until=date(1997, 2, 1))] == before


def test_every_declared_fault_is_in_the_files(shop, tmp_path: Path) -> None:
    shop.lay_out(shop.orders_path(), tmp_path, until=date(1998, 7, 2))
    files = {
        fault.kind: sorted(
            (tmp_path / f"raw/transactions/dt={fault.day}").iterdir(), key=lambda path: path.stat().st_mtime
        )
        for fault in shop.FAULTS
    }
    text = {kind: found[0].read_text() for kind, found in files.items()}
    assert files["duplicate"][0].read_bytes() == files["duplicate"][1].read_bytes()
    assert date.fromtimestamp(files["late"][0].stat().st_mtime) == date(1997, 3, 21)
    assert text["renamed_column"].startswith("order_id,cust_id,")
    assert "n/a" in text["unparseable_amounts"]
    assert '"' in text["unparseable_amounts"]
    assert not text["truncated"].endswith("\n")
    assert text["extra_column"].splitlines()[0].endswith(",coupon")
