"""The gateway: one HTTP front door that runs pipelines of microservices."""
