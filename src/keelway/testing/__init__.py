"""Conformance suites: one class per port. An engine inherits it in its tests and overrides one fixture."""

from keelway.testing.artifacts import ArtifactConformance
from keelway.testing.log import LogConformance
from keelway.testing.state import StateConformance

__all__ = ["ArtifactConformance", "LogConformance", "StateConformance"]
