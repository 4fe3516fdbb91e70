"""Run by alembic for each command; the caller hands over a connection that is in a transaction."""

from __future__ import annotations

from alembic import context

from microservices.assistants.store.migrate import VERSION_TABLE
from microservices.assistants.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table=VERSION_TABLE
)
context.run_migrations()
