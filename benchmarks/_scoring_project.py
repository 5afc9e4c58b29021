"""The declarations of the benchmarks' project, for what the command line asks of it."""

from __future__ import annotations

import os

from _scoring import MODEL, declared

from keelway.project import Project

project = Project(MODEL, models=(declared(os.environ.get("KEELWAY_BENCH_KIND", "logistic")),))
