"""The ServiceOrchestrator: runs a DAG of microservices, streams through it, fails loudly."""
