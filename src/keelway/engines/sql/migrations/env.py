"""Runs migrations on the connection that the state database passes in."""

from alembic import context

from keelway.engines.sql.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot alter a column in place
    transactional_ddl=True,  # the caller opened the transaction and commits it
)
with context.begin_transaction():
    context.run_migrations()
