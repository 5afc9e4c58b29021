"""Tracking: runs that tell of themselves while they go on, kept in a journal, indexed, and mirrored to a tracker."""

from keelway.train.tracking.active import ActiveRun, current_run, parent_run
from keelway.train.tracking.autolog import Autolog, autolog_off
from keelway.train.tracking.described import typical_row
from keelway.train.tracking.machine import machine, requirements
from keelway.train.tracking.mirror import MIRRORED_KINDS, mirror_one, mirror_waiting, show_training
from keelway.train.tracking.ports import RunJournal, RunJournals
from keelway.train.tracking.projection import run_change, training_id
from keelway.train.tracking.record import Machine, MetricPoint, RunOpening, TrackedKind, TrackedRun
from keelway.train.tracking.settle import entry_from, points_of, running_run, settle, settle_leftovers
from keelway.train.tracking.where import parse_where, text_of

__all__ = [
    "MIRRORED_KINDS",
    "ActiveRun",
    "Autolog",
    "Machine",
    "MetricPoint",
    "RunJournal",
    "RunJournals",
    "RunOpening",
    "TrackedKind",
    "TrackedRun",
    "autolog_off",
    "current_run",
    "entry_from",
    "machine",
    "mirror_one",
    "mirror_waiting",
    "parent_run",
    "parse_where",
    "points_of",
    "requirements",
    "run_change",
    "running_run",
    "settle",
    "settle_leftovers",
    "show_training",
    "text_of",
    "training_id",
    "typical_row",
]
