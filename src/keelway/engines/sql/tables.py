"""The tables of the state database.

Times are whole microseconds since 1970 (UTC), so that they sort the same on every database. A record's body is its
canonical JSON, so its digest can be checked on every read.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

HEAD = "0002"
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

runs = Table(
    "runs",
    metadata,
    Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("run_id", String(64), nullable=False, unique=True),
    Column("kind", String(20), nullable=False),
    Column("name", String(400), nullable=False),
    Column("model", String(100), nullable=False),
    Column("estimator", String(200), nullable=False),
    Column("status", String(20), nullable=False),
    Column("principal", String(200), nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("commit", String(64), nullable=False),
    Column("dirty", Boolean, nullable=False),
    Column("parent", String(64), nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("seconds", Double),
    Column("record", String(71), nullable=False),
    Column("mirror", String(200), nullable=False),
    Index("runs_newest", "started_at", "seq"),
    Index("runs_record", "record"),
    Index("runs_unmirrored", "mirror", "seq"),
)

run_metrics = Table(
    "run_metrics",
    metadata,
    Column("run", _SEQUENCE, ForeignKey("runs.seq"), primary_key=True, autoincrement=False),
    Column("name", String(250), primary_key=True),
    Column("value", Double),  # null where the figure is no finite number; `told` says which
    Column("told", String(10), nullable=False),
    Index("run_metrics_best", "name", "value", "run"),
    sqlite_with_rowid=False,
)

run_parameters = Table(
    "run_parameters",
    metadata,
    Column("run", _SEQUENCE, ForeignKey("runs.seq"), primary_key=True, autoincrement=False),
    Column("name", String(250), primary_key=True),
    Column("text", Text, nullable=False),
    Column("number", Double),
    Index("run_parameters_numbers", "name", "number", "run"),
    sqlite_with_rowid=False,
)
