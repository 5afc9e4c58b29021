"""Pulls new files from an object store, exactly once."""

from typing import TYPE_CHECKING

from keelway.core import open_door

if TYPE_CHECKING:
    from keelway.ingest.batch import Batch, RawFile, SeenContent, SeenFile, SkippedFile, SkipReason
    from keelway.ingest.copy import copy_blocks, object_changed
    from keelway.ingest.glob import Glob, name_parts
    from keelway.ingest.look import MAX_FILES, Listing, Outlook, WaitingFile, WaitReason
    from keelway.ingest.partition import Partition, Span, partition_of
    from keelway.ingest.ports import ObjectInfo, ObjectSource
    from keelway.ingest.pull import Pulled, batch_key, last_batch, loaded_pointer, pending, pull

__all__ = [
    "MAX_FILES",
    "Batch",
    "Glob",
    "Listing",
    "ObjectInfo",
    "ObjectSource",
    "Outlook",
    "Partition",
    "Pulled",
    "RawFile",
    "SeenContent",
    "SeenFile",
    "SkipReason",
    "SkippedFile",
    "Span",
    "WaitReason",
    "WaitingFile",
    "batch_key",
    "copy_blocks",
    "last_batch",
    "loaded_pointer",
    "name_parts",
    "object_changed",
    "partition_of",
    "pending",
    "pull",
]

open_door(__name__)
