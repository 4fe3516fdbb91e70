"""ASGI plumbing that every service shares: error bodies, request ids, limits, health, event streams."""
