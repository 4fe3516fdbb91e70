"""All tables: whoever imports `metadata` from here has every one of them in it."""

from __future__ import annotations

from microservices.assistants.store import file_tables, former_places, search_tables, tables
from microservices.assistants.store.columns import metadata

__all__ = ["file_tables", "former_places", "metadata", "search_tables", "tables"]
