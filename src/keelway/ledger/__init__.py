"""The append-only ledger of decisions, and what proves it: checkpoints, statements, audits and bundles."""

from keelway.ledger.audit import AuditReport, audit
from keelway.ledger.bundle import prove
from keelway.ledger.checkpoint import (
    Checkpoint,
    latest_checkpoint,
    publish_checkpoint,
    published_checkpoints,
    sign_checkpoint,
    verify_checkpoint,
    verify_extension,
)
from keelway.ledger.keys import PublicKey, SigningKey, write_atomically
from keelway.ledger.merkle import MemoryTree, RunningRoot, leaf_hash
from keelway.ledger.ports import Log, LogNode, StateStore, Transaction
from keelway.ledger.record import LedgerEntry, decisions, entry_of, record_decision
from keelway.ledger.statement import open_statement, provenance, sign_statement, statement
from keelway.ledger.verify import Verification, verify_bundle

__all__ = [
    "AuditReport",
    "Checkpoint",
    "LedgerEntry",
    "Log",
    "LogNode",
    "MemoryTree",
    "PublicKey",
    "RunningRoot",
    "SigningKey",
    "StateStore",
    "Transaction",
    "Verification",
    "audit",
    "decisions",
    "entry_of",
    "latest_checkpoint",
    "leaf_hash",
    "open_statement",
    "prove",
    "provenance",
    "publish_checkpoint",
    "published_checkpoints",
    "record_decision",
    "sign_checkpoint",
    "sign_statement",
    "statement",
    "verify_bundle",
    "verify_checkpoint",
    "verify_extension",
    "write_atomically",
]
