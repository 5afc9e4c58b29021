"""Data contracts: check each row, repair what the contract allows, quarantine the rest with every reason."""

from keelway.contract.arrival.alerts import IngestAlert, IngestAlertKind, ingest_alerts, raise_alerts
from keelway.contract.arrival.anomalies import Account, Arrival, take_account
from keelway.contract.arrival.freshness import Freshness, freshness, freshness_alerts, stop_alerts
from keelway.contract.arrival.schedule import due_after, due_before, grace_of, nearest_due
from keelway.contract.arrival.volume import VolumeCheck
from keelway.contract.change.accept import ContractAcceptance, accept_change, change_text
from keelway.contract.change.between import changes_between
from keelway.contract.change.kinds import LEVELS, ChangeKind, ChangeLevel, ContractChange, ContractDiff
from keelway.contract.check import check, quarantined_rows
from keelway.contract.checked import CheckedBatch, CheckedFile, QuarantinedRow
from keelway.contract.contract import Column, Contract, PiiClass, Rule, RuleKind, Severity, UnknownColumns
from keelway.contract.drafting.draft import DraftedContract, draft_contract
from keelway.contract.drafting.lint import LintFinding, LintReport, datasets_in, lint_contract
from keelway.contract.drafting.page import contract_page
from keelway.contract.odcs.load import load_contract
from keelway.contract.ports import NOTHING, Against, Checker, Findings, Tokenizer
from keelway.contract.quarantine.cut_out import format_of
from keelway.contract.quarantine.discard import Discarded, discard, discard_batch, is_stopped, pass_over
from keelway.contract.quarantine.kept_out import HeldFile, HeldRow, Selection, quarantined, quarantined_files
from keelway.contract.quarantine.release import WAIVE_ALL, Released, release
from keelway.contract.quarantine.released_files import Recheck
from keelway.contract.quarantine.settle import Discard, ItemStatus, PickedFile, PickedRows, Release
from keelway.contract.quarantine.stopped import StoppedBatch, stopped_batch
from keelway.contract.rules.distribution import bins_of, psi
from keelway.contract.rules.expressions import ROW_RULES, rules_asked, violations
from keelway.contract.rules.judge import judge, within
from keelway.contract.rules.patterns import spelled
from keelway.contract.rules.queries import NUMBER, number_of
from keelway.contract.stops import reasons_to_stop
from keelway.contract.unknown_names import told_names

__all__ = [
    "LEVELS",
    "NOTHING",
    "NUMBER",
    "ROW_RULES",
    "WAIVE_ALL",
    "Account",
    "Against",
    "Arrival",
    "ChangeKind",
    "ChangeLevel",
    "CheckedBatch",
    "CheckedFile",
    "Checker",
    "Column",
    "Contract",
    "ContractAcceptance",
    "ContractChange",
    "ContractDiff",
    "Discard",
    "Discarded",
    "DraftedContract",
    "Findings",
    "Freshness",
    "HeldFile",
    "HeldRow",
    "IngestAlert",
    "IngestAlertKind",
    "ItemStatus",
    "LintFinding",
    "LintReport",
    "PickedFile",
    "PickedRows",
    "PiiClass",
    "QuarantinedRow",
    "Recheck",
    "Release",
    "Released",
    "Rule",
    "RuleKind",
    "Selection",
    "Severity",
    "StoppedBatch",
    "Tokenizer",
    "UnknownColumns",
    "VolumeCheck",
    "accept_change",
    "bins_of",
    "change_text",
    "changes_between",
    "check",
    "contract_page",
    "datasets_in",
    "discard",
    "discard_batch",
    "draft_contract",
    "due_after",
    "due_before",
    "format_of",
    "freshness",
    "freshness_alerts",
    "grace_of",
    "ingest_alerts",
    "is_stopped",
    "judge",
    "lint_contract",
    "load_contract",
    "nearest_due",
    "number_of",
    "pass_over",
    "psi",
    "quarantined",
    "quarantined_files",
    "quarantined_rows",
    "raise_alerts",
    "reasons_to_stop",
    "release",
    "rules_asked",
    "spelled",
    "stop_alerts",
    "stopped_batch",
    "take_account",
    "told_names",
    "violations",
    "within",
]
