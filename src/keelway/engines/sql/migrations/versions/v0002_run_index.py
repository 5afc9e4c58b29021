"""The index over runs, filled from the records that are there."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables, and write the line of every run that is stored."""
    from keelway.engines.sql.run_index import index_records

    _runs()
    op.create_table(
        "run_metrics",
        sa.Column("run", _SEQUENCE, sa.ForeignKey("runs.seq"), primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(250), primary_key=True),
        sa.Column("value", sa.Double),
        sa.Column("told", sa.String(10), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("run_metrics_best", "run_metrics", ["name", "value", "run"])
    op.create_table(
        "run_parameters",
        sa.Column("run", _SEQUENCE, sa.ForeignKey("runs.seq"), primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(250), primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("number", sa.Double),
        sqlite_with_rowid=False,
    )
    op.create_index("run_parameters_numbers", "run_parameters", ["name", "number", "run"])
    index_records(op.get_bind())


def downgrade() -> None:
    """Remove the tables; the records they came from stay."""
    for table in ("run_parameters", "run_metrics", "runs"):
        op.drop_table(table)


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("run_id", sa.String(64), nullable=False, unique=True),
        *(
            sa.Column(name, sa.String(length), nullable=False)
            for name, length in (
                ("kind", 20),
                ("name", 400),
                ("model", 100),
                ("estimator", 200),
                ("status", 20),
                ("principal", 200),
            )
        ),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("commit", sa.String(64), nullable=False),
        sa.Column("dirty", sa.Boolean, nullable=False),
        sa.Column("parent", sa.String(64), nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("seconds", sa.Double),
        sa.Column("record", sa.String(71), nullable=False),
        sa.Column("mirror", sa.String(200), nullable=False),
    )
    op.create_index("runs_newest", "runs", ["started_at", "seq"])
    op.create_index("runs_record", "runs", ["record"])
    op.create_index("runs_unmirrored", "runs", ["mirror", "seq"])
