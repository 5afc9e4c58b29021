"""Pulls new files from an object store, exactly once."""

from keelway.ingest.batch import Batch, RawFile, SeenContent, SeenFile, SkippedFile, SkipReason
from keelway.ingest.ports import ObjectInfo, ObjectSource
from keelway.ingest.pull import loaded_pointer, pending, pull

__all__ = [
    "Batch",
    "ObjectInfo",
    "ObjectSource",
    "RawFile",
    "SeenContent",
    "SeenFile",
    "SkipReason",
    "SkippedFile",
    "loaded_pointer",
    "pending",
    "pull",
]
