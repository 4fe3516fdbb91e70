"""A run from its creation to its end: statuses, the engine, the work, the events."""
