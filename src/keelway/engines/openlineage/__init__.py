"""The engine that hands lineage events to a catalogue: Marquez, DataHub and others that take OpenLineage over HTTP."""

from keelway.engines.openlineage.http import HttpLineage

__all__ = ["HttpLineage"]
