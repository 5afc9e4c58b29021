"""The declarations of the benchmark's project, for what the command line asks of it."""

from __future__ import annotations

from _scoring import MODEL, declared

from keelway.project import Project

project = Project(MODEL, models=(declared(),))
