"""The state database on SQLite or PostgreSQL, through SQLAlchemy."""

from keelway.engines.sql.copy import copy_state, row_counts
from keelway.engines.sql.state import SqlState, migrate
from keelway.engines.sql.tables import HEAD

__all__ = ["HEAD", "SqlState", "copy_state", "migrate", "row_counts"]
