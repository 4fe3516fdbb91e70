"""What every service of this project shares: errors, SSE, HTTP, settings, ASGI plumbing, engines.

A leaf package: it imports neither `megaservice` nor `microservices`.
"""
