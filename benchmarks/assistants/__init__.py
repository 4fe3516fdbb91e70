"""What a durable run of the assistants service costs; `python -m benchmarks.assistants`."""
