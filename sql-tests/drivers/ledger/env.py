"""All migrations of a command in one transaction, as Alembic does by default."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], target_metadata=None)
with context.begin_transaction():
    context.run_migrations()
    if context.config.attributes["fails"]:
        raise RuntimeError("at the end")
