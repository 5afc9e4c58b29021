"""Dataset tables as Delta Lake tables, in a folder of this machine or on an object store."""

from keelway.engines.delta.tables import DeltaTables

__all__ = ["DeltaTables"]
