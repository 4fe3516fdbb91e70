"""A tiny English-to-Italian language model of our own, and everything that makes it."""
