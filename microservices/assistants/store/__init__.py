"""The tables and what is read from and written to them; on SQLite and PostgreSQL alike."""
