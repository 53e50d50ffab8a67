"""Alembic's entry: runs the revisions on the connection that `migrate` hands over."""

import clickhouse_connect.cc_sqlalchemy.alembic  # noqa: F401  registers the dialect's operations
from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=None, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
