"""A contract is read whole, or refused with the place that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from keelway.contract import load_contract
from keelway.core import digest_bytes, digest_of, plain, revive
from keelway.errors import ContractError
from keelway.testing.shop import contract_text


def load(tmp_path: Path, text: str, name: str = "orders") -> object:
    (tmp_path / "c.yaml").write_text(text)
    return load_contract(tmp_path / "c.yaml", name)


def test_a_contract_is_a_record_with_a_digest(tmp_path: Path) -> None:
    contract = load(tmp_path, contract_text())
    assert contract.source == digest_bytes(contract_text().encode())  # type: ignore[attr-defined]
    assert digest_of(revive(plain(contract), type(contract))) == digest_of(contract)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kind: DataContract", "kind: [", "line 4"),
        ("v3.1.0", "v2.2.2", "apiVersion"),
        ("kind: DataContract", "kind: Other", "kind"),
        ("version: 1.0.0\n", "", "version"),
        ("name: orders", "name: sales", "schema"),
        ("logicalType: integer", "logicalType: decimal", "quantity: logicalType"),
        ("property: aliases", "property: aliasses", "aliasses"),
        ("minimum: 1", "multipleOf: 1", "multipleOf"),
        ("value: ignore", "value: maybe", "unknownColumns"),
        ("value: 1.0", "value: 7", "stopAtQuarantinedShare"),
        ("status: active", "statuss: active", "statuss"),
        ("[dollar_value]", "[quantity]", "quantity twice"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(ContractError, match=said):
        load(tmp_path, contract_text().replace(old, new, 1))


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="no contract"):
        load_contract(tmp_path / "absent.yaml", "orders")
