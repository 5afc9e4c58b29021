"""What is no column's name is not told where a contract names persons."""

from __future__ import annotations

from pathlib import Path

import pytest

from keelway.contract import load_contract, told_names
from keelway.testing import people


def contract_of(folder: Path, pii: dict[str, str]):
    people.contract(folder, pii)
    return load_contract(folder / "contracts/visits.yaml", "visits")


@pytest.mark.parametrize("name", ["plan", "Unit Price", "order-id", "gr\u00f6\u00dfe", "v1.2", "_row"])
def test_a_columns_name_is_told(tmp_path: Path, name: str) -> None:
    assert told_names([name], contract_of(tmp_path, people.PII)) == (name,)


@pytest.mark.parametrize(
    "name",
    [
        "ana@example.com",
        "2026-01-01",
        "5",
        "",
        "4111111111111111",
        "ana;bo",
        "x" * 64,
        "203.0.113.9",
        "+49 170 1234567",
    ],
)
def test_what_is_no_columns_name_is_hidden(tmp_path: Path, name: str) -> None:
    assert told_names([name, "plan"], contract_of(tmp_path, people.PII)) == ("[hidden]", "plan")


def test_of_a_file_without_a_header_nothing_is_told(tmp_path: Path) -> None:
    assert told_names(["Ana", "plan"], contract_of(tmp_path, people.PII), headed=False) == ("[hidden]", "[hidden]")


def test_without_personal_data_everything_is_told(tmp_path: Path) -> None:
    names = ("ana@example.com", "5", "")
    assert told_names(names, contract_of(tmp_path, {}), headed=False) == names


def test_a_file_without_a_header_leaves_no_trace_of_its_rows(tmp_path: Path) -> None:
    root = people.make(tmp_path / "people")
    people.upload(root, "0.csv", "bo,b@x.org,2026-01-01,1\n")
    people.upload(root, "1.csv", b"ana zapata,ana@zapata.org,2026-01-01,5\nzapata-bo,b@x.org,2026-01-02,7\n")
    people.upload(root, "2.jsonl", b'{"person":"cy","mail":"c@x.org","day":"2026-01-01","amount":1,"7 zapata":3}\n')
    with people.opened(root) as app:
        told = str(app.data.ingest())
    assert "zapata" not in told
    assert b"zapata" not in people.all_bytes(root / ".keelway")
