"""The append-only ledger of decisions, and what proves it: checkpoints, statements, audits and bundles."""

from typing import TYPE_CHECKING

from keelway.core import open_door

if TYPE_CHECKING:
    from keelway.ledger.audit import AuditReport, audit
    from keelway.ledger.bundle import LARGEST_STATEMENT_BYTES, prove
    from keelway.ledger.checkpoint import Checkpoint, sign_checkpoint, verify_checkpoint, verify_extension
    from keelway.ledger.findings import Finding, Harm
    from keelway.ledger.keys import PublicKey, SigningKey, write_atomically
    from keelway.ledger.merkle import MemoryTree, RunningRoot, leaf_hash, root_of
    from keelway.ledger.ports import CheckpointTarget, Log, LogNode, StateStore, Transaction
    from keelway.ledger.promises import PublishedNote, published
    from keelway.ledger.publish import (
        Publication,
        newest_note,
        note_name,
        publish_checkpoint,
        published_leaves,
        published_notes,
    )
    from keelway.ledger.record import LedgerEntry, decision_in, decisions, entry_of, record_decision
    from keelway.ledger.rotation import KeyRotation, must_be_current, retired_keys, rotate
    from keelway.ledger.statement import open_statement, provenance, sign_statement, statement
    from keelway.ledger.verify import Verification, verify_bundle
    from keelway.ledger.witness import Quorum, Witnessed, extension_request, read_request, witness

__all__ = [
    "LARGEST_STATEMENT_BYTES",
    "AuditReport",
    "Checkpoint",
    "CheckpointTarget",
    "Finding",
    "Harm",
    "KeyRotation",
    "LedgerEntry",
    "Log",
    "LogNode",
    "MemoryTree",
    "PublicKey",
    "Publication",
    "PublishedNote",
    "Quorum",
    "RunningRoot",
    "SigningKey",
    "StateStore",
    "Transaction",
    "Verification",
    "Witnessed",
    "audit",
    "decision_in",
    "decisions",
    "entry_of",
    "extension_request",
    "leaf_hash",
    "must_be_current",
    "newest_note",
    "note_name",
    "open_statement",
    "prove",
    "provenance",
    "publish_checkpoint",
    "published",
    "published_leaves",
    "published_notes",
    "read_request",
    "record_decision",
    "retired_keys",
    "root_of",
    "rotate",
    "sign_checkpoint",
    "sign_statement",
    "statement",
    "verify_bundle",
    "verify_checkpoint",
    "verify_extension",
    "witness",
    "write_atomically",
]

open_door(__name__)
