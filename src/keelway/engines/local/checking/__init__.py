"""Reading files of any kind and judging their rows, in DuckDB."""
