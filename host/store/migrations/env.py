"""What Alembic runs in the transaction that `host.store.upgrading` has begun."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
