"""The tables of the state database.

Times are whole microseconds since 1970 (UTC), so that they sort the same on every database. A record's body is its
canonical JSON, so its digest can be checked on every read.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

HEAD = "0001"
"""The newest migration; a database that holds it is opened without loading Alembic."""

metadata = MetaData()

_SEQUENCE = BigInteger().with_variant(Integer(), "sqlite")

records = Table(
    "records",
    metadata,
    Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("kind", String(100), nullable=False),
    Column("key", String(400), nullable=False),
    Column("parent", String(400), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("digest", String(71), nullable=False),
    Column("body", Text, nullable=False),
    UniqueConstraint("kind", "key", name="records_kind_key"),
    Index("records_digest", "digest"),
    Index("records_listing", "kind", "parent", "at", "seq"),
    Index("records_newest", "kind", "at", "seq"),
    sqlite_autoincrement=True,
)

pointers = Table(
    "pointers",
    metadata,
    Column("name", String(400), primary_key=True),
    Column("target", String(71), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("moved_at", BigInteger, nullable=False),
)

log_leaves = Table(
    "log_leaves",
    metadata,
    Column("index", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
    Column("digest", String(71), nullable=False),
    Index("log_leaves_digest", "digest"),
)

log_nodes = Table(
    "log_nodes",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
