"""The bodies and queries of requests, by OpenAI's rules."""
