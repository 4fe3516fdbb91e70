"""Plain HTTP/1.1 on asyncio and httptools: pooled connections with as little as possible around them (decision 9)."""
