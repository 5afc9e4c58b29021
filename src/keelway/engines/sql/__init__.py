"""The state database on SQLite or PostgreSQL, through SQLAlchemy."""

from keelway.engines.sql.state import SqlState

__all__ = ["SqlState"]
