"""What a process did, kept in a folder of its own: a manifest of what ran, and one line for each request."""
