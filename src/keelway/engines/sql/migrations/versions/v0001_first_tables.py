"""The first tables: records, pointers, and the leaves and nodes of the log."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    _records()
    op.create_table(
        "pointers",
        sa.Column("name", sa.String(400), primary_key=True),
        sa.Column("target", sa.String(71), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("moved_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "log_leaves",
        sa.Column("index", _SEQUENCE, primary_key=True, autoincrement=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
    )
    op.create_index("log_leaves_digest", "log_leaves", ["digest"])
    op.create_table(
        "log_nodes",
        sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("index", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Remove the tables."""
    for table in ("log_nodes", "log_leaves", "pointers", "records"):
        op.drop_table(table)


def _records() -> None:
    op.create_table(
        "records",
        sa.Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(100), nullable=False),
        sa.Column("key", sa.String(400), nullable=False),
        sa.Column("parent", sa.String(400), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.UniqueConstraint("kind", "key", name="records_kind_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("records_digest", "records", ["digest"])
    op.create_index("records_listing", "records", ["kind", "parent", "at", "seq"])
    op.create_index("records_newest", "records", ["kind", "at", "seq"])
