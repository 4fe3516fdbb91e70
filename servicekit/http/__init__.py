"""HTTP client for calls from service to service."""
