"""Tools for whoever writes a contract: a draft from samples, warnings, a page to read."""

from keelway.contract.drafting.draft import DraftedContract, draft_contract
from keelway.contract.drafting.lint import LintFinding, LintReport, datasets_in, lint_contract
from keelway.contract.drafting.page import contract_page

__all__ = [
    "DraftedContract",
    "LintFinding",
    "LintReport",
    "contract_page",
    "datasets_in",
    "draft_contract",
    "lint_contract",
]
