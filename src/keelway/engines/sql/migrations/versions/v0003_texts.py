"""Texts on PostgreSQL as on SQLite: keys of any length, and compared by their bytes whatever the server's language.

SQLite does both already: it takes a column's length for a remark, and compares bytes. Nothing changes there.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_KEYS = (("records", "key"), ("records", "parent"), ("pointers", "name"))
_WORDS = (
    ("records", "kind", 100),
    ("records", "digest", 71),
    ("pointers", "target", 71),
    ("log_leaves", "digest", 71),
    ("runs", "run_id", 64),
    ("runs", "kind", 20),
    ("runs", "name", 400),
    ("runs", "model", 100),
    ("runs", "estimator", 200),
    ("runs", "status", 20),
    ("runs", "principal", 200),
    ("runs", "commit", 64),
    ("runs", "parent", 64),
    ("runs", "record", 71),
    ("runs", "mirror", 200),
    ("run_metrics", "name", 250),
    ("run_metrics", "told", 10),
    ("run_parameters", "name", 250),
)


def upgrade() -> None:
    """Give the columns the collation C, and keys any length."""
    _alter(key=sa.Text(collation="C"), collation="C")
    _texts("C")


def downgrade() -> None:
    """Go back to the database's own collation and to 400 characters; a longer key stops it, and nothing is changed."""
    _alter(key=sa.String(400, collation="default"), collation="default")
    _texts("default")


def _alter(*, key: sa.types.TypeEngine[str], collation: str) -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, column in _KEYS:
        op.alter_column(table, column, type_=key)
    for table, column, length in _WORDS:
        op.alter_column(table, column, type_=sa.String(length, collation=collation))


def _texts(collation: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("run_parameters", "text", type_=sa.Text(collation=collation))
