"""What was kept out, and what becomes of it: released or discarded, each by a decision."""

from keelway.contract.quarantine.cut_out import format_of
from keelway.contract.quarantine.discard import Discarded, discard, discard_batch, is_stopped, pass_over
from keelway.contract.quarantine.kept_out import HeldFile, HeldRow, Selection, quarantined, quarantined_files
from keelway.contract.quarantine.release import WAIVE_ALL, Released, release
from keelway.contract.quarantine.released_files import Recheck
from keelway.contract.quarantine.settle import Discard, ItemStatus, PickedFile, PickedRows, Release
from keelway.contract.quarantine.stopped import StoppedBatch, stopped_batch

__all__ = [
    "WAIVE_ALL",
    "Discard",
    "Discarded",
    "HeldFile",
    "HeldRow",
    "ItemStatus",
    "PickedFile",
    "PickedRows",
    "Recheck",
    "Release",
    "Released",
    "Selection",
    "StoppedBatch",
    "discard",
    "discard_batch",
    "format_of",
    "is_stopped",
    "pass_over",
    "quarantined",
    "quarantined_files",
    "release",
    "stopped_batch",
]
