"""One migration at a time in a process: Alembic keeps what it is doing in its module, for all threads."""

from __future__ import annotations

import threading

migration_turn = threading.RLock()
"""Held while tables are made or changed by Alembic, ours or those of a library that uses it as well."""
