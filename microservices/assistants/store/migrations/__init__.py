"""The steps from one schema to the next, by alembic.

A new step: `versions/vNNNN_what_it_adds.py` with `revision = "NNNN"` and the one before it as `down_revision`, and
`HEAD` below. A test compares what all steps give with `schema.metadata`, on SQLite and on PostgreSQL.
"""

from __future__ import annotations

#: The schema that this code works with.
HEAD = "0003"
