"""What the API shows: assistants, threads, messages, runs, run steps."""
