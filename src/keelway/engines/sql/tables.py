"""The tables of the state database.

Times are whole microseconds since 1970 (UTC), so that they sort the same on every database. A record's body is its
canonical JSON, so its digest can be checked on every read. Texts are compared by their bytes on either database, so
that the same question has the same answer in the same order.
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
from sqlalchemy.types import TypeEngine

HEAD = "0003"
"""The newest migration; a database that holds it is opened without loading Alembic."""

metadata = MetaData()

_SEQUENCE = BigInteger().with_variant(Integer(), "sqlite")
_KEY = String(400).with_variant(Text(collation="C"), "postgresql")  # SQLite takes a length for a remark
MAX_KEY_BYTES = 2000
"""The longest key; an entry of a PostgreSQL index holds no more than some 2,700 bytes."""


def _word(length: int) -> TypeEngine[str]:
    return String(length).with_variant(String(length, collation="C"), "postgresql")


records = Table(
    "records",
    metadata,
    Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("kind", _word(100), nullable=False),
    Column("key", _KEY, nullable=False),
    Column("parent", _KEY, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("digest", _word(71), nullable=False),
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
    Column("name", _KEY, primary_key=True),
    Column("target", _word(71), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("moved_at", BigInteger, nullable=False),
)

log_leaves = Table(
    "log_leaves",
    metadata,
    Column("index", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
    Column("digest", _word(71), nullable=False),
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
    Column("run_id", _word(64), nullable=False, unique=True),
    Column("kind", _word(20), nullable=False),
    Column("name", _word(400), nullable=False),
    Column("model", _word(100), nullable=False),
    Column("estimator", _word(200), nullable=False),
    Column("status", _word(20), nullable=False),
    Column("principal", _word(200), nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("commit", _word(64), nullable=False),
    Column("dirty", Boolean, nullable=False),
    Column("parent", _word(64), nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("seconds", Double),
    Column("record", _word(71), nullable=False),
    Column("mirror", _word(200), nullable=False),
    Index("runs_newest", "started_at", "seq"),
    Index("runs_record", "record"),
    Index("runs_unmirrored", "mirror", "seq"),
)

run_metrics = Table(
    "run_metrics",
    metadata,
    Column("run", _SEQUENCE, ForeignKey("runs.seq"), primary_key=True, autoincrement=False),
    Column("name", _word(250), primary_key=True),
    Column("value", Double),  # null where the figure is no finite number; `told` says which
    Column("told", _word(10), nullable=False),
    Index("run_metrics_best", "name", "value", "run"),
    sqlite_with_rowid=False,
)

run_parameters = Table(
    "run_parameters",
    metadata,
    Column("run", _SEQUENCE, ForeignKey("runs.seq"), primary_key=True, autoincrement=False),
    Column("name", _word(250), primary_key=True),
    Column("text", Text().with_variant(Text(collation="C"), "postgresql"), nullable=False),
    Column("number", Double),
    Index("run_parameters_numbers", "name", "number", "run"),
    sqlite_with_rowid=False,
)
