"""Data contracts: check each row, repair what the contract allows, quarantine the rest with every reason."""

from keelway.contract.check import check, quarantined_rows
from keelway.contract.checked import CheckedBatch, CheckedFile, QuarantinedRow
from keelway.contract.contract import Column, Contract, PiiClass, Rule, RuleKind, Severity, UnknownColumns
from keelway.contract.load import load_contract
from keelway.contract.ports import NOTHING, Against, Checker, Findings, Tokenizer

__all__ = [
    "NOTHING",
    "Against",
    "CheckedBatch",
    "CheckedFile",
    "Checker",
    "Column",
    "Contract",
    "Findings",
    "PiiClass",
    "QuarantinedRow",
    "Rule",
    "RuleKind",
    "Severity",
    "Tokenizer",
    "UnknownColumns",
    "check",
    "load_contract",
    "quarantined_rows",
]
