"""Ollama's own HTTP API over our engines, so that its client libraries and the curl lines of its tutorials work."""
