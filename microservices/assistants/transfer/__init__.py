"""Leave and arrive: all that is kept as JSON lines, and back."""
