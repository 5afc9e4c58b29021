"""DuckDB in memory as every slice wants it: in UTC, and with nothing printed beside the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

DUCKDB_SESSION = "SET TimeZone = 'UTC'; SET enable_progress_bar = false"
"""What each connection is told first; DuckDB 2.0 draws a bar on standard output after two seconds."""


def memory_duckdb(**config: Any) -> duckdb.DuckDBPyConnection:
    """Return a database in memory; the caller closes it.

    Args:
        config: DuckDB's settings, such as `memory_limit="1GB"` or `threads=2`.

    >>> with memory_duckdb(threads=1) as connection:
    ...     connection.execute("SELECT current_setting('TimeZone'), current_setting('enable_progress_bar')").fetchall()
    [('UTC', False)]
    """
    import duckdb

    connection = duckdb.connect(config=config)
    connection.execute(DUCKDB_SESSION)
    return connection
