"""What was proven of each building block on which engine, as the table of docs/features.md.

    python -m keelway.testing.blocks_proven    # the table

Tests hold both ends: what stands here as run is run and compared by value, and the page has this table.
"""

from __future__ import annotations

from keelway.features import blocks
from keelway.testing.blocks_rows import AS_OF, as_arrow
from keelway.testing.blocks_suite import BLOCK_CASES, BlockCase

NOT_EMULATED: dict[str, str] = {}
"""Name of a case whose Snowflake SQL the emulator (fakesnow) does not run, to the reason; none with version 0.12."""
GIVEN = "given"
"""The table that the SQL of a case reads."""


def snowflake_sql(case: BlockCase) -> str:
    """Return the SQL of a case over the table `GIVEN`, as it is written for Snowflake."""
    import ibis
    from ibis.backends.sql.compilers import SnowflakeCompiler

    compiler = SnowflakeCompiler()
    given = ibis.table(ibis.memtable(as_arrow([])).schema(), name=GIVEN)
    asked = case.asked(given, ibis.literal(AS_OF, type="timestamp('UTC')"))
    return str(compiler.to_sqlglot(asked).sql(dialect=compiler.dialect))


def is_emulated(block: str) -> bool:
    """Say whether every case of a block is run on the emulator of Snowflake."""
    return all(case.name not in NOT_EMULATED for case in BLOCK_CASES if block in case.blocks)


def proofs_table() -> str:
    """Return what was proven of each block as a table in Markdown."""
    lines = ["| block | DuckDB | Spark | Snowflake | Databricks |", "|---|---|---|---|---|"]
    for name in blocks.__all__:
        snowflake = "emulator" if is_emulated(name) else "compiled only"
        lines.append(f"| {name} | run | run | {snowflake} | compiled only |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(proofs_table())
