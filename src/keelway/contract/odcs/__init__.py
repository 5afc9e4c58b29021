"""Reads a contract from Open Data Contract Standard (ODCS) YAML."""

from keelway.contract.odcs.load import load_contract

__all__ = [
    "load_contract",
]
