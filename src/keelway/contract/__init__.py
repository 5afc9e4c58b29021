"""Data contracts: check each row, repair what the contract allows, quarantine the rest with every reason."""

from keelway.contract.check import check, quarantined_rows
from keelway.contract.checked import CheckedBatch, CheckedFile, QuarantinedRow
from keelway.contract.contract import Column, Contract, UnknownColumns
from keelway.contract.load import load_contract
from keelway.contract.ports import Checker, Findings

__all__ = [
    "CheckedBatch",
    "CheckedFile",
    "Checker",
    "Column",
    "Contract",
    "Findings",
    "QuarantinedRow",
    "UnknownColumns",
    "check",
    "load_contract",
    "quarantined_rows",
]
