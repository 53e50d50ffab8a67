"""Alembic's entry: runs the revisions on the connection that `migrate` hands over."""

from alembic import context

from services.central.metadata.models import Base

connection = context.config.attributes["connection"]
# SQLite cannot alter a column in place, so a later revision copies the table.
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
