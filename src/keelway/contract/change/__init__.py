"""How two versions of a contract differ, and what that means for what uses the data."""

from keelway.contract.change.accept import ContractAcceptance, accept_change, change_text
from keelway.contract.change.between import changes_between
from keelway.contract.change.kinds import LEVELS, ChangeKind, ChangeLevel, ContractChange, ContractDiff

__all__ = [
    "LEVELS",
    "ChangeKind",
    "ChangeLevel",
    "ContractAcceptance",
    "ContractChange",
    "ContractDiff",
    "accept_change",
    "change_text",
    "changes_between",
]
