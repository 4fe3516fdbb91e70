"""Clients for what a node speaks: OpenAI chat, grade, ..."""
