"""What alembic runs to migrate, on the connection that `migrations.migrate` gives it. Never imported."""

from alembic import context

from dmarcops.store.engine import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
